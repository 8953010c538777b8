//! Which questions there are to ask, and whether they can be asked at all: everything that can go wrong before a cent
//! is spent.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::grade::{Grade, Way};
use super::journal::Journal;
use super::prompts::Asked;
use crate::cli::Failure;
use crate::config::{ApiKey, Config, suggest};
use crate::learn::grade::Grader;
use crate::minds::spelled;

/// Faulty prompts that are named.
const SHOWN: usize = 5;

/// A backend whose answers are graded.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) backend: String,
    /// As the outcome file has it.
    pub(super) model: String,
    /// As outcomes are looked up.
    pub(super) key: String,
    /// It costs nothing, as far as the configuration knows.
    pub(super) unpriced: bool,
}

/// A prompt with how its answers are graded.
pub(super) struct Prompt {
    pub(super) asked: Asked,
    pub(super) way: Way,
    /// How, as the outcome file has it.
    pub(super) graded: String,
}

/// One piece of work: what is written down together.
#[derive(Clone, Copy, Debug)]
pub(super) enum Job {
    One {
        prompt: usize,
        backend: usize,
    },
    /// All backends on one prompt.
    All {
        prompt: usize,
    },
}

/// The backends by name, each known to the configuration and callable from here.
pub(super) fn backends(config: &Config, names: &[String]) -> Result<Vec<Named>, Failure> {
    let mut found: Vec<Named> = Vec::new();
    for name in names {
        let backend = config.backends.get(name).ok_or_else(|| {
            let known = suggest(name, config.backends.keys().map(String::as_str));
            let known = known.map(|known| format!("; {known}")).unwrap_or_default();
            Failure::new(format!("there is no backend {name} in the configuration{known}"))
        })?;
        if matches!(backend.api_key, Some(ApiKey::Client(_))) {
            return Err(Failure::new(format!("{name} takes its clients' keys: here it needs an `api_key` of its own")));
        }
        let model = config.measured_as(name).to_owned();
        let key = spelled(&model);
        if let Some(other) = found.iter().find(|other| other.key == key) {
            let same = if other.backend == *name { "is named twice" } else { "has the same model name as another" };
            return Err(Failure::new(format!(
                "{name} {same}: outcomes of {model} could not be told apart (`measured_as`)"
            )));
        }
        let unpriced = backend.price.input <= 0.0 && backend.price.output <= 0.0;
        found.push(Named { backend: name.clone(), model, key, unpriced });
    }
    Ok(found)
}

/// How each prompt is graded, or which cannot be.
pub(super) fn prompts(
    asked: Vec<Asked>,
    grade: Option<&Grade>,
    grader: &Grader,
    backends: &[Named],
) -> Result<Vec<Prompt>, Failure> {
    let mut faults = Vec::new();
    let mut prompts = Vec::new();
    for asked in asked {
        match way(&asked, grade, grader, backends.len()) {
            Ok(way) => {
                let graded = graded(way, grade, backends);
                prompts.push(Prompt { asked, way, graded });
            }
            Err(fault) => faults.push(format!("the prompt {}: {fault}", asked.key)),
        }
    }
    match faults.len() {
        0 => Ok(prompts),
        faulty => {
            faults.truncate(SHOWN);
            let rest = if faulty > SHOWN { format!("\n… and {} more", faulty - SHOWN) } else { String::new() };
            Err(Failure::new(format!("nothing was asked: {}{rest}", faults.join("\n"))))
        }
    }
}

fn way(asked: &Asked, grade: Option<&Grade>, grader: &Grader, backends: usize) -> Result<Way, String> {
    let rule = match grade {
        Some(Grade::Command(_)) => return Ok(Way::Command),
        Some(Grade::Judge(_)) if asked.answer.is_some() => return Ok(Way::Reference),
        Some(Grade::Judge(_)) if backends < 2 => {
            return Err("a judge needs an `answer` to grade against, or two --backends to compare".to_owned());
        }
        Some(Grade::Judge(_)) => return Ok(Way::Compared),
        Some(Grade::Rule(rule)) => *rule,
        None => grader.rule(asked.wanted()).ok_or_else(|| {
            "it has no `answer`: say how to grade, with --grade judge=BACKEND or --grade command=PROGRAM".to_owned()
        })?,
    };
    grader.fault(rule, asked.wanted()).map_or(Ok(Way::Rule(rule)), Err)
}

fn graded(way: Way, grade: Option<&Grade>, backends: &[Named]) -> String {
    match (way, grade) {
        (Way::Rule(rule), _) => rule.name().to_owned(),
        (Way::Reference, Some(Grade::Judge(judge))) => format!("judge {judge}"),
        (Way::Compared, Some(Grade::Judge(judge))) => {
            let mut models: Vec<&str> = backends.iter().map(|backend| backend.key.as_str()).collect();
            models.sort_unstable();
            format!("judge {judge}, comparing {}", models.join(" and "))
        }
        (_, Some(Grade::Command(command))) => format!("command {command}"),
        (Way::Command | Way::Reference | Way::Compared, _) => String::new(),
    }
}

/// What is still to be asked, in an order that has nothing to do with the file's: a run that ends early has seen a
/// fair sample. All backends are asked about one prompt before the next.
pub(super) fn jobs(prompts: &[Prompt], backends: &[Named], journal: &Journal) -> Vec<Job> {
    let shuffled: BTreeMap<_, usize> =
        prompts.iter().enumerate().map(|(at, prompt)| (order(&prompt.asked.key), at)).collect();
    let missing = |at: usize, backend: &Named| journal.outcome(&prompts[at].asked.key, &backend.key).is_none();
    let of_prompt = |prompt: usize| {
        let missing = (0..backends.len()).filter(move |&backend| missing(prompt, &backends[backend]));
        match prompts[prompt].way {
            Way::Compared => missing.take(1).map(|_| Job::All { prompt }).collect::<Vec<_>>(),
            _ => missing.map(|backend| Job::One { prompt, backend }).collect(),
        }
    };
    shuffled.into_values().flat_map(of_prompt).collect()
}

/// What was there before stands beside what will come, or says why it cannot.
pub(super) fn fits(prompts: &[Prompt], settings: &str, journal: &Journal) -> Result<(), Failure> {
    let conflict = |prompt: &Prompt| journal.conflict(&prompt.asked, &prompt.graded, settings);
    prompts.iter().find_map(conflict).map_or(Ok(()), |conflict| Err(Failure::new(conflict)))
}

fn order(key: &str) -> Vec<u8> {
    Sha256::digest(key.as_bytes()).to_vec()
}
