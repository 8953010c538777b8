use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::openai::Endpoint;

fn sent(body: &str, model: &str, usage: bool) -> String {
    let bytes = Bytes::copy_from_slice(body.as_bytes());
    let view = View::parse(&bytes, Endpoint::ChatCompletions).unwrap();
    String::from_utf8(for_backend(&bytes, &view, model, usage).to_vec()).unwrap()
}

const MESSAGES: &str = r#""messages":[{"role":"user","content":"x"}]"#;

#[test]
fn nothing_changes_unless_the_name_does() {
    let body = format!("{{ \"temperature\":1.0e+0 ,\t\"model\" : \"auto\",{MESSAGES}}}\n");
    assert_eq!(sent(&body, "auto", false), body);
    assert_eq!(sent(&body, "gpt\"x", false), body.replace("\"auto\"", "\"gpt\\\"x\""));
    assert_eq!(sent(&body, "auto", true), body, "usage is asked for on streams only");
}

#[test]
fn an_escaped_spelling_of_the_same_name_is_kept() {
    let body = format!(r#"{{"model":"\u0061uto",{MESSAGES}}}"#);
    assert_eq!(sent(&body, "auto", false), body);
}

#[test]
fn usage_is_asked_for_in_place() {
    let plain = format!(r#"{{"model":"m","stream":true,{MESSAGES}}}"#);
    let asked = format!(r#"{{"model":"m","stream":true,{MESSAGES},"stream_options":{{"include_usage":true}}}}"#);
    assert_eq!(sent(&plain, "m", true), asked);
    let with = |options: &str| format!(r#"{{"model":"m","stream":true,"stream_options":{options},{MESSAGES}}}"#);
    assert_eq!(sent(&with(r#"{"a":1}"#), "m", true), with(r#"{"include_usage":true,"a":1}"#));
    assert_eq!(sent(&with("{}"), "m", true), with(r#"{"include_usage":true}"#));
    let said_no = with(r#"{"include_usage":false}"#);
    assert_eq!(sent(&said_no, "m", true), said_no);
}

#[test]
fn log_probabilities_are_asked_for_in_place() {
    let asked = |body: &str| {
        let body = with_logprobs(&Bytes::copy_from_slice(body.as_bytes()));
        String::from_utf8(body.to_vec()).unwrap()
    };
    let plain = format!(r#"{{ "model":"m",{MESSAGES} }}"#);
    assert_eq!(asked(&plain), format!(r#"{{ "model":"m",{MESSAGES} ,"logprobs":true}}"#));
    for said in ["true", "false", "null", "2"] {
        let body = format!(r#"{{"model":"m","logprobs":{said},{MESSAGES}}}"#);
        assert_eq!(asked(&body), body);
    }
    let inside = format!(r#"{{"model":"m","metadata":{{"logprobs":true}},{MESSAGES}}}"#);
    assert!(asked(&inside).ends_with(r#","logprobs":true}"#), "another object's key is another key");
}

proptest! {
    /// Whatever surrounds it, only the model's value differs.
    #[test]
    fn only_the_model_value_differs(
        before in r#"[ \n\t]{0,3}"#, key in "[a-z]{1,8}x", value in any::<String>(), from in any::<String>(), to in any::<String>(),
    ) {
        let value = serde_json::Value::from(value);
        let old = serde_json::Value::from(from.as_str());
        let shape = |model: &serde_json::Value| format!("{before}{{\"{key}\":{value},\"model\":{before}{model}{before},{MESSAGES}}}{before}");
        let expected = if from == to { shape(&old) } else { shape(&serde_json::Value::from(to.as_str())) };
        prop_assert_eq!(sent(&shape(&old), &to, false), expected);
    }
}
