use super::*;

fn chat(request: Value) -> Answer {
    let messages = request["messages"].as_array().unwrap().clone();
    Answer::to_chat("cheap", &request, &messages)
}

fn data(events: &[String]) -> Vec<Value> {
    let lines = events.iter().map(|event| event.strip_prefix("data: ").unwrap().trim_end());
    lines.filter(|line| *line != "[DONE]").map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_answer_says_it_is_a_demo() {
    let question = json!({"model": "m", "messages": [{"role": "user", "content": "why?"}]});
    let whole = chat(question.clone()).whole();
    let text = whole["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(text.starts_with("[demo backend 'cheap']") && text.ends_with("why?"), "{text}");
    let streamed: String = data(&chat(question).events(false))
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(streamed, text);
}

#[test]
fn usage_is_streamed_only_when_asked_for() {
    let question = json!({"messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]});
    let without = chat(question.clone()).events(false);
    assert!(data(&without).iter().all(|chunk| chunk.get("usage").is_none()));
    let with = chat(question).events(true);
    let last = data(&with).pop().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"]["prompt_tokens_details"]["cached_tokens"], 2);
    assert_eq!(with.last().unwrap(), "data: [DONE]\n\n");
}

#[test]
fn the_first_tool_is_called_until_its_result_is_there() {
    let tools = json!([{"type": "function", "function": {"name": "weather"}}]);
    let ask = json!({"role": "user", "content": "rain?"});
    let call = chat(json!({"tools": tools, "messages": [ask]})).whole();
    assert_eq!(call["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(call["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"], "{}");
    let done = chat(json!({"tools": tools, "messages": [ask, {"role": "tool", "content": "no"}]})).whole();
    assert_eq!(done["choices"][0]["finish_reason"], "stop");
}
