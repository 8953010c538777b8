use super::*;

fn chat(body: &str) -> Result<View<'_>, ParseError> {
    View::parse(body.as_bytes(), Endpoint::ChatCompletions)
}

fn texts<'a>(view: &'a View<'_>, pick: impl Fn(&Part) -> bool) -> Vec<&'a str> {
    view.input.parts.iter().filter(|part| pick(part)).map(|part| part.text.as_str()).collect()
}

#[test]
fn reads_who_said_what() {
    let body = r#"{"model":"auto","messages":[
        {"role":"system","content":"operator"},
        {"role":"user","content":[{"type":"text","text":"first"},{"type":"image_url","image_url":{"url":"x"}},{"type":"text","text":"se\u0063ond"}]},
        {"role":"assistant","content":null,"tool_calls":[{"function":{"name":"f","arguments":"{\"a\":1}"}}]},
        {"role":"tool","tool_call_id":"1","content":"result"},
        {"role":"user","content":"ask"}]}"#;
    let view = chat(body).unwrap();
    assert_eq!(texts(&view, |part| part.guarded), ["first", "second", "{\"a\":1}", "result", "ask"]);
    assert_eq!(texts(&view, |part| part.ask), ["ask"]);
    assert_eq!(view.input.parts[2].place, Some(Place { message: 1, part: 2 }));
    assert!(view.images && !view.audio && !view.tools && !view.stream);
    assert_eq!(&body[view.model_span.clone()], "\"auto\"");
}

#[test]
fn arguments_that_are_not_a_string_are_read_as_spelled() {
    let body =
        r#"{"model":"a","messages":[{"role":"assistant","tool_calls":[{"function":{"arguments":{"q": [1.0]}}}]}]}"#;
    let view = chat(body).unwrap();
    assert_eq!(texts(&view, |part| part.guarded), [r#"{"q": [1.0]}"#]);
}

#[test]
fn names_the_field_that_is_wrong() {
    let param = |body: &str| chat(body).unwrap_err().param.unwrap_or_default();
    assert_eq!(param(r#"{"messages":[]}"#), "model");
    assert_eq!(param(r#"{"model":"a","messages":[]}"#), "messages");
    assert_eq!(param(r#"{"model":7,"messages":[{"role":"user","content":"x"}]}"#), "model");
    assert_eq!(param(r#"{"model":"a","messages":[{"role":"user","content":3}]}"#), "messages[0].content");
    assert_eq!(param(r#"{"model":"a","model":"b","messages":[{"role":"user","content":"x"}]}"#), "model");
    assert_eq!(param(r#"{"model":"a","messages":[{"role":"user","content":"x","content":"y"}]}"#), "messages[0]");
    assert_eq!(param(r#"{"model":"a","stream":"yes","messages":[{"role":"user","content":"x"}]}"#), "stream");
}

#[test]
fn refuses_what_is_not_one_json_object() {
    for body in
        ["", "[]", "{", "{} {}", "nul", "{\"model\":\"a\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]} x"]
    {
        assert!(chat(body).is_err(), "{body}");
    }
    assert!(View::parse(b"{\"model\":\"\xff\"}", Endpoint::ChatCompletions).is_err());
}

#[test]
fn nesting_cannot_exhaust_the_stack() {
    let deep = "[".repeat(1_000_000);
    assert!(chat(&deep).is_err());
    let body = format!(
        r#"{{"model":"a","messages":[{{"role":"user","content":"x"}}],"x":{}1{}}}"#,
        "[".repeat(50_000),
        "]".repeat(50_000)
    );
    // Unknown fields are skipped without recursion or refused, but never crash.
    drop(chat(&body));
}

#[test]
fn reads_prompts_and_token_ids() {
    let view = View::parse(br#"{"model":"m","prompt":["a","b"],"max_tokens":5}"#, Endpoint::Completions).unwrap();
    assert_eq!(texts(&view, |part| part.guarded), ["a", "b"]);
    assert_eq!(view.max_output_tokens, Some(5));
    let view = View::parse(br#"{"model":"m","input":[[1,2],[3]]}"#, Endpoint::Embeddings).unwrap();
    assert!(view.input.not_text && view.input.parts.is_empty());
}
