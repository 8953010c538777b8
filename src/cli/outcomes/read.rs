//! Files of outcomes: who answered which prompt how well, and what it cost.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

use crate::cli::{Failure, rows};
use crate::minds::spelled;

/// Characters of a token, roughly, where only characters were counted.
const CHARS_PER_TOKEN: f64 = 4.0;

#[derive(Deserialize)]
struct Line {
    id: Value,
    #[serde(alias = "text")]
    prompt: String,
    outcomes: BTreeMap<String, Option<f64>>,
    #[serde(default)]
    output_tokens: BTreeMap<String, f64>,
    #[serde(default)]
    output_chars: BTreeMap<String, f64>,
    #[serde(default)]
    cost_usd: BTreeMap<String, f64>,
    #[serde(default)]
    group: Option<String>,
    #[serde(default)]
    subject: Option<String>,
    #[serde(default)]
    src: Option<String>,
    #[serde(default)]
    source: Option<String>,
    /// Trained on by a mind that is read: tells nothing about how well its word transfers.
    #[serde(default)]
    seen: bool,
}

/// One prompt, all its lines together.
pub(in crate::cli) struct Prompt {
    pub(in crate::cli) text: String,
    pub(in crate::cli) outcomes: BTreeMap<String, f64>,
    pub(in crate::cli) tokens: BTreeMap<String, f64>,
    /// By model, USD.
    pub(in crate::cli) costs: BTreeMap<String, f64>,
    pub(in crate::cli) group: String,
    pub(in crate::cli) seen: bool,
}

/// A file's prompts, each once.
pub(in crate::cli) fn prompts(file: &PathBuf) -> Result<Vec<Prompt>, Failure> {
    let mut prompts: Vec<Prompt> = Vec::new();
    let mut by_id: HashMap<String, usize> = HashMap::new();
    let read = rows::read_with(std::slice::from_ref(file), |line, _, _| {
        let line: Line = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        let id = line.id.to_string();
        let prompt = line.prompt()?;
        match by_id.get(&id) {
            Some(&known) => {
                prompts[known].add(prompt).map_err(|fault| format!("the id {id} contradicts itself: {fault}"))
            }
            None => {
                by_id.insert(id, prompts.len());
                prompts.push(prompt);
                Ok(())
            }
        }
    })?;
    if read.bad > 0 {
        let lines =
            if read.bad == 1 { "1 line is faulty".to_owned() } else { format!("{} lines are faulty", read.bad) };
        return Err(Failure::new(format!("{lines}; nothing was written")));
    }
    if prompts.is_empty() {
        return Err(Failure::new(format!("{}: no outcomes there", file.display())));
    }
    Ok(prompts)
}

impl Line {
    fn prompt(self) -> Result<Prompt, String> {
        let mut outcomes = BTreeMap::new();
        for (model, outcome) in &self.outcomes {
            match outcome {
                Some(outcome) if (0.0..=1.0).contains(outcome) => {
                    let before = outcomes.insert(spelled(model), *outcome);
                    if before.is_some_and(|before| before != *outcome) {
                        return Err(format!("two outcomes of {}", spelled(model)));
                    }
                }
                Some(outcome) => return Err(format!("the outcome of {model} is {outcome}, not a number from 0 to 1")),
                None => {}
            }
        }
        if outcomes.is_empty() {
            return Err("`outcomes` names no model".to_owned());
        }
        let chars = self.output_chars.iter().map(|(model, chars)| (spelled(model), chars / CHARS_PER_TOKEN));
        let tokens = self.output_tokens.iter().map(|(model, tokens)| (spelled(model), *tokens));
        let costs: BTreeMap<String, f64> = self.cost_usd.iter().map(|(model, cost)| (spelled(model), *cost)).collect();
        if let Some((model, cost)) = costs.iter().find(|(_, cost)| !cost.is_finite() || **cost < 0.0) {
            return Err(format!("the cost of {model} is {cost}, not a number of USD"));
        }
        let group = self.group.or(self.subject).or(self.src).or(self.source);
        Ok(Prompt {
            text: self.prompt,
            outcomes,
            tokens: chars.chain(tokens).filter(|(_, tokens)| tokens.is_finite() && *tokens > 0.0).collect(),
            costs,
            group: group.unwrap_or_default(),
            seen: self.seen,
        })
    }
}

impl Prompt {
    fn add(&mut self, other: Self) -> Result<(), String> {
        if self.text != other.text {
            return Err("two prompts".to_owned());
        }
        for (model, outcome) in other.outcomes {
            if self.outcomes.get(&model).is_some_and(|known| *known != outcome) {
                return Err(format!("two outcomes of {model}"));
            }
            self.outcomes.insert(model, outcome);
        }
        self.tokens.extend(other.tokens);
        self.costs.extend(other.costs);
        Ok(())
    }
}
