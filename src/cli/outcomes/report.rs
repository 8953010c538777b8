//! What a file of outcomes says: each backend alone, each two of them on the same prompts, and what is left to ask.

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};

use super::journal::{Journal, Outcome};
use super::plan::Named;
use super::work::Tally;
use crate::learn::power::{self, Difference, Quality, Verdict, WORTH};

/// One backend's answers.
struct Alone {
    backend: String,
    model: String,
    quality: Quality,
    usd_per_1k: Option<f64>,
    tokens: Option<f64>,
}

/// Two backends on the prompts that both answered.
struct Pair {
    first: String,
    second: String,
    difference: Option<Difference>,
}

pub(super) struct Report {
    alone: Vec<Alone>,
    pairs: Vec<Pair>,
}

/// What stands beside the outcomes.
pub(super) struct Shown<'a> {
    pub(super) out: &'a Path,
    pub(super) config: &'a Path,
    /// By all of the file.
    pub(super) spent: f64,
    /// And by a run that just ended.
    pub(super) run: Option<&'a (Tally, f64)>,
}

impl Report {
    pub(super) fn new(backends: &[Named], journal: &Journal) -> Self {
        let alone = |named: &Named| {
            let outcomes: Vec<Outcome> =
                journal.known.values().filter_map(|known| known.outcomes.get(&named.key)).copied().collect();
            let grades: Vec<f64> = outcomes.iter().map(|outcome| outcome.score).collect();
            Alone {
                backend: named.backend.clone(),
                model: named.model.clone(),
                quality: power::quality(&grades),
                usd_per_1k: mean(outcomes.iter().filter_map(|outcome| outcome.usd)).map(|usd| usd * 1e3),
                tokens: mean(outcomes.iter().filter_map(|outcome| outcome.tokens)),
            }
        };
        let pair = |(first, second): (&Named, &Named)| {
            let both = |outcomes: &std::collections::BTreeMap<String, Outcome>| {
                Some((outcomes.get(&first.key)?.score, outcomes.get(&second.key)?.score))
            };
            let both: Vec<(f64, f64)> = journal.known.values().filter_map(|known| both(&known.outcomes)).collect();
            Pair { first: first.backend.clone(), second: second.backend.clone(), difference: power::difference(&both) }
        };
        let pairs = backends
            .iter()
            .enumerate()
            .flat_map(|(at, second)| backends[..at].iter().map(move |first| (first, second)));
        Self { alone: backends.iter().map(alone).collect(), pairs: pairs.map(pair).collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.alone.iter().all(|alone| alone.quality.n == 0)
    }

    pub(super) fn write(&self, out: &mut impl Write, shown: &Shown<'_>) -> io::Result<()> {
        if let Some((tally, usd)) = shown.run {
            tally.write(out, *usd, shown.spent)?;
        }
        writeln!(
            out,
            "{:<20} {:<24} {:>6} {:>9} {:>20} {:>11} {:>8}",
            "BACKEND", "MODEL", "N", "QUALITY", "95 %", "USD/1,000", "TOKENS"
        )?;
        for Alone { backend, model, quality, usd_per_1k, tokens } in &self.alone {
            let or_none = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
            let range = or_none(quality.ci95.map(|(low, high)| format!("{low:.4} to {high:.4}")));
            let usd = or_none(usd_per_1k.map(|usd| format!("{usd:.4}")));
            let tokens = or_none(tokens.map(|tokens| format!("{tokens:.0}")));
            let (n, mean) = (quality.n, or_none((quality.n > 0).then(|| format!("{:.4}", quality.mean))));
            writeln!(out, "{backend:<20} {model:<24} {n:>6} {mean:>9} {range:>20} {usd:>11} {tokens:>8}")?;
        }
        for pair in &self.pairs {
            pair.write(out)?;
        }
        if let Some([first, .., last]) = (!self.is_empty()).then_some(&self.alone[..]) {
            let dear = if first.usd_per_1k > last.usd_per_1k { first } else { last };
            let (config, data) = (shown.config.display(), shown.out.display());
            writeln!(
                out,
                "\nNext: mom calibrate knob --config {config} --data {data} --quality-of {}=0.95",
                dear.backend
            )?;
        }
        Ok(())
    }

    pub(super) fn json(&self, shown: &Shown<'_>) -> Value {
        let backends = self.alone.iter().map(|alone| {
            json!({
                "backend": alone.backend, "model": alone.model, "n": alone.quality.n,
                "quality": (alone.quality.n > 0).then_some(alone.quality.mean),
                "quality_ci95": alone.quality.ci95.map(|(low, high)| [low, high]),
                "usd_per_1k": alone.usd_per_1k, "output_tokens": alone.tokens,
            })
        });
        let mut told = json!({
            "out": shown.out.display().to_string(), "spent_usd": shown.spent,
            "backends": backends.collect::<Vec<_>>(), "comparisons": self.pairs.iter().map(Pair::json).collect::<Vec<_>>(),
        });
        if let Some((tally, usd)) = shown.run {
            told["run"] = tally.json(*usd);
        }
        told
    }
}

impl Pair {
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { first, second, difference } = self;
        let Some(found) = difference else { return writeln!(out, "\n{second} and {first} have no prompt in common") };
        let (low, high) = found.ci95;
        writeln!(out, "\n{second} less {first}, on {} prompts: {:+.4} ({low:+.4} to {high:+.4})", found.n, found.mean)?;
        let better = if found.mean > 0.0 { second } else { first };
        match found.verdict {
            Verdict::Differ => writeln!(out, "settled: {better} is better"),
            Verdict::Same => writeln!(out, "settled: they are less than {WORTH} apart"),
            Verdict::Open => writeln!(
                out,
                "open: {} more prompts would show a difference of {:.4}, four times in five",
                found.more, found.planned
            ),
        }
    }

    fn json(&self) -> Value {
        let verdict = |verdict| match verdict {
            Verdict::Differ => "differ",
            Verdict::Same => "same",
            Verdict::Open => "open",
        };
        let of = self.difference.as_ref();
        json!({
            "first": self.first, "second": self.second, "n": of.map_or(0, |of| of.n),
            "difference": of.map(|of| of.mean), "ci95": of.map(|of| [of.ci95.0, of.ci95.1]),
            "verdict": of.map(|of| verdict(of.verdict)), "more_prompts": of.map(|of| of.more),
            "to_show": of.map(|of| of.planned),
        })
    }
}

impl Tally {
    /// Nothing is missing.
    pub(super) fn complete(&self) -> bool {
        self.stopped.is_none() && self.left == 0 && self.ungraded == 0 && self.missed.is_empty()
    }

    fn write(&self, out: &mut impl Write, usd: f64, all: f64) -> io::Result<()> {
        writeln!(
            out,
            "{} answers graded, {} left to ask; {usd:.4} USD spent, {all:.4} USD by all of the file",
            self.graded, self.left
        )?;
        if let Some(why) = &self.stopped {
            writeln!(out, "stopped: {why}")?;
        }
        for (backend, (calls, why)) in &self.missed {
            writeln!(out, "{calls} calls of {backend} failed and are asked again by the next run; the last: {why}")?;
        }
        if let Some(why) = &self.odd {
            writeln!(
                out,
                "{} answers could not be graded and are asked again by the next run; the last: {why}",
                self.ungraded
            )?;
        }
        if self.cut > 0 {
            writeln!(out, "{} answers were cut at --max-tokens and graded as they are", self.cut)?;
        }
        if self.estimated > 0 {
            writeln!(out, "{} answers came without usage: four bytes were counted as a token", self.estimated)?;
        }
        writeln!(out)
    }

    fn json(&self, usd: f64) -> Value {
        let missed: serde_json::Map<_, _> =
            self.missed.iter().map(|(backend, (calls, _))| (backend.clone(), json!(calls))).collect();
        json!({
            "graded": self.graded, "left": self.left, "failed": missed, "ungraded": self.ungraded, "cut": self.cut,
            "estimated": self.estimated, "spent_usd": usd, "stopped": self.stopped,
        })
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, n) = values.fold((0.0, 0_usize), |(sum, n), value| (sum + value, n + 1));
    (n > 0).then(|| sum / n as f64)
}
