//! What the demo says: one scripted answer, whole or as stream events. Pure but for the clock.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// Characters of the question that are quoted back.
const QUOTED: usize = 80;

/// In every answer's `system_fingerprint`.
pub(super) const FINGERPRINT: &str = "fp_demo";

/// One scripted answer and the accounting that goes with it.
pub(super) struct Answer {
    kind: Kind,
    id: String,
    created: u64,
    model: String,
    text: String,
    /// Name of the tool to call with `{}`.
    tool: Option<String>,
    prompt_tokens: u64,
    cached_tokens: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Chat,
    Completion,
}

impl Answer {
    /// Answers the last message. Everything before it counts as cached, as with a provider
    /// that caches prompt prefixes.
    pub(super) fn to_chat(name: &str, request: &Value, messages: &[Value]) -> Self {
        let (last, earlier) = messages.split_last().map_or((&Value::Null, &[][..]), |(last, earlier)| (last, earlier));
        let mut answer = Self::new(Kind::Chat, name, request, &text_of(&last["content"]));
        answer.cached_tokens = earlier.iter().map(|message| tokens(&text_of(&message["content"]))).sum();
        answer.prompt_tokens += answer.cached_tokens;
        let wanted = request.get("tool_choice").and_then(Value::as_str) != Some("none");
        if wanted && last["role"] != "tool" {
            answer.tool = request.pointer("/tools/0/function/name").and_then(Value::as_str).map(str::to_owned);
        }
        if let Some(tool) = &answer.tool {
            answer.text = format!("[demo backend '{name}'] Calling {tool}, the first tool given.");
        }
        answer
    }

    pub(super) fn to_prompt(name: &str, request: &Value, prompt: &Value) -> Self {
        Self::new(Kind::Completion, name, request, &text_of(prompt))
    }

    fn new(kind: Kind, name: &str, request: &Value, question: &str) -> Self {
        let created = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut quoted: String = question.chars().take(QUOTED).collect();
        if quoted.len() < question.len() {
            quoted.push('…');
        }
        let prefix = if kind == Kind::Chat { "chatcmpl" } else { "cmpl" };
        Self {
            kind,
            id: format!("{prefix}-demo-{:x}", created.as_nanos()),
            created: created.as_secs(),
            model: model_of(request, name),
            text: format!("[demo backend '{name}'] A scripted answer; no model ran. You asked: {quoted}"),
            tool: None,
            prompt_tokens: tokens(question),
            cached_tokens: 0,
        }
    }

    /// The answer of a request without `stream`.
    pub(super) fn whole(&self) -> Value {
        let choice = match self.kind {
            Kind::Completion => {
                json!({"index": 0, "text": self.text, "logprobs": null, "finish_reason": self.finish_reason()})
            }
            Kind::Chat => {
                let mut message = json!({"role": "assistant", "content": self.text, "refusal": null});
                if let Some(tool) = &self.tool {
                    message["tool_calls"] = json!([{
                        "id": "call_demo", "type": "function", "function": {"name": tool, "arguments": "{}"},
                    }]);
                }
                json!({"index": 0, "message": message, "logprobs": null, "finish_reason": self.finish_reason()})
            }
        };
        let mut whole = self.envelope(json!([choice]), false);
        whole["usage"] = self.usage();
        whole
    }

    /// The answer as server-sent events, `[DONE]` included; with a usage chunk when asked.
    pub(super) fn events(&self, include_usage: bool) -> Vec<String> {
        let mut deltas = Vec::new();
        if self.kind == Kind::Chat {
            deltas.push(json!({"role": "assistant", "content": "", "refusal": null}));
        }
        for word in self.text.split_inclusive(' ') {
            deltas.push(if self.kind == Kind::Chat { json!({"content": word}) } else { json!(word) });
        }
        if let Some(tool) = &self.tool {
            deltas.push(json!({"tool_calls": [{
                "index": 0, "id": "call_demo", "type": "function", "function": {"name": tool, "arguments": ""},
            }]}));
            deltas.push(json!({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}));
        }
        let mut choices: Vec<Value> = deltas.into_iter().map(|delta| self.choice(delta, Value::Null)).collect();
        let empty = if self.kind == Kind::Chat { json!({}) } else { json!("") };
        choices.push(self.choice(empty, json!(self.finish_reason())));
        let mut chunks: Vec<Value> = choices.into_iter().map(|choice| self.envelope(json!([choice]), true)).collect();
        if include_usage {
            chunks.iter_mut().for_each(|chunk| chunk["usage"] = Value::Null);
            let mut last = self.envelope(json!([]), true);
            last["usage"] = self.usage();
            chunks.push(last);
        }
        let mut events: Vec<String> = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
        events.push("data: [DONE]\n\n".to_owned());
        events
    }

    fn choice(&self, delta: Value, finish_reason: Value) -> Value {
        let field = if self.kind == Kind::Chat { "delta" } else { "text" };
        json!({"index": 0, field: delta, "logprobs": null, "finish_reason": finish_reason})
    }

    fn envelope(&self, choices: Value, chunk: bool) -> Value {
        let object = match (self.kind, chunk) {
            (Kind::Completion, _) => "text_completion",
            (Kind::Chat, false) => "chat.completion",
            (Kind::Chat, true) => "chat.completion.chunk",
        };
        json!({
            "id": self.id, "object": object, "created": self.created, "model": self.model,
            "system_fingerprint": FINGERPRINT, "choices": choices,
        })
    }

    fn finish_reason(&self) -> &'static str {
        if self.tool.is_some() { "tool_calls" } else { "stop" }
    }

    fn usage(&self) -> Value {
        let completion = tokens(&self.text);
        json!({
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion,
            "total_tokens": self.prompt_tokens + completion,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        })
    }
}

/// The model the client asked for, which is the name it expects back.
pub(super) fn model_of(request: &Value, name: &str) -> String {
    request.get("model").and_then(Value::as_str).unwrap_or(name).to_owned()
}

pub(super) fn json_response(body: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// Four characters a token: close enough for a demo's bill.
pub(super) fn tokens(text: &str) -> u64 {
    text.chars().count().div_ceil(4) as u64
}

/// A string, or the texts of an array of strings or content parts.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts = parts.iter().filter_map(|part| part.as_str().or_else(|| part["text"].as_str()));
            texts.collect::<Vec<_>>().join(" ")
        }
        _ => String::new(),
    }
}
