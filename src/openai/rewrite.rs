//! The only changes the gateway makes to a request body, each in place: the value of `model`,
//! and (where the configuration opts in) the asks for stream usage and for log-probabilities.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use bytes::Bytes;
use serde::de::IgnoredAny;

use super::View;

/// The body to send for `model`. Shares the client's bytes unless something must change.
pub fn for_backend(body: &Bytes, view: &View<'_>, model: &str, request_usage: bool) -> Bytes {
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    if view.model != model {
        edits.push((view.model_span.clone(), serde_json::Value::from(model).to_string()));
    }
    if request_usage && view.stream {
        edits.extend(ask_for_usage(body, view));
    }
    if edits.is_empty() { body.clone() } else { apply(body, edits) }
}

/// `stream_options.include_usage = true`, unless the client said anything about it.
fn ask_for_usage(body: &[u8], view: &View<'_>) -> Option<(Range<usize>, String)> {
    const ASK: &str = "\"include_usage\":true";
    let Some(options) = view.stream_options.clone() else {
        let end = body.iter().rposition(|&byte| byte == b'}')?;
        return Some((end..end, format!(",\"stream_options\":{{{ASK}}}")));
    };
    let value = std::str::from_utf8(&body[options.clone()]).ok()?;
    let fields: serde_json::Map<String, serde_json::Value> = match serde_json::from_str(value).ok()? {
        serde_json::Value::Null => return Some((options, format!("{{{ASK}}}"))),
        serde_json::Value::Object(fields) => fields,
        _ => return None,
    };
    if fields.contains_key("include_usage") {
        return None;
    }
    let inside = options.start + 1;
    let comma = if fields.is_empty() { "" } else { "," };
    Some((inside..inside, format!("{ASK}{comma}")))
}

/// A chat body with `logprobs = true`, unless the client said anything about it.
pub fn with_logprobs(body: &Bytes) -> Bytes {
    let said = |keys: HashMap<Cow<'_, str>, IgnoredAny>| keys.contains_key("logprobs");
    match (serde_json::from_slice(body).map(said), body.iter().rposition(|&byte| byte == b'}')) {
        (Ok(false), Some(end)) => apply(body, vec![(end..end, ",\"logprobs\":true".to_owned())]),
        _ => body.clone(),
    }
}

/// Applies non-overlapping edits.
fn apply(body: &[u8], mut edits: Vec<(Range<usize>, String)>) -> Bytes {
    edits.sort_by_key(|(range, _)| range.start);
    let added: usize = edits.iter().map(|(_, text)| text.len()).sum();
    let mut out = Vec::with_capacity(body.len() + added);
    let mut copied = 0;
    for (range, text) in edits {
        out.extend_from_slice(&body[copied..range.start]);
        out.extend_from_slice(text.as_bytes());
        copied = range.end;
    }
    out.extend_from_slice(&body[copied..]);
    out.into()
}

#[cfg(test)]
mod tests;
