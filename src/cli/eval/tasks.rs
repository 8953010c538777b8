//! The tasks of the flash minds: what a row looks like, and what of a judgement counts.

use serde::Deserialize;
use serde_json::Value;

use super::Measured;
use crate::config::COMPLEXITIES;
use crate::eval::{Report, intent, jailbreak, pii, similarity};
use crate::minds::{Judgement, Opined};

pub(super) struct Intent;
pub(super) struct Jailbreak;
pub(super) struct Pii;
pub(super) struct Similarity;

#[derive(Deserialize)]
pub(super) struct Labelled {
    text: String,
    #[serde(default)]
    label: Option<String>,
    #[serde(default)]
    complexity: Option<String>,
    /// 0/1 or a boolean.
    #[serde(default)]
    attack: Option<Value>,
    /// 0/1 or a boolean: whether the person asks for something harmful; anything else is unknown.
    #[serde(default)]
    harm: Option<Value>,
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    domain: Option<String>,
}

impl Measured for Intent {
    type Row = Labelled;
    type Outcome = intent::Row;
    const NAME: &'static str = "intent";
    const ROLE: &'static str = "brain";

    fn usable(row: &Labelled, labels: &[String]) -> bool {
        match &row.label {
            Some(label) => labels.contains(label),
            None => row.complexity().is_some(),
        }
    }

    fn texts(row: &Labelled) -> Vec<String> {
        vec![row.text.clone()]
    }

    fn outcome(row: Labelled, judgements: &[Judgement]) -> Result<intent::Row, String> {
        let judgement = judgements.first().ok_or("nothing")?;
        let flash = &judgement.intent;
        let (intent, beside) = match judgement.opinions.last() {
            None => (flash.known()?, None),
            Some(opinion) => match opinion.said.known()? {
                Opined::Intent(intent) => (intent, flash.verdict()),
                Opined::Expert(_) => return Err("no intent".to_owned()),
            },
        };
        let beside = beside.map(|flash| intent::Beside {
            mind: judgement.names.intent.to_string(),
            predicted: flash.category().0.to_owned(),
            complexity_right: row.complexity().zip(flash.complexity()).map(|(truth, (label, _))| truth == label),
        });
        let (predicted, confidence) = intent.category();
        let said = intent.complexity.zip(intent.complexity());
        let complexity = row.complexity().zip(said).map(|(truth, ([simple, _, hard], (label, _)))| {
            intent::Complexity { truth: truth.to_owned(), right: truth == label, hardness: f64::from(hard - simple) }
        });
        Ok(intent::Row {
            truth: row.label,
            predicted: predicted.to_owned(),
            confidence: f64::from(confidence),
            complexity,
            beside,
            source: row.source,
            domain: row.domain,
        })
    }

    fn report(&self, outcomes: &[intent::Row], _: &[String]) -> Report {
        intent::report(outcomes)
    }
}

impl Labelled {
    fn complexity(&self) -> Option<&str> {
        self.complexity.as_deref().filter(|label| COMPLEXITIES.contains(label))
    }

    /// `harm` where given; of labels only `harmful_plain` says it.
    fn is_harmful(&self) -> Option<bool> {
        match &self.harm {
            Some(harm) => yes_or_no(harm),
            None => (self.label.as_deref() == Some("harmful_plain")).then_some(true),
        }
    }

    /// `attack` where given, else what the label says.
    fn is_attack(&self) -> Option<bool> {
        match &self.attack {
            Some(attack) => yes_or_no(attack),
            None => match self.label.as_deref()? {
                "jailbreak" | "prompt_injection" | "indirect_injection" | "attack" | "injection" => Some(true),
                "benign" | "harmful_plain" | "safe" => Some(false),
                _ => None,
            },
        }
    }
}

/// A boolean or a number from 0 to 1.
fn yes_or_no(value: &Value) -> Option<bool> {
    value.as_bool().or_else(|| value.as_f64().filter(|value| (0.0..=1.0).contains(value)).map(|value| value >= 0.5))
}

impl Measured for Jailbreak {
    type Row = Labelled;
    type Outcome = jailbreak::Row;
    const NAME: &'static str = "jailbreak";
    const ROLE: &'static str = "jailbreak";

    fn usable(row: &Labelled, _: &[String]) -> bool {
        row.is_attack().is_some()
    }

    fn texts(row: &Labelled) -> Vec<String> {
        vec![row.text.clone()]
    }

    fn outcome(row: Labelled, judgements: &[Judgement]) -> Result<jailbreak::Row, String> {
        let judgement = judgements.first().ok_or("nothing")?;
        let given = judgement.jailbreak.known()?;
        let harm = judgement.harm.verdict();
        Ok(jailbreak::Row {
            attack: jailbreak::Said {
                truth: row.is_attack().unwrap_or_default(),
                score: f64::from(given.score),
                detected: given.detected(),
            },
            harmful: row.is_harmful(),
            harm: harm
                .map(|harm| jailbreak::Harm { score: f64::from(harm.score), threshold: f64::from(harm.threshold) }),
            windows: judgement.windows,
            source: row.source,
            domain: row.domain,
            label: row.label,
        })
    }

    fn report(&self, outcomes: &[jailbreak::Row], _: &[String]) -> Report {
        jailbreak::report(outcomes)
    }
}

#[derive(Deserialize)]
pub(super) struct Annotated {
    text: String,
    spans: Vec<Annotation>,
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    domain: Option<String>,
}

#[derive(Deserialize)]
struct Annotation {
    start: usize,
    end: usize,
    label: String,
}

impl Measured for Pii {
    type Row = Annotated;
    type Outcome = pii::Row;
    const NAME: &'static str = "pii";
    const ROLE: &'static str = "pii";

    fn usable(_: &Annotated, _: &[String]) -> bool {
        true
    }

    fn texts(row: &Annotated) -> Vec<String> {
        vec![row.text.clone()]
    }

    fn outcome(row: Annotated, judgements: &[Judgement]) -> Result<pii::Row, String> {
        let judgement = judgements.first().ok_or("nothing")?;
        let found = judgement.pii.known()?.iter();
        let found = found.map(|span| pii::Span { start: span.start, end: span.end, label: span.label.to_string() });
        let gold = row.spans.into_iter().map(|span| pii::Span { start: span.start, end: span.end, label: span.label });
        let (gold, found) = (gold.collect(), found.collect());
        Ok(pii::Row { text: row.text, gold, found, source: row.source, domain: row.domain })
    }

    fn report(&self, outcomes: &[pii::Row], labels: &[String]) -> Report {
        pii::report(outcomes, &labels.iter().cloned().chain(["SECRET".to_owned()]).collect())
    }
}

#[derive(Deserialize)]
pub(super) struct Pair {
    a: String,
    b: String,
    score: f64,
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    domain: Option<String>,
}

impl Measured for Similarity {
    type Row = Pair;
    type Outcome = similarity::Row;
    const NAME: &'static str = "similarity";
    const ROLE: &'static str = "similarity";

    fn usable(_: &Pair, _: &[String]) -> bool {
        true
    }

    fn texts(row: &Pair) -> Vec<String> {
        vec![row.a.clone(), row.b.clone()]
    }

    fn outcome(row: Pair, judgements: &[Judgement]) -> Result<similarity::Row, String> {
        let [a, b] = judgements else { return Err("nothing".to_owned()) };
        let (a, b) = (a.embedding.known()?, b.embedding.known()?);
        let cosine = a.vector.iter().zip(b.vector.iter()).map(|(a, b)| f64::from(a * b)).sum();
        Ok(similarity::Row { truth: row.score, cosine, source: row.source, domain: row.domain })
    }

    fn report(&self, outcomes: &[similarity::Row], _: &[String]) -> Report {
        similarity::report(outcomes)
    }
}
