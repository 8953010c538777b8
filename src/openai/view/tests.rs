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
    assert_eq!(texts(&view, |part| part.guarded), ["first", "second", "f", "{\"a\":1}", "result", "ask"]);
    assert_eq!(texts(&view, |part| part.ask), ["ask"]);
    assert_eq!(view.input.parts[2].place, Some(Place { message: 1, part: 2 }));
    assert!(view.images && !view.audio && !view.tools && !view.stream);
    assert_eq!(&body[view.model_span.clone()], "\"auto\"");
}

/// Wherever a backend may take words from, the guards read them, decoded.
#[test]
fn words_cannot_hide() {
    let read = |message: &str| {
        let body = format!(r#"{{"model":"a","messages":[{message}]}}"#);
        texts(&chat(&body).unwrap(), |part| part.guarded).join("|")
    };
    assert_eq!(read(r#"{"role":"user","name":"n","content":"c"}"#), "c|n");
    assert_eq!(read(r#"{"role":"user","content":[{"type":"tool_result","content":[{"text":"\u0061"}]}]}"#), "a");
    assert_eq!(read(r#"{"role":"user","content":[{"type":"thinking","thinking":"t","text":{"value":"v"}}]}"#), "t|v");
    assert_eq!(read(r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"u"}}]}"#), "");
    assert_eq!(read(r#"{"role":"assistant","reasoning_content":"r"}"#), "r");
    let call = |arguments: &str| {
        let function = format!(r#"{{"name":"f","arguments":{arguments}}}"#);
        read(&format!(r#"{{"role":"assistant","tool_calls":[{{"id":"1","function":{function}}}]}}"#))
    };
    assert_eq!(call(r#"{"q":["\u0061"]}"#), "f|a");
    assert_eq!(call(r#""{\"q\":\"\\u0061\"}""#), r#"f|{"q":"\u0061"}|a"#);
    let beside = r#"{"model":"a","messages":[{"role":"user","content":"c"}],"documents":[{"text":"d"}],
        "prediction":{"content":"p"}}"#;
    assert_eq!(texts(&chat(beside).unwrap(), |part| part.guarded), ["c", "p", "d"]);
}

#[test]
fn look_alike_keys_are_refused() {
    let user = r#""messages":[{"role":"user","content":"x"}]"#;
    for body in [
        format!(r#"{{"model":"a",{user},"Messages":[]}}"#),
        format!(r#"{{"model":"a",{user},"me\u017f\u017fages":[]}}"#),
        format!(r#"{{"model":"a",{user},"MODEL":"b"}}"#),
        r#"{"model":"a","messages":[{"role":"user","content":"x","Content":"y"}]}"#.to_owned(),
        r#"{"model":"a","messages":[{"role":"user","content":[{"type":"text","text":"x","Text":"y"}]}]}"#.to_owned(),
        r#"{"model":"a","messages":[["user","x"]]}"#.to_owned(),
    ] {
        assert!(chat(&body).is_err(), "{body}");
    }
    assert!(chat(&format!(r#"{{"model":"a",{user},"X-Custom":1,"x-custom":2}}"#)).is_ok());
}

#[test]
fn an_error_does_not_repeat_a_huge_value() {
    let body = format!(r#"{{"model":"a","messages":"{}"}}"#, "x".repeat(1_000_000));
    assert!(chat(&body).unwrap_err().message.len() < 1000);
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
    assert!(chat(&body).unwrap_err().message.contains("128 levels"));
    let flat = format!(r#"{{"model":"a","messages":[{{"role":"user","content":"\"{}"}}]}}"#, "[".repeat(500));
    assert!(chat(&flat).is_ok(), "brackets in a string do not nest");
}

#[test]
fn reads_prompts_and_token_ids() {
    let view = View::parse(br#"{"model":"m","prompt":["a","b"],"max_tokens":5}"#, Endpoint::Completions).unwrap();
    assert_eq!(texts(&view, |part| part.guarded), ["a", "b"]);
    assert_eq!((view.max_output_tokens, view.answers), (Some(5), 2));
    let view = View::parse(br#"{"model":"m","input":[[1,2],[3]]}"#, Endpoint::Embeddings).unwrap();
    assert!(view.input.not_text && view.input.parts.is_empty());
    assert_eq!(view.answers, 0);
    let several = br#"{"model":"m","prompt":["a","b"],"n":2,"best_of":5}"#;
    assert_eq!(View::parse(several, Endpoint::Completions).unwrap().answers, 10);
    for (n, answers) in [("3", 3), ("null", 1), ("\"x\"", 1), ("0", 1)] {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],"n":{n}}}"#);
        assert_eq!(chat(&body).unwrap().answers, answers, "{n}");
    }
}
