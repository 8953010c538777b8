use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const STRICT: Standard = Standard { min_logprob: Some(-1.0), refusals: true };

fn whole(json: &Value) -> Heard {
    Heard::of(json.to_string().as_bytes(), None, false, true)
}

fn chat(message: Value, finish: &str) -> Value {
    json!({"choices": [{"index": 0, "message": message, "finish_reason": finish}]})
}

fn stream(choices: &[Value]) -> String {
    let events = choices.iter().map(|choice| format!("data: {}\n\n", json!({"choices": [choice]})));
    events.chain(["data: [DONE]\n\n".to_owned()]).collect()
}

fn lack(json: &Value) -> Option<Lack> {
    whole(json).lacks(&STRICT)
}

#[test]
fn words_and_deeds_are_answers() {
    for message in [
        json!({"content": "4"}),
        json!({"content": null, "tool_calls": [{"id": "call_1", "function": {"name": "f", "arguments": "{}"}}]}),
        json!({"content": "", "function_call": {"name": "f", "arguments": "{}"}}),
        json!({"content": null, "audio": {"id": "audio_1", "data": "…"}}),
        json!({"content": "I can't help with that yet: let me look.", "tool_calls": [{"id": "call_1"}]}),
    ] {
        assert_eq!(lack(&chat(message.clone(), "stop")), None, "{message}");
    }
    assert_eq!(lack(&json!({"choices": [{"text": "\n\nThis is a test", "finish_reason": "length"}]})), None);
}

#[test]
fn nothing_is_no_answer() {
    for message in [
        json!({"content": ""}),
        json!({"content": " \n\t"}),
        json!({"content": null}),
        json!({"content": null, "tool_calls": []}),
        json!({"content": null, "tool_calls": null, "refusal": null, "audio": null}),
        json!({"content": null, "reasoning_content": "Let me think about it"}),
    ] {
        for finish in ["stop", "length"] {
            assert_eq!(lack(&chat(message.clone(), finish)), Some(Lack::Empty), "{message}");
        }
    }
    assert_eq!(lack(&json!({"choices": [{"text": "", "finish_reason": "stop"}]})), Some(Lack::Empty));
    for none in [json!({}), json!({"choices": []}), json!({"id": "x", "usage": {"prompt_tokens": 1}})] {
        assert_eq!(lack(&none), Some(Lack::Empty), "{none}");
    }
    let filtered = chat(json!({"content": "Half a sen"}), "content_filter");
    assert_eq!(whole(&filtered).lacks(&Standard::default()), Some(Lack::Filtered));
}

#[test]
fn refusals_are_told_from_answers() {
    for text in [
        "I'm sorry, but I can't help with that.",
        "I\u{2019}m sorry, I can\u{2019}t assist with that request.",
        "Sorry, but unfortunately I cannot provide that.",
        "As an AI language model, I have no opinions.",
        "I don't know.",
        "I do not know the answer to this question",
        "Unfortunately, I'm unable to browse the internet.",
        "**I won't help** with this.",
        "I am not able to answer.",
        "  I cannot answer this question because it is beyond what I know.",
    ] {
        assert_eq!(lack(&chat(json!({"content": text}), "stop")), Some(Lack::Refusal), "{text}");
    }
    let long = format!("As an AI I have no taste of my own. Still: {}", "one book is better than another. ".repeat(30));
    for text in [
        "I can't believe it is not butter.",
        "I knowingly left that out.",
        "Sorry about the mistake; the sum is 12.",
        "The model says: I'm sorry, I can't help with that.",
        "I cannonball into the lake.",
        "Asana is a tool.",
        "",
        long.as_str(),
    ] {
        assert!(!refusal::declines(text), "{text}");
    }
    let field = chat(json!({"content": null, "refusal": "Das kann ich nicht."}), "stop");
    assert_eq!(lack(&field), Some(Lack::Refusal));
    assert_eq!(whole(&field).lacks(&Standard { refusals: false, ..STRICT }), None, "it is not empty");
}

#[test]
fn unlikely_words_are_not_good_enough() {
    let with = |logprobs: Value| json!({"choices": [{"index": 0, "message": {"content": "a b"}, "finish_reason": "stop", "logprobs": logprobs}]});
    let tokens = |values: &[f64]| json!({"content": values.iter().map(|v| json!({"token": "a", "logprob": v, "bytes": [97], "top_logprobs": []})).collect::<Vec<_>>()});
    assert_eq!(lack(&with(tokens(&[-0.5, -1.4]))), None);
    assert_eq!(lack(&with(tokens(&[-0.5, -1.6]))), Some(Lack::LowLogprob));
    for none in [tokens(&[]), json!(null), json!({"content": null, "refusal": []})] {
        assert_eq!(lack(&with(none)), None, "there is nothing to judge by");
    }
    assert_eq!(whole(&with(tokens(&[-9.0]))).lacks(&Standard::default()), None, "nobody asked");
    let completion =
        json!({"choices": [{"text": "a b", "logprobs": {"token_logprobs": [null, -1.0, -1.2], "tokens": ["a"]}}]});
    assert_eq!(lack(&completion), Some(Lack::LowLogprob));
}

#[test]
fn each_of_several_choices_must_do() {
    let choice =
        |index: u64, text: &str| json!({"index": index, "message": {"content": text}, "finish_reason": "stop"});
    assert_eq!(lack(&json!({"choices": [choice(0, "yes"), choice(1, "no")]})), None);
    assert_eq!(lack(&json!({"choices": [choice(0, "yes"), choice(1, "")]})), Some(Lack::Empty));
    assert_eq!(lack(&json!({"choices": [choice(0, "I don't know."), choice(1, "")]})), Some(Lack::Empty));
}

#[test]
fn streams_are_heard_event_by_event() {
    let said = [
        json!({"index": 0, "delta": {"role": "assistant", "content": ""}}),
        json!({"index": 0, "delta": {"content": "I'm sorry, "}}),
        json!({"index": 0, "delta": {"content": "I can't help."}}),
        json!({"index": 0, "delta": {}, "finish_reason": "stop"}),
    ];
    let of = |text: &str| Heard::of(text.as_bytes(), None, true, true);
    assert_eq!(of(&stream(&said)).lacks(&STRICT), Some(Lack::Refusal));
    assert_eq!(of(&stream(&said)).lacks(&Standard::default()), None);
    assert_eq!(of(&stream(&said[..1])).lacks(&STRICT), Some(Lack::Empty));
    let called = json!({"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}});
    assert_eq!(of(&stream(&[called])).lacks(&STRICT), None);
    assert_eq!(of(": nothing\n\n").lacks(&STRICT), Some(Lack::Empty));
    let failed = format!("{}data: {{\"error\":{{\"message\":\"overloaded\"}}}}\n\n", stream(&said[..2]));
    assert_eq!(of(&failed).lacks(&STRICT), Some(Lack::Error));
    let cut = &stream(&said)[..90];
    assert_eq!(of(cut).lacks(&STRICT), Some(Lack::Error), "it ends inside an event");
    assert_eq!(Heard::of(cut.as_bytes(), None, true, false).lacks(&STRICT), Some(Lack::Empty), "more may come");
}

#[test]
fn usage_is_heard_on_the_way() {
    let text = format!(
        "{}data: {}\n\n",
        stream(&[json!({"index": 0, "delta": {"content": "sixteen letters!"}})]),
        json!({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4}})
    );
    let told = Heard::of(text.as_bytes(), None, true, true);
    assert_eq!(told.usage, Some(Usage { prompt: 9, completion: 4, ..Usage::default() }));
    let untold = stream(&[json!({"index": 0, "delta": {"content": "sixteen letters!"}})]);
    let untold = Heard::of(untold.as_bytes(), None, true, true);
    assert_eq!((untold.usage, untold.tokens(|text| text.len() as u64)), (None, 16));
}

#[test]
fn packed_answers_are_unpacked() {
    let pack = |text: &str| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let refusal = chat(json!({"content": "I don't know."}), "stop").to_string();
    assert_eq!(Heard::of(&pack(&refusal), Some("gzip"), false, true).lacks(&STRICT), Some(Lack::Refusal));
    let events = stream(&[json!({"index": 0, "delta": {"content": "I don't know."}})]);
    assert_eq!(Heard::of(&pack(&events), Some("gzip"), true, true).lacks(&STRICT), Some(Lack::Refusal));
    for (body, encoding) in [(refusal.as_bytes(), "br"), (b"\x1f\x8b\x08\x00not gzip", "gzip")] {
        let heard = Heard::of(body, Some(encoding), false, true);
        assert!(heard.is_strange());
        assert_eq!(heard.lacks(&STRICT), None, "what cannot be read is not judged");
    }
}

#[test]
fn what_is_no_answer_is_told_from_what_is_not_understood() {
    for odd in ["{\"choices\": 3}", "\"text\"", "{\"choices\":[{\"message\":{\"content\":[{\"type\":\"text\"}]}}]}"] {
        let heard = Heard::of(odd.as_bytes(), None, false, true);
        assert!(heard.is_strange(), "{odd}");
        assert_eq!(heard.lacks(&STRICT), None, "{odd}");
    }
    for broken in ["", "<html>", "[1]", "{\"choices\":[{\"message\""] {
        assert_eq!(Heard::of(broken.as_bytes(), None, false, true).lacks(&STRICT), Some(Lack::Error), "{broken}");
    }
    assert_eq!(lack(&json!({"error": {"message": "overloaded"}, "choices": null})), Some(Lack::Error));
    assert_eq!(lack(&json!({"error": null, "choices": [{"message": {"content": "4"}}]})), None);
}

proptest! {
    /// Nothing that a backend sends makes it fall over.
    #[test]
    fn anything_can_be_heard(body in any::<Vec<u8>>(), events in any::<bool>(), whole in any::<bool>()) {
        for encoding in [None, Some("gzip")] {
            let _ = Heard::of(&body, encoding, events, whole).lacks(&STRICT);
        }
    }
}
