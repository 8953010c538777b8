//! The gateway's own answer where a guard says `refuse`: a normal assistant message that
//! says so, with `finish_reason: "content_filter"`.

use serde_json::{Value, json};

/// What the person reads.
pub const TEXT: &str = "This request was refused by the gateway's safety policy.";

/// The whole answer of a non-streaming chat request. `created` is Unix seconds.
pub fn answer(id: &str, model: &str, created: u64) -> String {
    let usage = json!({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0});
    let message = json!({"role": "assistant", "content": TEXT, "refusal": TEXT});
    let choice = json!({"index": 0, "message": message, "logprobs": null, "finish_reason": "content_filter"});
    json!({
        "id": id, "object": "chat.completion", "created": created, "model": model,
        "choices": [choice], "usage": usage
    })
    .to_string()
}

/// The same as server-sent events.
pub fn stream(id: &str, model: &str, created: u64) -> String {
    let chunk = |delta: Value, finish: Value| {
        let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish});
        json!({
            "id": id, "object": "chat.completion.chunk", "created": created, "model": model,
            "choices": [choice]
        })
    };
    let said = chunk(json!({"role": "assistant", "content": TEXT}), Value::Null);
    let end = chunk(json!({}), "content_filter".into());
    format!("data: {said}\n\ndata: {end}\n\ndata: [DONE]\n\n")
}
