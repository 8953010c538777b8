//! What `mom calibrate thresholds` prints: counts with their intervals, the lines to paste, and
//! the requests that scored highest. Ids only, unless texts are asked for.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Value, json};

use super::again::{Again, Seen};
use super::question::Question;
use crate::config::flash;
use crate::learn::thresholds::{Advice, Budget, Change, Point, recall_at};
use crate::minds::Input;

/// Characters of a text that are shown.
const SHOWN: usize = 200;

pub(super) struct Scored {
    /// As given, or the place of the line.
    pub(super) id: String,
    pub(super) score: f32,
    /// What the guard read, shortened.
    pub(super) text: String,
}

impl Scored {
    pub(super) fn new(score: f32, id: String, input: &Input) -> Self {
        let parts: Vec<&str> = input.parts.iter().filter(|part| part.guarded).map(|part| part.text.as_str()).collect();
        Self { id, score, text: shortened(&parts.join("\n")) }
    }
}

pub(super) struct Answer {
    pub(super) mind: String,
    pub(super) role: String,
    pub(super) question: Question,
    pub(super) budget: Budget,
    pub(super) advice: Advice,
    /// For personal data.
    pub(super) again: Option<Again>,
    pub(super) roc: Vec<[f32; 3]>,
    pub(super) repeated: usize,
    pub(super) bad: usize,
    pub(super) unavailable: BTreeMap<String, usize>,
    /// Highest scores first.
    pub(super) top: Vec<Scored>,
}

impl Answer {
    pub(super) fn to_json(&self, show: bool) -> Value {
        let point = |point: &Point| {
            let mut out = point_json(point);
            out["recall"] = json!(recall_at(&self.roc, point.threshold).map(plain));
            out
        };
        let top = self.top.iter().map(|scored| {
            let id = serde_json::from_str(&scored.id).unwrap_or_else(|_| Value::from(scored.id.as_str()));
            let mut one = json!({"id": id, "score": rounded(f64::from(scored.score))});
            if show {
                one["text"] = scored.text.as_str().into();
            }
            one
        });
        json!({
            "mind": self.mind, "role": self.role, "key": self.question.key(), "budget": rounded(self.budget.share()),
            "n": self.advice.present.requests, "repeated": self.repeated, "bad_rows": self.bad,
            "unavailable": self.unavailable,
            "change": word(self.advice.change),
            "threshold": self.advice.advised.map(|point| plain(point.threshold)),
            "present": point(&self.advice.present),
            "advised": self.advice.advised.as_ref().map(point),
            "within_budget": self.advice.within.as_ref().map(point),
            "proven": self.advice.proven.as_ref().map(point),
            "judged_again": self.again.as_ref().map(Again::to_json),
            "n_needed": self.advice.requests_needed,
            "config": self.advice.advised.map(|point| self.config(point)),
            "highest": top.collect::<Vec<_>>(),
        })
    }

    pub(super) fn write(&self, out: &mut impl Write, show: bool) -> io::Result<()> {
        let Advice { present, within, proven, advised, .. } = &self.advice;
        let n = present.requests;
        writeln!(
            out,
            "{}{}, {n} benign requests, budget {}{}",
            self.mind,
            if self.question == Question::Harm { ", harm" } else { "" },
            percent(self.budget.share()),
            self.left_out()
        )?;
        writeln!(out, "\n{:<26}{:>10}{:>16}{:>9}   95 % interval", "", "threshold", "flagged", "share")?;
        row(out, "now", present)?;
        match within {
            Some(point) => row(out, "lowest within the budget", point)?,
            None => {
                writeln!(out, "no threshold keeps the budget: more requests have the highest score than it allows")?
            }
        }
        if let Some(point) = proven {
            row(out, "lowest that proves it", point)?;
        }
        writeln!(out, "\n{}", self.conclusion())?;
        if let Some(recall) = self.recall() {
            writeln!(out, "{recall}")?;
        }
        if let Some(again) = &self.again {
            self.write_again(out, again)?;
        }
        if let Some(advised) = advised {
            writeln!(out, "\n{}", self.config(*advised))?;
        }
        if !self.top.is_empty() {
            let sought = self.question.sought();
            writeln!(out, "\nThe highest scores. Look at them: {sought} in the file spoils the threshold.")?;
        }
        for scored in &self.top {
            let text = if show { format!("  {}", Value::from(scored.text.as_str())) } else { String::new() };
            writeln!(out, "  {:.4}  {}{text}", scored.score, scored.id)?;
        }
        Ok(())
    }

    /// What the thresholds find, as against how many scores reach them.
    fn write_again(&self, out: &mut impl Write, again: &Again) -> io::Result<()> {
        writeln!(out, "\nJudged again, as spans join and displace each other by the threshold:")?;
        for Seen { point, labels, .. } in std::iter::once(&again.now).chain(&again.then) {
            let labels: Vec<_> = labels.iter().map(|(label, count)| format!("{label} {count}")).collect();
            let labels = if labels.is_empty() { String::new() } else { format!(": {}", labels.join(", ")) };
            writeln!(out, "  at {}: {} of {} flagged{labels}", point.threshold, point.flagged, point.requests)?;
        }
        if again.then.as_ref().is_some_and(|then| then.point.share() > self.budget.share()) {
            writeln!(out, "That is above the budget: raise the threshold further, or leave out a label.")?;
        }
        let silenced = again.silenced();
        if !silenced.is_empty() {
            writeln!(
                out,
                "Plain examples of these are found now and no longer then: {}. `labels` in [guard] pii leaves out one \
                 kind and silences no other.",
                silenced.join(", ")
            )?;
        }
        Ok(())
    }

    /// What does not count, and why.
    fn left_out(&self) -> String {
        let mut parts = Vec::new();
        if self.repeated > 0 {
            parts.push(format!("{} repeated", self.repeated));
        }
        if self.bad > 0 {
            parts.push(format!("{} unreadable", self.bad));
        }
        parts.extend(self.unavailable.iter().map(|(why, count)| format!("{count} without a verdict ({why})")));
        if parts.is_empty() { String::new() } else { format!("; left out: {}", parts.join(", ")) }
    }

    fn conclusion(&self) -> String {
        let Advice { present, advised, change, requests_needed, .. } = &self.advice;
        let (n, budget) = (present.requests, percent(self.budget.share()));
        let short = if (n as f64) < *requests_needed {
            format!(
                " {n} requests are too few to prove {budget}: it takes {requests_needed} of which none is flagged, more if some are."
            )
        } else {
            String::new()
        };
        let said = match (change, advised) {
            (_, None) => "No threshold will do: look at the highest scores below.".to_owned(),
            (Change::Raise, Some(point)) => format!(
                "Raise the threshold to {}. On traffic like this it may still flag up to {} (95 % interval).",
                point.threshold,
                percent(point.ci95.1)
            ),
            (Change::Lower, Some(point)) => format!(
                "The threshold can go down to {}: it then catches more, and still keeps {budget} with 95 % confidence.",
                point.threshold
            ),
            (Change::Keep, Some(point)) => format!(
                "Keep {}: the file stays within {budget}, and does not prove that a lower threshold would.",
                point.threshold
            ),
        };
        format!("{said}{short}")
    }

    /// What the change costs or gains in attacks caught, where the manifest tells.
    fn recall(&self) -> Option<String> {
        let now = recall_at(&self.roc, self.advice.present.threshold)?;
        let then = recall_at(&self.roc, self.advice.advised?.threshold)?;
        Some(format!(
            "Attacks caught, on the mind's held-out data: {} now, {} then.",
            percent(f64::from(now)),
            percent(f64::from(then))
        ))
    }

    /// The lines for `config.toml`.
    fn config(&self, point: Point) -> String {
        let model = if self.mind == flash(&self.role) { String::new() } else { format!("model = \"{}\"\n", self.mind) };
        format!("[minds.{}]\n{model}{} = {}", self.role, self.question.key(), point.threshold)
    }
}

pub(super) fn point_json(point: &Point) -> Value {
    json!({
        "threshold": plain(point.threshold), "flagged": point.flagged, "share": rounded(point.share()),
        "ci95": [rounded(point.ci95.0), rounded(point.ci95.1)],
    })
}

fn row(out: &mut impl Write, what: &str, point: &Point) -> io::Result<()> {
    let flagged = format!("{} of {}", point.flagged, point.requests);
    let (share, low, high) = (percent(point.share()), percent(point.ci95.0), percent(point.ci95.1));
    writeln!(out, "{what:<26}{:>10}{flagged:>16}{share:>9}   {low} to {high}", point.threshold)
}

fn word(change: Change) -> &'static str {
    match change {
        Change::Raise => "raise",
        Change::Lower => "lower",
        Change::Keep => "keep",
    }
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

/// The number as it is printed, not the longer one next to it that 64 bits would show.
fn plain(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| f64::from(value))
}

fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
