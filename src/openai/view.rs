//! A borrowed view over a request's raw bytes: what routing needs to know, and where the
//! few bytes stand that may be replaced.
//!
//! Strict about what the gateway must understand to be safe (one `model`, one `messages`,
//! text it can read); silent about everything else, which is the backend's to judge.

use std::borrow::Cow;
use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::content::{self, Message, Prompt};
use super::judged::{Input, Part, Place, Source};
use super::keys;

/// The three relayed endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    ChatCompletions,
    Completions,
    Embeddings,
}

impl Endpoint {
    /// For logs and spans.
    pub fn name(self) -> &'static str {
        match self {
            Self::ChatCompletions => "chat.completions",
            Self::Completions => "completions",
            Self::Embeddings => "embeddings",
        }
    }

    /// Path below a backend's `base_url`.
    pub fn path(self) -> &'static str {
        match self {
            Self::ChatCompletions => "/chat/completions",
            Self::Completions => "/completions",
            Self::Embeddings => "/embeddings",
        }
    }
}

/// What the gateway reads of a request.
#[derive(Debug)]
pub struct View<'a> {
    pub model: Cow<'a, str>,
    /// Byte range of the `model` value, quotes included.
    pub model_span: Range<usize>,
    pub stream: bool,
    /// Byte range of the `stream_options` value, where there is one.
    pub stream_options: Option<Range<usize>>,
    pub input: Input,
    pub tools: bool,
    pub images: bool,
    pub audio: bool,
    pub json_schema: bool,
    pub max_output_tokens: Option<u64>,
    /// How many are asked for, each as long as the bound above allows. 0: the endpoint writes nothing.
    pub answers: u64,
    /// Bytes of tool and schema definitions: part of the prompt, and of its price.
    pub definition_bytes: usize,
}

/// Why a request cannot be read. `param` is a path such as `messages[0].content`.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ParseError {
    pub message: String,
    pub param: Option<String>,
}

#[derive(Deserialize)]
#[serde(expecting = "a JSON object")]
struct Body<'a> {
    #[serde(borrow)]
    model: &'a RawValue,
    #[serde(borrow, default)]
    messages: Option<Vec<Message<'a>>>,
    #[serde(borrow, default)]
    prompt: Option<Prompt<'a>>,
    /// Completions only: text after the insertion point.
    #[serde(borrow, default)]
    suffix: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    input: Option<Prompt<'a>>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(borrow, default)]
    stream_options: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tools: Option<&'a RawValue>,
    #[serde(borrow, default)]
    functions: Option<&'a RawValue>,
    #[serde(borrow, default)]
    response_format: Option<&'a RawValue>,
    /// Further places where backends take words for the model from.
    #[serde(borrow, default)]
    prediction: Option<&'a RawValue>,
    #[serde(borrow, default)]
    documents: Option<&'a RawValue>,
    #[serde(borrow, default)]
    chat_template: Option<&'a RawValue>,
    #[serde(borrow, default)]
    chat_template_kwargs: Option<&'a RawValue>,
    #[serde(borrow, default)]
    max_completion_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    max_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    n: Option<&'a RawValue>,
    /// Completions only: written, though not all of them are shown.
    #[serde(borrow, default)]
    best_of: Option<&'a RawValue>,
}

/// The keys of a body that the gateway acts on.
const READ: [&str; 9] =
    ["model", "messages", "prompt", "suffix", "input", "stream", "stream_options", "prediction", "documents"];

impl<'a> View<'a> {
    /// Reads a request body. Refuses duplicates of the keys it reads: two readers would
    /// pick different ones, and the guards must see what the backend sees.
    pub fn parse(body: &'a [u8], endpoint: Endpoint) -> Result<Self, ParseError> {
        let text = std::str::from_utf8(body).map_err(|error| ParseError {
            message: format!("The request body is not valid UTF-8 (byte {}).", error.valid_up_to()),
            param: None,
        })?;
        // serde would also read an array, field by field in the order they are declared.
        if text.trim_start().starts_with('[') {
            return Err(ParseError { message: "The request body must be a JSON object.".to_owned(), param: None });
        }
        if deeper_than(text.as_bytes(), MAX_DEPTH) {
            let message = format!("The request body nests deeper than {MAX_DEPTH} levels.");
            return Err(ParseError { message, param: None });
        }
        let deserializer = &mut serde_json::Deserializer::from_str(text);
        let parsed: Body<'a> = serde_path_to_error::deserialize(&mut *deserializer).map_err(ParseError::from_json)?;
        deserializer.end().map_err(|error| ParseError::syntax(&error))?;
        keys::refuse_look_alikes(text, &READ).map_err(ParseError::from_json)?;

        let model: Cow<'a, str> = serde_json::from_str::<Text<'a>>(parsed.model.get())
            .map(|text| text.0)
            .map_err(|_| ParseError::new("`model` must be a string.", "model"))?;
        let span = |raw: &RawValue| offset(text, raw.get());
        let (input, images, audio) = parsed.texts(endpoint)?;
        Ok(Self {
            model,
            model_span: span(parsed.model),
            stream: parsed.stream.unwrap_or(false),
            stream_options: parsed.stream_options.map(span),
            input,
            tools: parsed.tools.or(parsed.functions).is_some_and(|tools| !matches!(tools.get(), "[]" | "null")),
            images,
            audio,
            definition_bytes: [parsed.tools, parsed.functions, parsed.response_format]
                .iter()
                .flatten()
                .map(|raw| raw.get().len())
                .sum(),
            json_schema: parsed.response_format.is_some_and(|format| format.get().contains("\"json_schema\"")),
            // Backends know one of the two names, or both.
            max_output_tokens: [parsed.max_completion_tokens, parsed.max_tokens]
                .into_iter()
                .filter_map(|raw| serde_json::from_str(raw?.get()).ok())
                .max(),
            answers: parsed.answers(endpoint),
        })
    }
}

impl Body<'_> {
    fn answers(&self, endpoint: Endpoint) -> u64 {
        let whole = |raw: Option<&RawValue>| raw.and_then(|raw| serde_json::from_str::<u64>(raw.get()).ok());
        let each = whole(self.n).max(whole(self.best_of)).unwrap_or(1).max(1);
        match endpoint {
            Endpoint::ChatCompletions => each,
            Endpoint::Completions => {
                let prompts = self.prompt.as_ref().map_or(1, |prompt| prompt.texts.len().max(1));
                each.saturating_mul(prompts as u64)
            }
            Endpoint::Embeddings => 0,
        }
    }

    /// What the minds read, and whether there are images and audio.
    fn texts(&self, endpoint: Endpoint) -> Result<(Input, bool, bool), ParseError> {
        match endpoint {
            Endpoint::ChatCompletions => {
                let messages = self.messages.as_deref().unwrap_or_default();
                if messages.is_empty() {
                    return Err(ParseError::new("`messages` must hold at least one message.", "messages"));
                }
                let (images, audio) = content::media(messages);
                let mut input = content::judged(messages);
                let mut words = Vec::new();
                let beside = [self.prediction, self.documents, self.chat_template, self.chat_template_kwargs];
                beside.into_iter().flatten().for_each(|raw| content::words(raw, &mut words));
                input.parts.extend(words.into_iter().enumerate().map(|(part, text)| Part {
                    place: Some(Place { message: messages.len(), part }),
                    text: text.into_owned(),
                    guarded: true,
                    ask: false,
                    source: Source::Document,
                }));
                Ok((input, images, audio))
            }
            Endpoint::Completions => {
                let missing = || ParseError::new("`prompt` is required.", "prompt");
                let mut input = self.prompt.as_ref().ok_or_else(missing)?.judged();
                if let Some(suffix) = &self.suffix {
                    let place = input.parts.last().and_then(|part| part.place);
                    let place = place.map(|last| Place { part: last.part + 1, ..last });
                    let text = suffix.clone().into_owned();
                    input.parts.push(Part { place, text, guarded: true, ask: false, source: Source::User });
                }
                Ok((input, false, false))
            }
            Endpoint::Embeddings => {
                let missing = || ParseError::new("`input` is required.", "input");
                Ok((self.input.as_ref().ok_or_else(missing)?.judged(), false, false))
            }
        }
    }
}

/// `serde_json::from_str::<Cow<str>>` always owns; this borrows where it can.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Deepest nesting that is read. Backends stop at about the same.
const MAX_DEPTH: usize = 128;

/// Whether brackets nest deeper than `limit`, without recursion.
fn deeper_than(json: &[u8], limit: usize) -> bool {
    let (mut depth, mut at) = (0_usize, 0);
    while at < json.len() {
        match json[at] {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                // To the closing quote: one that no odd run of backslashes escapes.
                at += 1;
                while let Some(step) = json.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
                    at += step;
                    if json[at] == b'"' {
                        break;
                    }
                    at += 2;
                }
            }
            _ => {}
        }
        if depth > limit {
            return true;
        }
        at += 1;
    }
    false
}

/// Where `inner`, a slice of `outer`, stands in it.
fn offset(outer: &str, inner: &str) -> Range<usize> {
    let start = inner.as_ptr() as usize - outer.as_ptr() as usize;
    start..start + inner.len()
}

impl ParseError {
    fn new(message: impl Into<String>, param: impl Into<String>) -> Self {
        Self { message: message.into(), param: Some(param.into()) }
    }

    fn syntax(error: &serde_json::Error) -> Self {
        Self { message: format!("We could not parse the JSON body of your request: {error}."), param: None }
    }

    fn from_json(error: serde_path_to_error::Error<serde_json::Error>) -> Self {
        let path = error.path().to_string();
        let inner = error.into_inner();
        // serde repeats the value it did not expect, however long.
        let said = |most: usize| inner.to_string().chars().take(most).collect::<String>();
        match inner.classify() {
            serde_json::error::Category::Data if path != "." => {
                Self::new(format!("Invalid value for `{path}`: {}.", said(300)), path)
            }
            serde_json::error::Category::Data => {
                let message = said(300);
                // serde's own words name the field: "missing field `model`", "duplicate field `model`".
                let param = message.split('`').nth(1).map(str::to_owned);
                Self { message: format!("Invalid request body: {message}."), param }
            }
            _ => Self::syntax(&inner),
        }
    }
}

#[cfg(test)]
mod tests;
