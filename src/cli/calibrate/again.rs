//! Personal data, judged again at the thresholds in question.
//!
//! Scores alone do not tell what a threshold finds: spans displace and join each other before
//! they are held against it. And patterns score the same wherever they match, so a threshold
//! just above one silences a kind of data that the file may not even hold: examples show it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::answer::point_json;
use super::question::counts;
use crate::cli::Failure;
use crate::cli::judging::{self, Choice};
use crate::learn::thresholds::{Advice, Budget, Point, advise};
use crate::minds::{Input, Minds, Part};

/// A plain example of each kind.
const EXAMPLES: [(&str, &str); 18] = [
    ("AGE", "My sister is 34 years old."),
    ("CREDIT_CARD", "My card is 4111 1111 1111 1111."),
    ("DATE_TIME", "We met on 3 May 2021."),
    ("DOMAIN_NAME", "Our page is www.example.org."),
    ("EMAIL_ADDRESS", "Please write to anna@example.org."),
    ("GPE", "We moved to Paris last year."),
    ("IBAN_CODE", "Send it to DE89 3704 0044 0532 0130 00."),
    ("IP_ADDRESS", "The server has the address 192.0.2.17."),
    ("NRP", "Her husband is German."),
    ("ORGANIZATION", "He works for Siemens."),
    ("PERSON", "My name is Anna Kowalska."),
    ("PHONE_NUMBER", "Call me on +1 704 555 7528."),
    ("SECRET", "The password is Tr4ve1ling-Owl, keep it."),
    ("STREET_ADDRESS", "She lives at 12 Baker Street."),
    ("TITLE", "Ask Mr Jones about it."),
    ("US_DRIVER_LICENSE", "My driver's license is D1234567."),
    ("US_SSN", "My social security number is 536-22-8726."),
    ("ZIP_CODE", "My zip code is 90210."),
];

/// Rounds in which the advised threshold may still rise; each judges every request.
const ROUNDS: usize = 4;

/// What a threshold finds.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) point: Point,
    /// The surest span of each request, 0 without any.
    scores: Vec<f32>,
    /// Flagged requests by kind of data; one request may count for several.
    pub(super) labels: BTreeMap<String, usize>,
    /// Kinds whose example is found.
    examples: BTreeSet<&'static str>,
}

/// The threshold in use, and the advised one where it is another.
#[derive(Debug)]
pub(super) struct Again {
    pub(super) now: Seen,
    pub(super) then: Option<Seen>,
}

impl Again {
    /// Judges again with `at`, which takes a threshold. The advice rises until what it finds keeps
    /// the budget; `scores`, one a request, rise with what is found.
    pub(super) fn settle(
        advice: &mut Advice,
        scores: &mut [f32],
        budget: Budget,
        at: impl Fn(f32) -> Result<Option<Seen>, Failure>,
    ) -> Result<Option<Self>, Failure> {
        let present = advice.present.threshold;
        let Some(now) = at(present)? else { return Ok(None) };
        let mut again = Self { now, then: None };
        raise(scores, &again.now.scores);
        for _ in 0..ROUNDS {
            let Some(next) = advise(scores, present, budget) else { break };
            *advice = next;
            let other = advice.advised.map(|point| point.threshold).filter(|advised| *advised != present);
            again.then = other.map(&at).transpose()?.flatten();
            let Some(then) = again.then.as_ref().filter(|then| then.point.flagged > budget.allows(scores.len())) else {
                break;
            };
            raise(scores, &then.scores);
        }
        Ok(Some(again))
    }

    /// Kinds whose example is found now and would not be any more.
    pub(super) fn silenced(&self) -> Vec<&'static str> {
        let then = self.then.as_ref().map(|then| &then.examples);
        then.map_or_else(Vec::new, |then| self.now.examples.difference(then).copied().collect())
    }

    pub(super) fn to_json(&self) -> Value {
        let seen = |seen: &Seen| {
            let mut out = point_json(&seen.point);
            out["labels"] = json!(seen.labels);
            out
        };
        json!({"present": seen(&self.now), "advised": self.then.as_ref().map(seen), "silenced": self.silenced()})
    }
}

fn raise(scores: &mut [f32], seen: &[f32]) {
    scores.iter_mut().zip(seen).for_each(|(score, seen)| *score = score.max(*seen));
}

impl Seen {
    /// Judges the requests and the examples; only `labels` count. `None` for no requests.
    pub(super) fn at<'a>(
        threshold: f32,
        mut choice: Choice,
        labels: Option<&[String]>,
        requests: impl Iterator<Item = &'a Input>,
        runtime: &Runtime,
    ) -> Result<Option<Self>, Failure> {
        choice.minds.values_mut().for_each(|mind| mind.threshold = Some(threshold));
        let minds = choice.load()?;
        let kinds = |input: &Input| kinds(&minds, input.clone(), labels);
        let (mut by_label, mut scores): (BTreeMap<String, usize>, Vec<f32>) = Default::default();
        for kinds in runtime.block_on(judging::each(requests, "requests", kinds)) {
            scores.push(kinds.values().copied().fold(0.0, f32::max));
            kinds.into_keys().for_each(|label| *by_label.entry(label).or_default() += 1);
        }
        let mut examples = BTreeSet::new();
        for (label, text) in EXAMPLES {
            let input = Input { parts: vec![Part::alone(text)], not_text: false };
            if runtime.block_on(kinds(&input)).contains_key(label) {
                examples.insert(label);
            }
        }
        let flagged = scores.iter().filter(|score| **score > 0.0).count();
        Ok(Point::new(threshold, flagged, scores.len()).map(|point| Self { point, scores, labels: by_label, examples }))
    }
}

/// The kinds of data in a request, with the surest score of each.
async fn kinds(minds: &Minds, input: Input, labels: Option<&[String]>) -> BTreeMap<String, f32> {
    let judgement = minds.judge(input).await;
    let mut kinds: BTreeMap<String, f32> = BTreeMap::new();
    for span in judgement.pii.known().into_iter().flatten().filter(|span| counts(labels, &span.label)) {
        let surest = kinds.entry(span.label.to_string()).or_default();
        *surest = surest.max(span.score);
    }
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_rises_until_what_it_finds_keeps_the_budget() {
        // What a pattern finds with 0.9 the model finds too, with 0.95, once the pattern does not count.
        let found = |threshold: f32| if threshold <= 0.9 { 0.9 } else { 0.95 };
        let at = |threshold: f32| {
            let score = found(threshold);
            let scores = vec![if score >= threshold { score } else { 0.0 }; 2];
            let flagged = scores.iter().filter(|score| **score > 0.0).count();
            let examples =
                if threshold < 0.94 { BTreeSet::from(["AGE", "PERSON"]) } else { BTreeSet::from(["PERSON"]) };
            let labels = BTreeMap::from([("AGE".to_owned(), flagged)]);
            Ok(Point::new(threshold, flagged, 2).map(|point| Seen { point, scores, labels, examples }))
        };
        let (mut scores, budget) = (vec![found(0.0); 2], "1%".parse().unwrap());
        let mut advice = advise(&scores, 0.5, budget).unwrap();
        assert_eq!(advice.advised.unwrap().threshold, 0.9001, "where both would still be flagged");
        let again = Again::settle(&mut advice, &mut scores, budget, at).unwrap().unwrap();
        let then = again.then.as_ref().unwrap();
        assert_eq!((then.point, then.point.flagged), (advice.advised.unwrap(), 0));
        assert_eq!((then.point.threshold, again.now.point.flagged), (0.9501, 2));
        assert_eq!(again.silenced(), ["AGE"]);
    }
}
