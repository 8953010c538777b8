//! Token usage as backends report it, read from a copy of what goes by.

use std::borrow::Cow;
use std::io::Read as _;

use flate2::read::{GzDecoder, ZlibDecoder};
use serde::Deserialize;

/// Tokens of one answer. `cached` is part of `prompt`, `reasoning` part of `completion`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub prompt: u64,
    pub cached: u64,
    pub completion: u64,
    pub reasoning: u64,
}

#[derive(Deserialize)]
struct Carrier {
    #[serde(default)]
    usage: Option<Wire>,
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
    #[serde(default)]
    total_tokens: Option<u64>,
    #[serde(default)]
    prompt_tokens_details: Option<PromptDetails>,
    #[serde(default)]
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Deserialize)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct CompletionDetails {
    #[serde(default)]
    reasoning_tokens: Option<u64>,
}

impl Usage {
    /// From a whole JSON answer or one streamed chunk; `None` where it carries no usage.
    pub fn from_json(json: &[u8]) -> Option<Self> {
        // Most chunks of a stream have none: do not parse those.
        memchr::memmem::find(json, b"\"usage\"")?;
        let wire = serde_json::from_slice::<Carrier>(json).ok()?.usage?;
        let said = wire.completion_tokens_details.and_then(|details| details.reasoning_tokens);
        // Some providers (xAI) count reasoning beside the completion, others (Gemini) in the total alone. All bill it.
        let counted = wire.prompt_tokens.saturating_add(wire.completion_tokens);
        let beside = wire.total_tokens.unwrap_or(0).saturating_sub(counted);
        let adds_up = wire.prompt_tokens > 0 && said.is_none_or(|said| said == 0 || said == beside);
        let beside = if adds_up { beside } else { 0 };
        Some(Self {
            prompt: wire.prompt_tokens,
            cached: wire.prompt_tokens_details.and_then(|details| details.cached_tokens).unwrap_or(0),
            completion: wire.completion_tokens.saturating_add(beside),
            reasoning: said.unwrap_or(0).max(beside),
        })
    }
}

/// What a model has said so far, as much of it as is needed to count its tokens.
#[derive(Debug, Default)]
pub struct Said {
    kept: String,
    chars: usize,
}

/// The beginning of a long answer stands for the rest.
const KEPT: usize = 32 * 1024;

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(default, borrow)]
    choices: Vec<Choice<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default, borrow, alias = "message")]
    delta: Option<Words<'a>>,
    #[serde(default, borrow)]
    text: Option<Cow<'a, str>>,
}

#[derive(Default, Deserialize)]
struct Words<'a> {
    #[serde(default, borrow)]
    content: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    reasoning_content: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    tool_calls: Option<Vec<ToolCall<'a>>>,
}

#[derive(Deserialize)]
struct ToolCall<'a> {
    #[serde(default, borrow)]
    function: Option<Function<'a>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(default, borrow)]
    arguments: Option<Cow<'a, str>>,
}

impl Said {
    /// A whole JSON answer or one streamed chunk.
    pub fn hear(&mut self, json: &[u8]) {
        let Ok(answer) = serde_json::from_slice::<Answer<'_>>(json) else { return };
        for Choice { delta, text } in answer.choices {
            let Words { content, reasoning_content, tool_calls } = delta.unwrap_or_default();
            let calls = tool_calls.into_iter().flatten().filter_map(|call| call.function?.arguments);
            for part in [text, content, reasoning_content].into_iter().flatten().chain(calls) {
                self.chars += part.chars().count();
                if self.kept.len() < KEPT {
                    self.kept.push_str(&part);
                }
            }
        }
    }

    /// How many tokens that is, by a tokenizer's word on the beginning.
    pub fn tokens(&self, count: impl Fn(&str) -> u64) -> u64 {
        let kept = self.kept.chars().count();
        if kept == 0 {
            return 0;
        }
        (count(&self.kept) as f64 * self.chars as f64 / kept as f64).round() as u64
    }
}

/// Most bytes a copy may grow to when it is unpacked.
const MAX_DECODED: u64 = 16 << 20;

/// Whether [`decoded`] knows an encoding.
pub fn can_decode(encoding: Option<&str>) -> bool {
    matches!(encoding.map(str::trim), None | Some("" | "identity" | "gzip" | "x-gzip" | "deflate"))
}

/// A readable copy of a body that went by with this `content-encoding`; `None` for encodings
/// the gateway cannot read.
pub fn decoded<'a>(encoding: Option<&str>, body: &'a [u8]) -> Option<Cow<'a, [u8]>> {
    let mut out = Vec::new();
    match encoding.map(str::trim) {
        None | Some("" | "identity") => return Some(Cow::Borrowed(body)),
        Some("gzip" | "x-gzip") => GzDecoder::new(body).take(MAX_DECODED).read_to_end(&mut out).ok()?,
        Some("deflate") => ZlibDecoder::new(body).take(MAX_DECODED).read_to_end(&mut out).ok()?,
        Some(_) => return None,
    };
    Some(Cow::Owned(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_counted_where_nobody_tells() {
        let mut said = Said::default();
        said.hear(br#"{"choices":[{"delta":{"role":"assistant","content":"Hello \u00e9"}}]}"#);
        said.hear(br#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}}]}"#);
        said.hear(br#"{"choices":[{"message":{"content":null,"reasoning_content":"so"}},{"text":"end"}]}"#);
        for odd in [&b"[DONE]"[..], b"{\"choices\":3}", b"{}"] {
            said.hear(odd);
        }
        assert_eq!(said.kept, "Hello \u{e9}{}soend");
        assert_eq!(said.tokens(|text| text.chars().count() as u64), 14);
        assert_eq!(Said::default().tokens(|_| 3), 0);
        let long = format!(r#"{{"choices":[{{"text":"{}"}}]}}"#, "a".repeat(20_000));
        let mut said = Said::default();
        (0..10).for_each(|_| said.hear(long.as_bytes()));
        assert!(said.kept.len() <= 60_000);
        assert_eq!(said.tokens(|text| text.len() as u64 / 4), 50_000);
    }

    #[test]
    fn reasoning_is_part_of_the_completion_wherever_it_is_counted() {
        let read = |completion: u64, reasoning: &str, total: u64| {
            let json = format!(
                r#"{{"usage":{{"prompt_tokens":10,"completion_tokens":{completion},"total_tokens":{total},
                    "completion_tokens_details":{{"reasoning_tokens":{reasoning}}}}}}}"#
            );
            let usage = Usage::from_json(json.as_bytes()).unwrap();
            (usage.completion, usage.reasoning)
        };
        assert_eq!(read(20, "15", 30), (20, 15), "within");
        assert_eq!(read(5, "15", 30), (20, 15), "beside");
        assert_eq!(read(5, "null", 30), (20, 15), "in the total alone");
        assert_eq!(read(5, "0", 30), (20, 15), "in the total alone");
        assert_eq!(read(5, "4", 30), (5, 4), "a total that is something else");
        assert_eq!(read(20, "15", 0), (20, 15), "no total");
        let reads = br#"{"usage":{"total_tokens":7}}"#;
        assert_eq!(Usage::from_json(reads), Some(Usage::default()));
    }

    #[test]
    fn reads_details_and_survives_null() {
        let full = br#"{"usage":{"prompt_tokens":9,"completion_tokens":12,"total_tokens":21,
            "prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":5}}}"#;
        assert_eq!(Usage::from_json(full), Some(Usage { prompt: 9, cached: 4, completion: 12, reasoning: 5 }));
        assert_eq!(Usage::from_json(br#"{"choices":[],"usage":null}"#), None);
        assert_eq!(Usage::from_json(br#"{"choices":[]}"#), None);
        assert_eq!(Usage::from_json(br#"{"usage":"#), None);
    }
}
