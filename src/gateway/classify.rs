//! One `mom classify` line in, one out: the same for the command and for `/v1/classify`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::minds::{Judgement, Minds, verdicts_json};
use crate::openai::content::{self, Message};
use crate::openai::judged::{Input, Part};

/// A line as read: what to judge, and the `id` to answer under.
#[derive(Debug)]
pub struct Line {
    /// As given: any JSON value, spelled as it was.
    id: Box<RawValue>,
    input: Input,
}

/// A line that cannot be read; `id` is null where even that could not be.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct BadLine {
    id: Box<RawValue>,
    message: String,
}

/// The line that goes out.
#[derive(Debug, Serialize)]
pub struct Answer {
    id: Box<RawValue>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    messages: Option<Vec<Message<'a>>>,
}

#[derive(Deserialize)]
struct OnlyId<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
}

impl Line {
    pub fn parse(line: &[u8]) -> Result<Self, BadLine> {
        let bad = |id, message| BadLine { id, message };
        let null = || RawValue::NULL.to_owned();
        let text = std::str::from_utf8(line).map_err(|_| bad(null(), "not valid UTF-8".to_owned()))?;
        if !text.trim_ascii_start().starts_with('{') {
            // A list would pass for an object whose keys go unnamed.
            return Err(bad(null(), "expected a JSON object".to_owned()));
        }
        let id = serde_json::from_str::<OnlyId<'_>>(text).ok().and_then(|line| line.id);
        let id = id.map_or_else(null, RawValue::to_owned);
        let wire: Wire<'_> = match serde_json::from_str(text) {
            Ok(wire) => wire,
            Err(error) => return Err(bad(id, error.to_string())),
        };
        let input = match (wire.text, wire.messages) {
            (Some(text), None) => {
                let text = text.into_owned();
                Input { parts: vec![Part::alone(text)], not_text: false }
            }
            (None, Some(messages)) => content::judged(&messages),
            _ => return Err(bad(id, "give either `text` or `messages`".to_owned())),
        };
        Ok(Self { id, input })
    }

    /// The id as given, and what to judge.
    pub fn into_parts(self) -> (Box<RawValue>, Input) {
        (self.id, self.input)
    }

    /// Judges the line and renders the answer.
    pub async fn judge(self, minds: &Minds) -> Answer {
        render(self.id, &minds.judge_and_consult(self.input).await)
    }
}

impl BadLine {
    /// A line of which not even the id can be had.
    pub fn unreadable(message: String) -> Self {
        Self { id: RawValue::NULL.to_owned(), message }
    }

    pub fn into_answer(self) -> Answer {
        Answer { id: self.id, rest: Map::from_iter([("error".to_owned(), self.message.into())]) }
    }
}

fn render(id: Box<RawValue>, judgement: &Judgement) -> Answer {
    let micros = |duration: std::time::Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let timings = judgement.timings;
    let mut line = verdicts_json(judgement);
    line.insert("windows".to_owned(), judgement.windows.into());
    let timing = json!({
        "tokenize": micros(timings.tokenize), "queue": micros(timings.queue),
        "infer": micros(timings.infer), "total": micros(timings.total)
    });
    line.insert("timing_us".to_owned(), timing);
    Answer { id, rest: line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_back_as_given() {
        for id in ["null", "1.50", "\"a\"", "{\"deep\":[1]}"] {
            let line = Line::parse(format!("{{\"text\":\"x\",\"id\":{id}}}").as_bytes()).unwrap();
            assert_eq!(line.id.get(), id);
        }
    }

    #[test]
    fn bad_lines_keep_their_id() {
        let id = |line: &[u8]| Line::parse(line).unwrap_err().id.get().to_owned();
        assert_eq!(id(br#"{"id":7}"#), "7");
        assert_eq!(id(br#"{"id":7,"text":3}"#), "7");
        assert_eq!(id(br#"{"id":7,"text":"a","messages":[]}"#), "7");
        assert_eq!(id(b"{\"id\":7,\"text\":\"\xff\"}"), "null");
        assert_eq!(id(b"not json"), "null");
        assert_eq!(id(br#"["text", null]"#), "null");
    }
}
