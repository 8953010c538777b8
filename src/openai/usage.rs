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
        Some(Self {
            prompt: wire.prompt_tokens,
            cached: wire.prompt_tokens_details.and_then(|details| details.cached_tokens).unwrap_or(0),
            completion: wire.completion_tokens,
            reasoning: wire.completion_tokens_details.and_then(|details| details.reasoning_tokens).unwrap_or(0),
        })
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
    fn reads_details_and_survives_null() {
        let full = br#"{"usage":{"prompt_tokens":9,"completion_tokens":12,"total_tokens":21,
            "prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":5}}}"#;
        assert_eq!(Usage::from_json(full), Some(Usage { prompt: 9, cached: 4, completion: 12, reasoning: 5 }));
        assert_eq!(Usage::from_json(br#"{"choices":[],"usage":null}"#), None);
        assert_eq!(Usage::from_json(br#"{"choices":[]}"#), None);
        assert_eq!(Usage::from_json(br#"{"usage":"#), None);
    }
}
