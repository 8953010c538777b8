//! Where prompts come from: a file of JSON lines, or the ledger where it keeps text.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::cli::{Failure, rows};
use crate::learn::grade::Wanted;
use crate::ledger::Store;
use crate::openai::content::{self, Message};

/// One prompt to replay.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) id: Value,
    /// The id as the outcome file's reader compares it.
    pub(super) key: String,
    /// What is sent.
    pub(super) messages: Vec<Value>,
    /// The person's words in the last message: what is judged, and what outcomes are kept for.
    pub(super) text: String,
    pub(super) answer: Option<String>,
    pub(super) choices: Vec<String>,
    pub(super) group: Option<String>,
}

#[derive(Deserialize)]
struct Row {
    #[serde(default)]
    id: Option<Value>,
    #[serde(default, alias = "text")]
    prompt: Option<String>,
    #[serde(default)]
    messages: Option<Vec<Value>>,
    #[serde(default)]
    answer: Option<Value>,
    #[serde(default)]
    choices: Option<Vec<String>>,
    #[serde(default, alias = "subject", alias = "src", alias = "source")]
    group: Option<String>,
}

/// A file's prompts, each once, and how many were there again.
pub(super) fn from_file(file: &PathBuf) -> Result<(Vec<Asked>, usize), Failure> {
    let mut known: HashMap<String, Asked> = HashMap::new();
    let mut repeated = 0;
    let read = rows::read_with(std::slice::from_ref(file), |line, _, _| {
        let row: Row = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        let named = row.id.as_ref().is_some_and(|id| !id.is_null());
        let asked = row.asked()?;
        match known.get(&asked.key) {
            Some(_) if named => return Err(format!("the id {} is there already", asked.key)),
            Some(before) if before.answer != asked.answer || before.choices != asked.choices => {
                return Err("the same prompt is there already, with another `answer` or other `choices`".to_owned());
            }
            Some(_) => {
                repeated += 1;
                return Ok(None);
            }
            None => {}
        }
        known.insert(asked.key.clone(), asked.clone());
        Ok(Some(asked))
    })?;
    if read.bad > 0 {
        let lines =
            if read.bad == 1 { "1 line is faulty".to_owned() } else { format!("{} lines are faulty", read.bad) };
        return Err(Failure::new(format!("{}: {lines}; nothing was asked", file.display())));
    }
    let asked: Vec<Asked> = read.rows.into_iter().flatten().collect();
    if asked.is_empty() {
        return Err(Failure::new(format!("{}: no prompts there", file.display())));
    }
    Ok((asked, repeated))
}

/// What chats asked since then, each conversation once, and how many could not be replayed.
pub(super) fn from_ledger(file: &Path, since: SystemTime) -> Result<(Vec<Asked>, usize), Failure> {
    let texts = Store::open_existing(file)?.texts(since)?;
    if texts.is_empty() {
        let says = "the ledger keeps no text of that time; `text = true` in [ledger] keeps it from then on";
        return Err(Failure::new(format!("{}: {says}", file.display())));
    }
    let (mut asked, mut known, mut unfit) = (Vec::new(), HashSet::new(), 0);
    for [id, route, body] in texts {
        let row = serde_json::from_str::<Row>(&body).map_err(|error| error.to_string());
        // An id of its own: the same words are asked once.
        let row = row.and_then(|row| Row { id: None, group: Some(route), ..row }.asked());
        match row {
            Ok(one) if known.insert(one.key.clone()) => {
                asked.push(Asked { id: id.as_str().into(), key: json!(id).to_string(), ..one })
            }
            Ok(_) => {}
            Err(_) => unfit += 1,
        }
    }
    if asked.is_empty() {
        return Err(Failure::new(format!("{}: none of {unfit} chats can be replayed as text", file.display())));
    }
    Ok((asked, unfit))
}

impl Row {
    fn asked(self) -> Result<Asked, String> {
        let messages = match (self.prompt, self.messages) {
            (Some(_), Some(_)) => return Err("has both `prompt` and `messages`".to_owned()),
            (Some(prompt), None) => vec![json!({"role": "user", "content": prompt})],
            (None, Some(messages)) => messages,
            (None, None) => return Err("has neither `prompt` (or `text`) nor `messages`".to_owned()),
        };
        let text = words(&messages)?;
        let answer = match self.answer {
            None | Some(Value::Null) => None,
            Some(Value::String(answer)) => Some(answer),
            Some(answer @ (Value::Number(_) | Value::Bool(_))) => Some(answer.to_string()),
            Some(_) => return Err("`answer` is neither text nor a number".to_owned()),
        };
        // Without an id, what is asked names it: lines may move and others join them.
        let id = self.id.filter(|id| !id.is_null()).unwrap_or_else(|| digest(&json!(messages).to_string()).into());
        let (choices, group) = (self.choices.unwrap_or_default(), self.group);
        Ok(Asked { key: id.to_string(), id, messages, text, answer, choices, group })
    }
}

/// The person's own words in the last user message.
fn words(messages: &[Value]) -> Result<String, String> {
    let spelled = Value::from(messages).to_string();
    let read: Vec<Message<'_>> = serde_json::from_str(&spelled).map_err(|error| format!("`messages`: {error}"))?;
    let parts = messages.iter().filter_map(|message| message["content"].as_array()).flatten();
    if let Some(kind) = parts.filter_map(|part| part["type"].as_str()).find(|kind| *kind != "text") {
        return Err(format!("has a part of the type {kind}: only text is replayed"));
    }
    let judged = content::judged(&read);
    let words: Vec<String> = judged.parts.into_iter().filter(|part| part.ask).map(|part| part.text).collect();
    let words = words.join("\n");
    if words.trim().is_empty() { Err("asks nothing: there is no text of a user".to_owned()) } else { Ok(words) }
}

/// Twelve digits that stand for a text.
pub(super) fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

impl Asked {
    pub(super) fn wanted(&self) -> Wanted<'_> {
        Wanted { answer: self.answer.as_deref(), choices: &self.choices }
    }

    /// All that was said, for a judge to read.
    pub(super) fn conversation(&self) -> String {
        let [message] = &self.messages[..] else {
            let said = self.messages.iter().map(|message| {
                let content = &message["content"];
                let text = content.as_str().map_or_else(|| content.to_string(), str::to_owned);
                format!("[{}]\n{text}", message["role"].as_str().unwrap_or_default())
            });
            return said.collect::<Vec<_>>().join("\n\n");
        };
        message["content"].as_str().unwrap_or(&self.text).to_owned()
    }

    /// Puts the system prompt before conversations that have none.
    pub(super) fn with_system(&mut self, system: &str) {
        let operator = |message: &Value| matches!(message["role"].as_str(), Some("system" | "developer"));
        if !self.messages.iter().any(operator) {
            self.messages.insert(0, json!({"role": "system", "content": system}));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn read(lines: &[Value]) -> Result<(Vec<Asked>, usize), String> {
        let mut file = tempfile::Builder::new().suffix(".jsonl").tempfile().unwrap();
        lines.iter().for_each(|line| writeln!(file, "{line}").unwrap());
        from_file(&file.path().to_owned()).map_err(|failure| failure.to_string())
    }

    #[test]
    fn prompts_of_every_kind() {
        let talk = json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello"}, {"role": "user", "content": [{"type": "text", "text": "Why?"}]}]);
        let (asked, repeated) = read(&[
            json!({"id": 7, "prompt": "What is 6 times 7?", "answer": 42, "group": "sums"}),
            json!({"text": "Name a colour.", "choices": ["red", "blue"], "answer": "A"}),
            json!({"messages": talk}),
            json!({"text": "Name a colour.", "choices": ["red", "blue"], "answer": "A"}),
        ])
        .unwrap();
        assert_eq!((asked.len(), repeated), (3, 1));
        assert_eq!((asked[0].key.as_str(), asked[0].answer.as_deref()), ("7", Some("42")));
        assert_eq!((asked[2].text.as_str(), asked[2].messages.len()), ("Why?", 4));
        assert_eq!(asked[1].id.as_str().unwrap().len(), 12);
        let mut told = asked.clone();
        told.iter_mut().for_each(|asked| asked.with_system("Answer in one word."));
        assert_eq!(told[1].messages[0]["content"], "Answer in one word.");
        assert_eq!(told[2].messages, asked[2].messages, "it has one of its own");
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        let image = json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]);
        for lines in [
            vec![json!({"id": 1})],
            vec![json!({"id": 1, "prompt": "  "})],
            vec![json!({"id": 1, "prompt": "a", "messages": []})],
            vec![json!({"id": 1, "prompt": "a", "answer": ["x"]})],
            vec![json!({"messages": image})],
            vec![json!({"messages": [{"content": "no role"}]})],
            vec![json!({"id": 1, "prompt": "a"}), json!({"id": 1, "prompt": "b"})],
            vec![json!({"prompt": "a", "answer": "x"}), json!({"prompt": "a", "answer": "y"})],
        ] {
            assert!(read(&lines).unwrap_err().contains("nothing was asked"), "{lines:?}");
        }
        assert!(read(&[]).unwrap_err().contains("no prompts there"));
    }
}
