//! To the byte: what a client sends reaches the backend, what a backend answers reaches the
//! client. Only the value of `model` may change, and only when the names differ.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::client::{Client, Piece, chat, request};
use crate::exchange::Exchange;
use crate::gateway::{Mom, NO_MINDS, SERVER, ask_stream, backend, route};
use crate::upstream::{Step, Upstream, chunk, hello, last_chunk, sse_head};

/// Everything a parser that remodels requests would lose or tidy up.
const ODD: &str = concat!(
    " {\n\t\"zeta\" : 1.0e+2 , \"alpha\":-0.0,\"big\":123456789012345678901234567890, \"exp\":1E400,\r\n",
    "\"messages\":[ {\"content\":\"caf\\u00e9 \\ud83d\\ude00 \\/ \\u0041 😀\",\"role\":\"user\",\"x\":null} ],",
    "\"dup\":1,\"dup\":2,\"nested\":{\"b\":[],\"a\":{}},\"temperature\":0.70000,\"model\" :  \"MODEL\" ,",
    "\"metadata\":{\"model\":\"MODEL\",\"k\":\"\\\"model\\\":\\\"MODEL\\\"\"},\"stop\":[\"\\n\"]}\n "
);

#[tokio::test]
async fn the_request_body_arrives_byte_for_byte() {
    let upstream = Upstream::always(vec![hello()]).await;
    let mom = Mom::over(&upstream).await;
    let body = ODD.replace("MODEL", "main");
    assert_eq!(chat(mom.public, &body).await.status(), 200);
    let seen = upstream.only();
    assert_eq!(String::from_utf8(seen.body.clone()).unwrap(), body);
    assert_eq!(seen.request_line(), "POST /v1/chat/completions HTTP/1.1");
}

#[tokio::test]
async fn only_the_model_is_replaced_and_in_place() {
    let upstream = Upstream::always(vec![hello()]).await;
    let mom = Mom::over_with(&upstream, "model = \"gpt-4o-2024-08-06\"").await;
    assert_eq!(chat(mom.public, ODD.replace("MODEL", "main")).await.status(), 200);
    let replaced = ODD.replacen("MODEL", "gpt-4o-2024-08-06", 1).replace("MODEL", "main");
    assert_eq!(String::from_utf8(upstream.only().body).unwrap(), replaced);
}

#[tokio::test]
async fn an_escaped_model_is_read_and_replaced() {
    let upstream = Upstream::always(vec![hello()]).await;
    let mom = Mom::over_with(&upstream, "model = \"a \\\"quoted\\\" name\"").await;
    let body = r#"{"messages":[{"role":"user","content":"hi"}],"m\u006fdel":"m\u0061in"}"#;
    assert_eq!(chat(mom.public, body).await.status(), 200);
    let expected = r#"{"messages":[{"role":"user","content":"hi"}],"m\u006fdel":"a \"quoted\" name"}"#;
    assert_eq!(String::from_utf8(upstream.only().body).unwrap(), expected);
}

/// Backends named as in the recordings, so that nothing is replaced.
async fn replaying(upstream: &Upstream, minds: &str) -> Mom {
    let names = ["gpt-4o", "text-embedding-3-small", "gpt-3.5-turbo-instruct"];
    let keys = "retry = { attempts = 0 }\nbreaker = { failures = 1000 }";
    let backends: String = names.map(|name| backend(&format!("\"{name}\""), upstream.addr, keys)).concat();
    Mom::start(&format!("{SERVER}{minds}{backends}{}", route("all", "\"gpt-4o\""))).await
}

/// Sends every recording through one gateway and compares both bodies and the status.
async fn replay(minds: &str, frame: fn(&Exchange) -> Vec<u8>) {
    let exchanges = Exchange::all();
    let answers = exchanges.iter().map(|exchange| vec![Step::Send(frame(exchange))]).collect();
    let upstream = Upstream::sequence(answers).await;
    let mom = replaying(&upstream, minds).await;
    for (n, exchange) in exchanges.iter().enumerate() {
        let json = [("content-type", "application/json")];
        let response = request(mom.public, "POST", &exchange.path, &json, &exchange.request).await;
        let name = &exchange.name;
        let seen = upstream.seen();
        assert_eq!(seen.len(), n + 1, "{name} did not reach the backend: {}", response.text());
        assert_eq!(seen[n].body, exchange.request, "request of {name}");
        assert_eq!(response.status(), exchange.status(), "status of {name}");
        assert_eq!(response.text().as_bytes(), exchange.response, "response of {name}");
        assert!(response.complete, "framing of {name}");
        for (key, value) in &exchange.headers {
            let passes = ["content-type", "x-request-id", "retry-after", "retry-after-ms", "x-should-retry"];
            let family = key.starts_with("openai-") || key.starts_with("x-ratelimit-");
            if family || passes.contains(&key.as_str()) {
                assert_eq!(response.header(key), Some(value.as_str()), "{key} of {name}");
            }
        }
    }
}

#[tokio::test]
async fn recorded_exchanges_replay_whole() {
    replay(NO_MINDS, Exchange::whole).await;
}

#[tokio::test]
async fn recorded_exchanges_replay_when_they_are_judged() {
    replay("", Exchange::whole).await;
}

#[tokio::test]
async fn recorded_exchanges_replay_split_at_every_byte() {
    replay(NO_MINDS, |exchange| exchange.chunked(1)).await;
}

#[tokio::test]
async fn recorded_exchanges_replay_in_odd_chunks() {
    replay(NO_MINDS, |exchange| exchange.chunked(7)).await;
    replay(NO_MINDS, |exchange| exchange.chunked(1021)).await;
}

#[tokio::test]
async fn an_event_is_forwarded_before_the_next_one_exists() {
    let gate = Arc::new(Notify::new());
    let wait = Step::Gate(gate.clone());
    let upstream = Upstream::always(vec![
        sse_head(),
        chunk("data: {\"n\":1}\n\n"),
        wait.clone(),
        chunk("data: {\"n\":2}\n\n"),
        wait,
        chunk("data: [DONE]\n\n"),
        last_chunk(),
    ])
    .await;
    let mom = Mom::over(&upstream).await;
    let mut client = Client::connect(mom.public).await;
    client.send("POST", "/v1/chat/completions", &[], ask_stream("main").as_bytes()).await;
    // Each read returns only because the gateway holds nothing back: the upstream is waiting for us.
    let mut reply = client.reply().await;
    assert_eq!(reply.until(b"\n\n").await, b"data: {\"n\":1}\n\n");
    gate.notify_one();
    assert_eq!(reply.until(b"\n\n").await, b"data: {\"n\":2}\n\n");
    gate.notify_one();
    assert_eq!(reply.rest().await.0.body, b"data: [DONE]\n\n");
}

#[tokio::test]
async fn half_a_character_is_forwarded_at_once() {
    let gate = Arc::new(Notify::new());
    let text = "data: \"é😀\"\n\n".as_bytes();
    let (first, second) = text.split_at(10);
    assert!(std::str::from_utf8(first).is_err(), "the cut is inside a character");
    let upstream =
        Upstream::always(vec![sse_head(), chunk(first), Step::Gate(gate.clone()), chunk(second), last_chunk()]).await;
    let mom = Mom::over(&upstream).await;
    let mut client = Client::connect(mom.public).await;
    client.send("POST", "/v1/chat/completions", &[], ask_stream("main").as_bytes()).await;
    let mut reply = client.reply().await;
    assert_eq!(reply.until(first).await, first);
    gate.notify_one();
    let Piece::Data(data) = reply.next().await else { panic!("the stream ended early") };
    assert_eq!(data, second);
}

#[tokio::test]
async fn usage_is_asked_for_only_when_the_backend_opts_in() {
    let upstream = Upstream::always(vec![hello()]).await;
    let mom = Mom::over_with(&upstream, "request_usage = true").await;
    let body = ask_stream("main");
    assert_eq!(chat(mom.public, &body).await.status(), 200);
    let sent: serde_json::Value = serde_json::from_slice(&upstream.only().body).unwrap();
    assert_eq!(sent["stream_options"]["include_usage"], true);
    assert_eq!(sent["messages"][0]["content"], "hi");
}

#[tokio::test]
async fn a_large_body_both_ways() {
    let big = "x".repeat(3 << 20);
    let answer = crate::upstream::answer("200 OK", &[("content-type", "application/json")], big.as_bytes());
    let upstream = Upstream::always(vec![Step::Send(answer)]).await;
    let mom = Mom::over(&upstream).await;
    let body = format!(r#"{{"model":"main","messages":[{{"role":"user","content":"{big}"}}]}}"#);
    let response = chat(mom.public, &body).await;
    assert_eq!((response.status(), response.body.len()), (200, big.len()));
    assert!(upstream.only().body == body.as_bytes());
}
