//! Which headers cross the gateway, both ways.

use std::io::Write as _;

use crate::client::{get, request};
use crate::gateway::{Mom, NO_MINDS, SERVER, ask, backend, route};
use crate::upstream::{Seen, Step, Upstream, answer, hello};

const SENT: &[(&str, &str)] = &[
    ("content-type", "application/json"),
    ("authorization", "Bearer sk-of-the-client"),
    ("connection", "keep-alive, x-private-hop"),
    ("x-private-hop", "1"),
    ("keep-alive", "timeout=5"),
    ("te", "trailers"),
    ("proxy-authorization", "Basic Zm9vOmJhcg=="),
    ("proxy-connection", "keep-alive"),
    ("openai-organization", "org-1"),
    ("openai-beta", "assistants=v2"),
    ("x-request-id", "client-1"),
    ("idempotency-key", "idem-1"),
    ("user-agent", "some-sdk/1.0"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
];

async fn seen_with(keys: &str) -> Seen {
    let upstream = Upstream::always(vec![hello()]).await;
    let mom = Mom::over_with(&upstream, keys).await;
    let response = request(mom.public, "POST", "/v1/chat/completions", SENT, ask("main")).await;
    assert_eq!(response.status(), 200);
    upstream.only()
}

#[tokio::test]
async fn hop_by_hop_headers_stay_behind() {
    let seen = seen_with("").await;
    for name in ["x-private-hop", "keep-alive", "te", "proxy-authorization", "proxy-connection", "transfer-encoding"] {
        assert_eq!(seen.header(name), None, "{name} went upstream");
    }
    assert_ne!(seen.header("host"), Some("gateway.test"), "the backend's own host goes upstream");
}

#[tokio::test]
async fn a_clients_credential_stays_here() {
    assert_eq!(seen_with("").await.header("authorization"), None);
}

#[tokio::test]
async fn a_clients_credential_passes_where_the_backend_says_so() {
    let seen = seen_with("api_key = \"client\"").await;
    assert_eq!(seen.header("authorization"), Some("Bearer sk-of-the-client"));
}

#[tokio::test]
async fn a_backends_own_key_replaces_the_clients() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "sk-of-the-operator\n").unwrap();
    let seen = seen_with(&format!("api_key = {{ file = \"{}\" }}", file.path().display())).await;
    assert_eq!(seen.header("authorization"), Some("Bearer sk-of-the-operator"));
}

#[tokio::test]
async fn what_a_provider_understands_goes_on() {
    let seen = seen_with("").await;
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.header("openai-organization"), Some("org-1"));
    assert_eq!(seen.header("openai-beta"), Some("assistants=v2"));
}

#[tokio::test]
async fn decisions_are_told_in_headers() {
    let upstream = Upstream::always(vec![hello()]).await;
    let keys = "model = \"gpt-4o\"";
    let backend = backend("main", upstream.addr, keys);
    let mom = Mom::start(&format!("{SERVER}{NO_MINDS}{backend}{}", route("all", "\"main\""))).await;
    let response = request(mom.public, "POST", "/v1/chat/completions", &[], ask("auto")).await;
    assert_eq!(response.header("x-mom-backend"), Some("main"));
    assert_eq!(response.header("x-mom-model"), Some("gpt-4o"));
    assert_eq!(response.header("x-mom-route"), Some("all"));
    for name in ["x-mom-request-id", "x-mom-reason", "x-mom-decision-us"] {
        assert!(response.header(name).is_some_and(|value| !value.is_empty()), "{name} is missing");
    }
    let named = request(mom.public, "POST", "/v1/chat/completions", &[], ask("main")).await;
    assert_eq!(named.header("x-mom-backend"), Some("main"));
    assert_ne!(named.header("x-mom-request-id"), response.header("x-mom-request-id"));
}

#[tokio::test]
async fn only_listed_response_headers_come_back() {
    // The client itself refuses every header off its allowlist.
    let upstream = Upstream::always(vec![Step::Send(answer(
        "200 OK",
        &[
            ("content-type", "application/json; charset=utf-8"),
            ("connection", "keep-alive, x-hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=60"),
            ("server", "secret-backend/1.2"),
            ("set-cookie", "session=abc"),
            ("x-powered-by", "Express"),
            ("x-mom-backend", "spoofed"),
            ("x-mom-guard", "spoofed"),
            ("x-request-id", "req_1"),
            ("x-ratelimit-remaining-tokens", "41"),
            ("openai-processing-ms", "12"),
        ],
        b"{}",
    ))])
    .await;
    let mom = Mom::over(&upstream).await;
    let response = request(mom.public, "POST", "/v1/chat/completions", &[], ask("main")).await;
    assert_eq!(response.header("content-type"), Some("application/json; charset=utf-8"));
    assert_eq!(response.header("x-request-id"), Some("req_1"));
    assert_eq!(response.header("x-ratelimit-remaining-tokens"), Some("41"));
    assert_eq!(response.header("openai-processing-ms"), Some("12"));
    let backends: Vec<_> = response.head.headers.iter().filter(|(name, _)| name == "x-mom-backend").collect();
    assert_eq!(backends, [&("x-mom-backend".to_owned(), "main".to_owned())]);
    assert_eq!(response.header("x-mom-guard"), None);
}

#[tokio::test]
async fn compressed_answers_are_relayed_as_they_are() {
    let body = b"\x1f\x8b\x08\x00not really gzip\xff\xfe";
    let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
    let upstream = Upstream::always(vec![Step::Send(answer("200 OK", &headers, body))]).await;
    let mom = Mom::over(&upstream).await;
    let accept = [("accept-encoding", "gzip")];
    let response = request(mom.public, "POST", "/v1/chat/completions", &accept, ask("main")).await;
    assert_eq!((response.header("content-encoding"), response.body.as_slice()), (Some("gzip"), &body[..]));
    assert_eq!(upstream.only().header("accept-encoding"), Some("gzip"));
}

#[tokio::test]
async fn a_compressed_error_is_an_error_not_garbage() {
    let json = br#"{"error":{"message":"slow down","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(json).unwrap();
    let body = gzip.finish().unwrap();
    let headers = [("content-type", "application/json"), ("content-encoding", "gzip"), ("x-should-retry", "false")];
    let upstream = Upstream::always(vec![Step::Send(answer("429 Too Many Requests", &headers, &body))]).await;
    let mom = Mom::over(&upstream).await;
    let accept = [("accept-encoding", "gzip")];
    let response = request(mom.public, "POST", "/v1/chat/completions", &accept, ask("main")).await;
    assert_eq!((response.status(), response.body), (429, body));
}

#[tokio::test]
async fn no_compression_is_asked_for_on_the_clients_behalf() {
    assert_eq!(seen_with("").await.header("accept-encoding"), None);
}

#[tokio::test]
async fn models_lists_backends_and_virtual_models() {
    let upstream = Upstream::always(vec![hello()]).await;
    let mom = Mom::over(&upstream).await;
    let list = get(mom.public, "/v1/models").await.json();
    let ids: Vec<_> = list["data"].as_array().unwrap().iter().filter_map(|model| model["id"].as_str()).collect();
    assert!(ids.contains(&"auto") && ids.contains(&"main"), "{ids:?}");
    assert_eq!(list["object"], "list");
    let one = get(mom.public, "/v1/models/main").await;
    assert_eq!((one.status(), one.json()["id"].as_str()), (200, Some("main")));
    assert_eq!(get(mom.public, "/v1/models/nothing").await.code(), "model_not_found");
    assert!(upstream.seen().is_empty(), "answered without a call");
}
