//! Getting a [`Config`] out of merged values, and every type fault on the way.
//!
//! Deserialising stops at its first error. So the value at fault is noted, taken out (or,
//! where one is required, replaced by a stand-in) and the rest is tried again. What is
//! built that way serves only to find more faults; it never runs.

use std::collections::{BTreeMap, BTreeSet};

use figment::error::{Actual, Kind};
use figment::value::{Dict, Value};

use super::Config;
use super::fault::{Key, Problem, suggest};

/// What came out, and what was wrong.
pub(super) struct Extracted {
    /// `None` when the values could not be repaired far enough.
    pub(super) config: Option<Config>,
    pub(super) problems: Vec<Problem>,
    /// Places whose values are not the user's own; nothing more can be said about them.
    pub(super) repaired: BTreeSet<Key>,
}

/// More faults than anyone reads in one go.
const MOST_REPAIRS: usize = 500;

/// Sections and keys of the design that later versions bring.
const NOT_BUILT: [&str; 2] = ["limits", "cache"];

pub(super) fn extract(values: Dict) -> Extracted {
    let mut attempt = Attempt {
        values: Value::from(values),
        problems: Vec::new(),
        repaired: BTreeSet::new(),
        stand_ins: BTreeMap::new(),
    };
    let mut config = None;
    for _ in 0..MOST_REPAIRS {
        match attempt.values.deserialize::<Config>() {
            Ok(whole) => {
                config = Some(whole);
                break;
            }
            Err(error) => {
                if !attempt.repair(Key(error.path), error.kind) {
                    break;
                }
            }
        }
    }
    Extracted { config, problems: attempt.problems, repaired: attempt.repaired }
}

struct Attempt {
    values: Value,
    problems: Vec<Problem>,
    repaired: BTreeSet<Key>,
    /// How many stand-ins were tried at a place.
    stand_ins: BTreeMap<Key, usize>,
}

impl Attempt {
    /// Notes the fault and makes the next attempt get past it; false when nothing helps.
    fn repair(&mut self, key: Key, kind: Kind) -> bool {
        if let Kind::MissingField(field) = &kind {
            let missing = key.and(field);
            self.note(&missing, format!("`{field}` is missing"), example(field).map(str::to_owned), key);
            return self.stand_in(missing);
        }
        let (message, suggestion) = self.describe(&key, &kind);
        self.note(&key, message, suggestion, key.clone());
        if self.stand_ins.contains_key(&key) || self.in_list(&key) {
            self.stand_in(key)
        } else {
            remove(&mut self.values, &key)
        }
    }

    /// Says it once, and not about values of our own making.
    fn note(&mut self, key: &Key, message: String, suggestion: Option<String>, place: Key) {
        let known = self.repaired.iter().any(|repaired| repaired.holds(key));
        if !known {
            self.problems.push(Problem { key: place, message, suggestion });
            self.repaired.insert(key.clone());
        }
    }

    /// Puts the next stand-in there; when all have failed, takes away what holds it.
    fn stand_in(&mut self, key: Key) -> bool {
        let tried = self.stand_ins.entry(key.clone()).or_default();
        let stand_in = match *tried {
            0 => Value::from("stand-in"),
            1 => Value::from(0.5),
            2 => Value::from(Vec::<Value>::new()),
            3 => Value::from(Dict::new()),
            _ => {
                let parent = key.parent();
                self.repaired.insert(parent.clone());
                return !parent.0.is_empty() && remove(&mut self.values, &parent);
            }
        };
        *tried += 1;
        insert(&mut self.values, &key, stand_in)
    }

    fn in_list(&self, key: &Key) -> bool {
        matches!(at(&self.values, &key.parent().0), Some(Value::Array(..)))
    }

    fn describe(&self, key: &Key, kind: &Kind) -> (String, Option<String>) {
        let found = || at(&self.values, &key.0).filter(|_| !key.is_secret()).map(|value| show(&value.to_actual()));
        let found = || found().map_or_else(String::new, |found| format!(", found {found}"));
        match kind {
            Kind::UnknownField(field, _) if NOT_BUILT.contains(&field.as_str()) => {
                ("not built yet".to_owned(), Some("remove it".to_owned()))
            }
            Kind::UnknownField(field, known) => ("unknown key".to_owned(), suggest(field, known.iter().copied())),
            Kind::UnknownVariant(name, known) => {
                let choices: Vec<String> = known.iter().map(|choice| format!("\"{choice}\"")).collect();
                let message = format!("expected {}{}", choices.join(" or "), found());
                (message, suggest(name, known.iter().copied()).filter(|suggestion| suggestion.starts_with("did")))
            }
            Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => {
                (format!("expected {}{}", plain(expected), found()), None)
            }
            Kind::Message(message) if message.contains("socket address") => {
                (format!("expected an address such as \"127.0.0.1:8080\"{}", found()), None)
            }
            Kind::Message(message) if message.starts_with("expected") => (format!("{message}{}", found()), None),
            other => (other.to_string(), None),
        }
    }
}

/// What a required key may look like.
fn example(field: &str) -> Option<&'static str> {
    Some(match field {
        "backends" => "write [backends.NAME] with base_url = \"https://host/v1\"",
        "path" => "write path = \"ledger.db\"",
        "base_url" => "write base_url = \"https://host/v1\"",
        "routes" => "write [[routes]] with name and candidates",
        "candidates" => "write candidates = [\"BACKEND\"]",
        "source" => "say where the numbers come from: source = \"…\"",
        "default" => "write default = 0.8, or { simple = 0.9, medium = 0.8, hard = 0.6 }",
        "input" | "output" => "prices are USD per 1M tokens",
        "texts" => "write texts = [\"an example\", \"another\"]",
        "usd" => "write usd = 10.0",
        "per" => "write per = \"day\", \"week\" or \"month\"",
        "sha256" => "`mom keys new` prints it",
        _ => return None,
    })
}

/// serde's names of types in plain words.
fn plain(expected: &str) -> &str {
    match expected {
        "f32" | "f64" => "a number",
        "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "a table",
        "path string" => "a path",
        _ if expected.starts_with("struct ") => "a table",
        _ if expected.starts_with("enum ") || expected.contains("variant") => "a string",
        _ => expected,
    }
}

fn show(actual: &Actual) -> String {
    match actual {
        Actual::Str(text) => format!("{text:?}"),
        Actual::Bool(value) => value.to_string(),
        Actual::Unsigned(value) => value.to_string(),
        Actual::Signed(value) => value.to_string(),
        Actual::Float(value) => value.to_string(),
        Actual::Seq => "a list".to_owned(),
        Actual::Map => "a table".to_owned(),
        other => other.to_string(),
    }
}

fn at<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, part| match value {
        Value::Dict(_, dict) => dict.get(part),
        Value::Array(_, list) => list.get(part.parse::<usize>().ok()?),
        _ => None,
    })
}

fn at_mut<'a>(value: &'a mut Value, path: &[String]) -> Option<&'a mut Value> {
    path.iter().try_fold(value, |value, part| match value {
        Value::Dict(_, dict) => dict.get_mut(part),
        Value::Array(_, list) => list.get_mut(part.parse::<usize>().ok()?),
        _ => None,
    })
}

/// Elements of a list are emptied rather than removed, so that the others keep their place.
fn remove(values: &mut Value, key: &Key) -> bool {
    let Some((last, parent)) = key.0.split_last() else { return false };
    match at_mut(values, parent) {
        Some(Value::Dict(_, dict)) => dict.remove(last).is_some(),
        Some(Value::Array(..)) => insert(values, key, Value::from(Dict::new())),
        _ => false,
    }
}

fn insert(values: &mut Value, key: &Key, new: Value) -> bool {
    let Some((last, parent)) = key.0.split_last() else { return false };
    match at_mut(values, parent) {
        Some(Value::Dict(_, dict)) => {
            dict.insert(last.clone(), new);
            true
        }
        Some(Value::Array(_, list)) => match last.parse::<usize>().ok().and_then(|index| list.get_mut(index)) {
            Some(element) => {
                *element = new;
                true
            }
            None => false,
        },
        _ => false,
    }
}
