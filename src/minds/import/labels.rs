//! The labels of a model, in output order, from a mapping file or from `config.json`.
//!
//! Indices must run from 0 without a gap, and both directions of a mapping must agree:
//! anything else would give answers under the wrong name.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use super::ImportError;
use super::source::{self, Source};
use crate::minds::Task;

/// Mapping files, and the task that a file is for where its name says so.
const FILES: [(&str, Option<Task>); 6] = [
    ("category_mapping.json", Some(Task::Intent)),
    ("jailbreak_type_mapping.json", Some(Task::Jailbreak)),
    ("jailbreak_mapping.json", Some(Task::Jailbreak)),
    ("pii_type_mapping.json", Some(Task::Pii)),
    ("pii_mapping.json", Some(Task::Pii)),
    ("label_mapping.json", None),
];

/// Labels as the model's makers spell them.
#[derive(Debug)]
pub(super) struct Labels {
    pub(super) names: Vec<String>,
    pub(super) file: PathBuf,
    /// What the file's name says.
    pub(super) task: Option<Task>,
}

/// Reads the labels; `None` where nothing names any. With several mapping files that of
/// `task` counts.
pub(super) fn read(source: &Source, task: Option<Task>) -> Result<Option<Labels>, ImportError> {
    let mut present: Vec<_> =
        FILES.iter().map(|(name, task)| (source.folder.join(name), *task)).filter(|(path, _)| path.is_file()).collect();
    if present.len() > 1 && present.iter().any(|(_, theirs)| theirs.is_some() && *theirs == task) {
        present.retain(|(_, theirs)| *theirs == task);
    }
    if let [(first, _), (second, _), ..] = present.as_slice() {
        let message = format!("there is {} too; which is it? say so with --task", source.short(second));
        return Err(ImportError::refused(first, message));
    }
    if let Some((file, task)) = present.pop() {
        let content = source::json(&file)?.unwrap_or_default();
        let names = mapped(&content).map_err(|message| ImportError::refused(&file, message))?;
        return Ok(Some(Labels { names, file, task }));
    }
    let file = source.folder.join("config.json");
    let named = ["id2label", "label2id"].iter().any(|key| source.config[key].is_object());
    if !named {
        return Ok(None);
    }
    let names = mapped(&source.config).map_err(|message| ImportError::refused(&file, message))?;
    Ok(Some(Labels { names, file, task: None }))
}

/// Labels in output order from an object that holds a mapping in one or both directions.
fn mapped(content: &Value) -> Result<Vec<String>, String> {
    let entries = || content.as_object().into_iter().flatten();
    let to_index = |key: &str| key.ends_with("_to_idx") || key.ends_with("_to_id") || key == "label2id";
    let to_label = |key: &str| key.starts_with("idx_to_") || key.starts_with("id_to_") || key == "id2label";
    let forth = entries().find(|(key, _)| to_index(key));
    let back = entries().find(|(key, _)| to_label(key));
    let forth = forth.map(|(key, value)| pairs(key, value, |name, index| (index, name))).transpose()?;
    let back = back.map(|(key, value)| pairs(key, value, |index, name| (index, name))).transpose()?;
    match (forth, back) {
        (Some(forth), Some(back)) => {
            let (forth, back) = (in_order(forth)?, in_order(back)?);
            match forth.iter().zip(&back).position(|(forth, back)| forth != back) {
                None if forth.len() == back.len() => Ok(forth),
                None => Err(format!("one direction has {} labels, the other {}", forth.len(), back.len())),
                Some(at) => Err(format!("index {at} is `{}` one way and `{}` the other", forth[at], back[at])),
            }
        }
        (Some(one), None) | (None, Some(one)) => in_order(one),
        (None, None) => {
            let keys: Vec<&str> = entries().map(|(key, _)| key.as_str()).take(8).collect();
            Err(format!("no key like *_to_idx, idx_to_*, label_to_id or id_to_label; it has: {}", keys.join(", ")))
        }
    }
}

type Pairs = Vec<(String, String)>;

/// Index and label as text, each written as a string or as a number.
fn pairs(key: &str, value: &Value, turn: impl Fn(String, String) -> (String, String)) -> Result<Pairs, String> {
    let object = value.as_object().ok_or_else(|| format!("`{key}` is not an object"))?;
    let one = |(left, right): (&String, &Value)| match right {
        Value::String(text) => Ok(turn(left.clone(), text.clone())),
        Value::Number(number) => Ok(turn(left.clone(), number.to_string())),
        _ => Err(format!("`{key}.{left}` is neither a string nor a number")),
    };
    object.iter().map(one).collect()
}

fn in_order(pairs: Pairs) -> Result<Vec<String>, String> {
    let mut by_index = BTreeMap::new();
    for (index, label) in pairs {
        let at: usize =
            index.parse().map_err(|_| format!("`{index}`, the index of `{label}`, is not a whole number"))?;
        if let Some(other) = by_index.insert(at, label.clone()) {
            return Err(format!("`{other}` and `{label}` share the index {at}"));
        }
    }
    if by_index.is_empty() {
        return Err("the mapping is empty".to_owned());
    }
    match (0..by_index.len()).find(|at| !by_index.contains_key(at)) {
        Some(gap) => Err(format!("the labels are not contiguous from 0: nothing has the index {gap}")),
        None => Ok(by_index.into_values().collect()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_spelling_of_a_mapping_is_read() {
        for content in [
            json!({"category_to_idx": {"law": 1, "math": 0}}),
            json!({"category_to_idx": {"law": "1", "math": "0"}, "other": []}),
            json!({"idx_to_category": {"1": "law", "0": "math"}}),
            json!({"label_to_id": {"law": 1, "math": 0}, "id_to_label": {"0": "math", "1": "law"}}),
            json!({"id2label": {"0": "math", "1": "law"}, "label2id": {"law": 1, "math": 0}}),
        ] {
            assert_eq!(mapped(&content).unwrap(), ["math", "law"], "{content}");
        }
        assert_eq!(mapped(&json!({"idx_to_label": {"0": 7, "1": 8}})).unwrap(), ["7", "8"]);
    }

    #[test]
    fn what_would_misname_an_answer_is_refused() {
        let fault = |content: Value| mapped(&content).unwrap_err();
        assert!(fault(json!({"label_to_id": {"a": 0, "b": 2}})).contains("index 1"));
        assert!(fault(json!({"label_to_id": {"a": 1, "b": 2}})).contains("index 0"));
        assert!(fault(json!({"label_to_id": {"a": 0, "b": 0}})).contains("share"));
        assert!(fault(json!({"label_to_id": {"a": 0.5}})).contains("whole number"));
        assert!(fault(json!({"label_to_id": {"a": -1}})).contains("whole number"));
        assert!(fault(json!({"label_to_id": {"a": 0}, "id_to_label": {"0": "b"}})).contains("one way"));
        assert!(fault(json!({"label_to_id": {"a": 0}, "id_to_label": {"0": "a", "1": "b"}})).contains("labels"));
        assert!(fault(json!({"label_to_id": {}})).contains("empty"));
        assert!(fault(json!({"label_to_id": []})).contains("object"));
        assert!(fault(json!({"labels": ["a"]})).contains("labels"));
    }
}
