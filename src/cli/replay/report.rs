//! What `mom replay` has to tell.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use crate::gateway::replay::Replay;
use crate::learn::knob::Measured;
use crate::learn::replay::{Fate, Share, Tally};

/// Moves that the table shows.
const MOST_MOVES: usize = 20;

pub(super) struct Report<'a> {
    /// Of the configuration.
    pub(super) name: String,
    pub(super) replay: &'a Replay,
    pub(super) tally: &'a Tally,
}

impl Report<'_> {
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let tally = self.tally;
        let (replayed, left_out) = (tally.all.requests, tally.left_out());
        writeln!(out, "{} requests, {replayed} decided again under {}", replayed + left_out, self.name)?;
        for (why, count) in &tally.unfit {
            writeln!(out, "  {count} {why}")?;
        }
        self.totals(out)?;
        self.moves(out)?;
        self.groups(out)?;
        self.notes(out)
    }

    fn totals(&self, out: &mut impl Write) -> io::Result<()> {
        let tally = self.tally;
        writeln!(out, "\n{:<28} {:>12} {:>12}   CHANGE", "", "THEN", "NOW")?;
        let [then, now] = tally.cost.sums;
        let change = tally.cost.ratio().map_or_else(|| "-".to_owned(), |change| signed(change, 100.0, 1, " %"));
        writeln!(out, "{:<28} {then:>12.6} {now:>12.6}   {change}", "cost, USD")?;
        match (tally.quality.means(), tally.quality.difference()) {
            (Some([then, now]), Some(change)) => {
                let name = format!("foreseen quality (of {})", tally.quality.count);
                writeln!(out, "{name:<28} {then:>12.4} {now:>12.4}   {}", signed(change, 1.0, 4, ""))
            }
            _ => writeln!(out, "foreseen quality             {:>12} {:>12}   -", "-", "-"),
        }
    }

    fn moves(&self, out: &mut impl Write) -> io::Result<()> {
        let tally = self.tally;
        if tally.moves.is_empty() {
            return writeln!(out, "\nNothing moves.");
        }
        let share = 100.0 * tally.all.moved as f64 / tally.all.requests as f64;
        writeln!(out, "\n{} requests move ({share:.1} %):\n", tally.all.moved)?;
        writeln!(
            out,
            "{:<20} {:<20} {:>8} {:>12} {:>12} {:>9} {:>14}  CATEGORIES",
            "FROM", "TO", "REQUESTS", "USD THEN", "USD NOW", "QUALITY", "FEEDBACK"
        )?;
        let moves = self.sorted();
        for ((then, now), share) in moves.iter().take(MOST_MOVES) {
            let quality = share.quality_change().map_or_else(|| "-".to_owned(), |change| format!("{change:+.4}"));
            let score = share.mean_score();
            let score = score.map_or_else(|| "-".to_owned(), |mean| format!("{mean:.2} (of {})", share.scored));
            let named = |name: &str| if name.is_empty() { "-".to_owned() } else { name.to_owned() };
            let top = share.top_categories(3).into_iter().map(|(name, count)| format!("{} {count}", named(name)));
            writeln!(
                out,
                "{:<20} {:<20} {:>8} {:>12.6} {:>12.6} {quality:>9} {score:>14}  {}",
                then.label(),
                now.label(),
                share.requests,
                share.cost[0],
                share.cost[1],
                top.collect::<Vec<_>>().join(", ")
            )?;
            for id in &share.request_ids {
                writeln!(out, "  {id}")?;
            }
        }
        if moves.len() > MOST_MOVES {
            writeln!(out, "and {} more kinds; --json has them all", moves.len() - MOST_MOVES)?;
        }
        let [stopped, freed, unable] = tally.stops();
        let counts = [
            (stopped, "newly stopped by a guard"),
            (freed, "no longer stopped by one"),
            (unable, "newly without a backend that is able"),
        ];
        for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
            writeln!(out, "{count} {what}")?;
        }
        Ok(())
    }

    fn groups(&self, out: &mut impl Write) -> io::Result<()> {
        if self.tally.groups.is_empty() {
            return Ok(());
        }
        writeln!(
            out,
            "\n{:<28} {:>8} {:>8} {:>12} {:>12} {:>9}",
            "", "REQUESTS", "MOVED", "USD THEN", "USD NOW", "QUALITY"
        )?;
        let mut groups: Vec<_> = self.tally.groups.iter().collect();
        groups.sort_by(|a, b| b.1.cost[0].total_cmp(&a.1.cost[0]));
        for (name, share) in groups {
            let quality = share.quality_change().map_or_else(|| "-".to_owned(), |change| format!("{change:+.4}"));
            let Share { requests, moved, cost: [then, now], .. } = share;
            writeln!(out, "{name:<28} {requests:>8} {moved:>8} {then:>12.6} {now:>12.6} {quality:>9}")?;
        }
        Ok(())
    }

    /// What the numbers rest on, and what they do not know.
    fn notes(&self, out: &mut impl Write) -> io::Result<()> {
        let tally = self.tally;
        let [logged, foreseen, predicted, unknown] = tally.lengths;
        writeln!(out)?;
        let mind = self.replay.foresees().unwrap_or("a mind");
        let as_long = format!("of those that move would get an answer as long as {mind} foresees");
        let notes = [
            (logged, "of those that move would get an answer as long as the one that they got"),
            (foreseen, as_long.as_str()),
            (predicted, "were not answered then: what they would cost is a prediction"),
            (unknown, "failed then: what they would cost is not known, and counts as nothing"),
            (tally.unheard, "would be shown to decoders that had not been asked: decided without their word"),
            (tally.drawn, "were drawn by lot in part then; now each takes what its policy prefers"),
            (tally.outages, "met a candidate that could not be called then; all are ready now"),
        ];
        for (count, what) in notes.into_iter().filter(|(count, _)| *count > 0) {
            writeln!(out, "{count} {what}.")?;
        }
        let gone = self.gone();
        if !gone.is_empty() {
            let gone = gone.join(", ");
            writeln!(out, "Not in {}: {gone}. What is foreseen of that is not known.", self.name)?;
        }
        Ok(())
    }

    /// The largest first.
    fn sorted(&self) -> Vec<(&(Fate, Fate), &Share)> {
        let mut moves: Vec<_> = self.tally.moves.iter().collect();
        moves.sort_by(|a, b| b.1.requests.cmp(&a.1.requests).then(a.0.cmp(b.0)));
        moves
    }

    /// Backends that were chosen and are not there any more.
    fn gone(&self) -> Vec<&str> {
        let known = &self.replay.config().backends;
        let then = self.tally.moves.keys().filter_map(|(then, _)| match then {
            Fate::Backend(name) if !known.contains_key(name) => Some(name.as_str()),
            _ => None,
        });
        let mut gone: Vec<&str> = then.collect();
        gone.dedup();
        gone
    }

    pub(super) fn json(&self) -> Value {
        let tally = self.tally;
        let measured = |of: Option<Measured>| {
            of.map(|of| json!({"value": of.value, "ci95": of.ci95.map(|(low, high)| [low, high])}))
        };
        let quality = tally.quality.means();
        let [stopped, freed, unable] = tally.stops();
        let [logged, foreseen, predicted, unknown] = tally.lengths;
        let moves = self.sorted().into_iter().map(|((then, now), share)| {
            let mut told = told(share);
            told.insert("from".to_owned(), then.label().into());
            told.insert("to".to_owned(), now.label().into());
            let categories = share.categories.iter().map(|(name, count)| (name.clone(), (*count).into()));
            told.insert("categories".to_owned(), Value::Object(categories.collect()));
            if !share.request_ids.is_empty() {
                told.insert("request_ids".to_owned(), share.request_ids.clone().into());
            }
            Value::from(told)
        });
        let groups = tally.groups.iter().map(|(name, share)| {
            let mut told = told(share);
            told.insert("name".to_owned(), name.clone().into());
            Value::from(told)
        });
        json!({
            "config": self.name, "policy_version": self.replay.config().policy_version,
            "requests": tally.all.requests + tally.left_out(), "replayed": tally.all.requests,
            "left_out": tally.unfit, "moved": tally.all.moved,
            "cost_usd": {"then": tally.cost.sums[0], "now": tally.cost.sums[1], "change": measured(tally.cost.ratio())},
            "quality": {
                "requests": tally.quality.count, "then": quality.map(|of| of[0]), "now": quality.map(|of| of[1]),
                "change": measured(tally.quality.difference()),
            },
            "newly_stopped": stopped, "no_longer_stopped": freed, "newly_unable": unable,
            "moves": moves.collect::<Vec<_>>(), "groups": groups.collect::<Vec<_>>(),
            "answer_lengths": {"logged": logged, "foreseen": foreseen, "predicted": predicted, "unknown": unknown},
            "unheard_decoders": tally.unheard, "outages": tally.outages, "drawn": tally.drawn,
            "gone_backends": self.gone(),
        })
    }
}

fn told(share: &Share) -> Map<String, Value> {
    let told = json!({
        "requests": share.requests, "moved": share.moved,
        "cost_usd": {"then": share.cost[0], "now": share.cost[1]}, "quality_change": share.quality_change(),
        "feedback": {"requests": share.scored, "mean": share.mean_score()},
    });
    match told {
        Value::Object(told) => told,
        _ => Map::new(),
    }
}

fn signed(of: Measured, unit: f64, digits: usize, name: &str) -> String {
    let value = format!("{:+.digits$}{name}", of.value * unit);
    match of.ci95 {
        Some((low, high)) => format!("{value} ({:+.digits$} to {:+.digits$})", low * unit, high * unit),
        None => value,
    }
}
