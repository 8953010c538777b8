//! A conversation keeps its backend where that one's prompt cache saves more than another one would win.

use serde_json::{Value, json};

use crate::client::{chat, post};
use crate::gateway::{Mom, NO_MINDS, SERVER, backend};
use crate::upstream::{Upstream, hello};

const FIRST: &str = "A long story about the sea, told twice.";

fn said(texts: &[&str]) -> String {
    let role = |at: usize| if at.is_multiple_of(2) { "user" } else { "assistant" };
    let messages: Vec<Value> =
        texts.iter().enumerate().map(|(at, text)| json!({"role": role(at), "content": text})).collect();
    json!({"model": "auto", "messages": messages}).to_string()
}

fn config(upstream: &Upstream, policy: &str) -> String {
    let plain = backend("plain", upstream.addr, "price = { input = 2.0, output = 8.0 }");
    let caching = backend(
        "caching",
        upstream.addr,
        "price = { input = 2.2, cached_input = 0.2, output = 8.0 }\nprompt_cache = { min_tokens = 5, ttl = \"3s\" }",
    );
    format!(
        "{SERVER}{NO_MINDS}{plain}{caching}[[routes]]\nname = \"all\"\ncandidates = [\"plain\", \"caching\"]\n\
         policy = {policy}\n"
    )
}

#[tokio::test]
async fn a_conversation_stays_where_it_was_read_for_as_long_as_that_is_kept() {
    let upstream = Upstream::always(vec![hello()]).await;
    let gateway = Mom::start(&config(&upstream, "{}")).await;
    let first = said(&[FIRST]);
    assert_eq!(chat(gateway.public, &first).await.header("x-mom-backend"), Some("plain"));
    let named = first.replace("\"auto\"", "\"caching\"");
    assert_eq!(chat(gateway.public, named).await.header("x-mom-backend"), Some("caching"));
    let second = said(&[FIRST, "hello", "Go on."]);
    // What is only asked about leaves no mark, and shows the sum.
    for _ in 0..2 {
        let trace = post(gateway.public, "/v1/route", &second).await.json();
        let sum = &trace["conversation"];
        assert_eq!(
            (&sum["backend"], &sum["otherwise"], &sum["kept"]),
            (&json!("caching"), &json!("plain"), &json!(true))
        );
        let (saving, gain) = (sum["saving_usd"].as_f64().unwrap(), sum["gain_usd"].as_f64().unwrap());
        let tokens = sum["cached_tokens"].as_f64().unwrap();
        assert!((saving - tokens * 2.0 / 1e6).abs() < 1e-9 && saving > gain && gain > 0.0, "{sum}");
        assert!(trace["sentence"].as_str().unwrap().contains("keeps the conversation"), "{trace}");
    }
    let other = post(gateway.public, "/v1/route", said(&["Another story."])).await.json();
    assert_eq!((&other["choice"]["backend"], other.get("conversation")), (&json!("plain"), None));
    let kept = chat(gateway.public, &second).await;
    assert_eq!(kept.header("x-mom-backend"), Some("caching"));
    assert!(kept.header("x-mom-reason").unwrap().contains("conversation_kept"));
    // The backend has forgotten by now.
    tokio::time::sleep(std::time::Duration::from_millis(3100)).await;
    assert_eq!(
        chat(gateway.public, said(&[FIRST, "hello", "Go on.", "ok", "More."])).await.header("x-mom-backend"),
        Some("plain")
    );
}

#[tokio::test]
async fn it_can_be_switched_off() {
    let upstream = Upstream::always(vec![hello()]).await;
    let gateway = Mom::start(&config(&upstream, "{ sticky = false }")).await;
    assert_eq!(chat(gateway.public, said(&[FIRST]).replace("\"auto\"", "\"caching\"")).await.status(), 200);
    let next = chat(gateway.public, said(&[FIRST, "hello", "Go on."])).await;
    assert_eq!(next.header("x-mom-backend"), Some("plain"));
}
