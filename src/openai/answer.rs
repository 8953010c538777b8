//! Whether an answer says something, judged by what it carries itself: words, tool calls, refusals,
//! log-probabilities. How right it is, nobody can tell from that.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Usage;
use super::sse::Reader;
use super::usage::{Said, decoded};

mod refusal;

/// What an answer must be.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Standard {
    /// Mean log-probability of its tokens, where it tells any.
    pub min_logprob: Option<f64>,
    /// Refusals are not good enough.
    pub refusals: bool,
}

/// What an answer lacks, the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lack {
    /// It is an error, it broke off, or it is no answer of this API.
    Error,
    /// The provider's filter took it away, or a part of it.
    Filtered,
    /// No words and no tool calls.
    Empty,
    Refusal,
    /// Its tokens were unlikely to the model itself.
    LowLogprob,
}

/// An answer as far as it has come.
#[derive(Debug, Default)]
pub struct Heard {
    pub usage: Option<Usage>,
    said: Said,
    choices: BTreeMap<u64, Choice>,
    failed: bool,
    /// Well-formed, in an encoding or of a shape that is not known here.
    strange: bool,
}

#[derive(Debug, Default)]
struct Choice {
    /// No more than is needed to tell a refusal.
    opening: String,
    spoke: bool,
    acted: bool,
    refused: bool,
    filtered: bool,
    logprobs: f64,
    tokens: u32,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(default)]
    error: Option<IgnoredAny>,
    #[serde(default, borrow)]
    choices: Option<Vec<WireChoice<'a>>>,
}

#[derive(Deserialize)]
struct WireChoice<'a> {
    #[serde(default)]
    index: u64,
    #[serde(default, borrow, alias = "message")]
    delta: Option<Words<'a>>,
    #[serde(default, borrow)]
    text: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    finish_reason: Option<Cow<'a, str>>,
    #[serde(default)]
    logprobs: Option<Logprobs>,
}

#[derive(Default, Deserialize)]
struct Words<'a> {
    #[serde(default, borrow)]
    content: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    refusal: Option<Cow<'a, str>>,
    #[serde(default)]
    tool_calls: Option<Vec<IgnoredAny>>,
    #[serde(default)]
    function_call: Option<IgnoredAny>,
    #[serde(default)]
    audio: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Logprobs {
    /// Chat.
    #[serde(default)]
    content: Option<Vec<Token>>,
    /// Completions; the first token of an echoed prompt has none.
    #[serde(default)]
    token_logprobs: Option<Vec<Option<f64>>>,
}

#[derive(Deserialize)]
struct Token {
    logprob: f64,
}

impl Heard {
    /// Of a body with this `content-encoding`; `events` when it is an event stream. `whole`: it is all there.
    pub fn of(body: &[u8], encoding: Option<&str>, events: bool, whole: bool) -> Self {
        let mut heard = Self::default();
        let Some(body) = decoded(encoding, body) else {
            // Packed in a way that cannot be read here, or packed badly.
            heard.strange = true;
            return heard;
        };
        if events {
            let mut reader = Reader::default();
            reader.feed(&body, |event| heard.event(event));
            heard.failed |= whole && reader.inside_event();
        } else if whole {
            heard.json(&body);
        }
        heard
    }

    /// Its tokens, by a tokenizer's word, where the backend told none.
    pub fn tokens(&self, count: impl Fn(&str) -> u64) -> u64 {
        self.said.tokens(count)
    }

    /// Nothing can be said of it.
    pub fn is_strange(&self) -> bool {
        self.strange && !self.failed
    }

    /// The gravest thing that it lacks. Of several choices each must do.
    pub fn lacks(&self, standard: &Standard) -> Option<Lack> {
        if self.failed {
            return Some(Lack::Error);
        }
        if self.strange {
            return None;
        }
        if self.choices.is_empty() {
            return Some(Lack::Empty);
        }
        self.choices.values().filter_map(|choice| choice.lacks(standard)).min()
    }

    fn event(&mut self, event: &[u8]) {
        if event.trim_ascii() != b"[DONE]" {
            self.json(event);
        }
    }

    fn json(&mut self, json: &[u8]) {
        let wire: Wire<'_> = match serde_json::from_slice(json) {
            Ok(wire) => wire,
            Err(error) if error.is_data() => {
                self.strange = true;
                return;
            }
            Err(_) => {
                self.failed = true;
                return;
            }
        };
        self.failed |= wire.error.is_some();
        match Usage::from_json(json) {
            Some(usage) => self.usage = Some(usage),
            None => self.said.hear(json),
        }
        for choice in wire.choices.into_iter().flatten() {
            self.choices.entry(choice.index).or_default().hear(choice);
        }
    }
}

impl Choice {
    fn hear(&mut self, wire: WireChoice<'_>) {
        let Words { content, refusal, tool_calls, function_call, audio } = wire.delta.unwrap_or_default();
        for words in [wire.text, content].into_iter().flatten() {
            self.spoke |= !words.trim().is_empty();
            if self.opening.len() <= refusal::LONGEST {
                self.opening.push_str(&words);
            }
        }
        self.refused |= refusal.is_some_and(|refusal| !refusal.trim().is_empty());
        self.acted |= tool_calls.is_some_and(|calls| !calls.is_empty()) || function_call.is_some() || audio.is_some();
        self.filtered |= wire.finish_reason.is_some_and(|reason| reason == "content_filter");
        if let Some(Logprobs { content, token_logprobs }) = wire.logprobs {
            let chat = content.into_iter().flatten().map(|token| token.logprob);
            for logprob in chat.chain(token_logprobs.into_iter().flatten().flatten()) {
                self.logprobs += logprob;
                self.tokens += 1;
            }
        }
    }

    fn lacks(&self, standard: &Standard) -> Option<Lack> {
        if self.filtered {
            return Some(Lack::Filtered);
        }
        if !(self.spoke || self.acted || self.refused) {
            return Some(Lack::Empty);
        }
        let declines = self.refused || (!self.acted && refusal::declines(&self.opening));
        if standard.refusals && declines {
            return Some(Lack::Refusal);
        }
        let unlikely = |least: f64| self.tokens > 0 && self.logprobs / f64::from(self.tokens) < least;
        standard.min_logprob.is_some_and(unlikely).then_some(Lack::LowLogprob)
    }
}

#[cfg(test)]
mod tests;
