//! Bad input and bad upstreams: each gets one clear OpenAI-shaped error with the right
//! status, and the next request is served as if nothing had happened.

use std::fmt::Write as _;

use crate::client::{Client, Response, chat, get, post, request};
use crate::gateway::{Mom, NO_MINDS, SERVER, ask, backend, route};
use crate::upstream::{Step, Upstream, answer, head, hello};

/// `case: status code-or-body`, for the snapshots. Every error has all four keys.
fn line(out: &mut String, case: &str, response: &Response) {
    let json = response.json();
    let error = json["error"].as_object().unwrap_or_else(|| panic!("{case}: {json}"));
    let mut keys: Vec<_> = error.keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["code", "message", "param", "type"], "{case}");
    assert_eq!(json.as_object().unwrap().len(), 1, "{case}: {json}");
    assert_eq!(response.header("content-type"), Some("application/json"), "{case}");
    writeln!(out, "{case}\n  {} {}", response.status(), json["error"]).unwrap();
}

#[tokio::test]
async fn bad_bodies() {
    let upstream = Upstream::always(vec![hello()]).await;
    let mom = Mom::over(&upstream).await;
    let deep_content = format!(
        r#"{{"model":"main","messages":[{{"role":"user","content":{}1{}}}]}}"#,
        "[".repeat(90_000),
        "]".repeat(90_000)
    );
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("empty body", b"".to_vec()),
        ("malformed JSON", br#"{"model":"main","messages":[}"#.to_vec()),
        ("cut JSON", br#"{"model":"main","messages":[{"role":"us"#.to_vec()),
        ("two values", br#"{"model":"main","messages":[{"role":"user","content":"hi"}]} {}"#.to_vec()),
        ("an array", b"[]".to_vec()),
        ("a positional array", br#"["main",[{"role":"user","content":"hi"}]]"#.to_vec()),
        ("null", b"null".to_vec()),
        ("bad UTF-8", b"{\"model\":\"main\",\"messages\":[{\"role\":\"user\",\"content\":\"\xff\xfe\"}]}".to_vec()),
        ("no model", br#"{"messages":[{"role":"user","content":"hi"}]}"#.to_vec()),
        ("model is a number", br#"{"model":4,"messages":[{"role":"user","content":"hi"}]}"#.to_vec()),
        ("two models", br#"{"model":"main","model":"other","messages":[{"role":"user","content":"hi"}]}"#.to_vec()),
        (
            "two models, one escaped",
            br#"{"model":"main","mod\u0065l":"other","messages":[{"role":"user","content":"hi"}]}"#.to_vec(),
        ),
        (
            "two messages",
            br#"{"model":"main","messages":[{"role":"user","content":"hi"}],"messages":[{"role":"user","content":"bad"}]}"#
                .to_vec(),
        ),
        ("no messages", br#"{"model":"main"}"#.to_vec()),
        ("empty messages", br#"{"model":"main","messages":[]}"#.to_vec()),
        ("messages is a string", br#"{"model":"main","messages":"hi"}"#.to_vec()),
        ("a message is a string", br#"{"model":"main","messages":["hi"]}"#.to_vec()),
        ("content is a number", br#"{"model":"main","messages":[{"role":"user","content":1}]}"#.to_vec()),
        ("two contents", br#"{"model":"main","messages":[{"role":"user","content":"a","content":"b"}]}"#.to_vec()),
        ("stream is a string", br#"{"model":"main","stream":"yes","messages":[{"role":"user","content":"hi"}]}"#.to_vec()),
        ("lone surrogate", br#"{"model":"main","messages":[{"role":"user","content":"\ud800"}]}"#.to_vec()),
        ("deeply nested content", deep_content.into_bytes()),
        ("unknown model", ask("gpt-99").into_bytes()),
    ];
    let mut out = String::new();
    for (case, body) in cases {
        let response = chat(mom.public, body).await;
        assert!(response.header("x-mom-request-id").is_some(), "{case} cannot be found in the log");
        line(&mut out, case, &response);
    }
    insta::assert_snapshot!("bad_bodies", out);
    assert!(upstream.seen().is_empty(), "none of it reached the backend");
    assert_eq!(chat(mom.public, ask("main")).await.status(), 200);
}

#[tokio::test]
async fn depth_is_refused_wherever_it_is() {
    let upstream = Upstream::always(vec![hello()]).await;
    let mom = Mom::over(&upstream).await;
    let nested = "{\"a\":[".repeat(90_000) + &"]}".repeat(90_000);
    for body in [
        format!(r#"{{"x":{nested},"model":"main","messages":[{{"role":"user","content":"hi"}}]}}"#),
        format!(r#"{{"model":"main","messages":[{{"role":"user","content":"hi","y":{nested}}}]}}"#),
    ] {
        let response = chat(mom.public, &body).await;
        assert_eq!((response.status(), response.json()["error"]["code"].as_str()), (400, Some("invalid_request")));
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn bad_requests_to_other_paths() {
    let upstream = Upstream::always(vec![hello()]).await;
    let mom = Mom::over(&upstream).await;
    let mut out = String::new();
    line(&mut out, "GET chat", &get(mom.public, "/v1/chat/completions").await);
    line(&mut out, "POST models", &post(mom.public, "/v1/models", "{}").await);
    line(&mut out, "unknown path", &get(mom.public, "/v1/nothing").await);
    line(&mut out, "root", &get(mom.public, "/").await);
    line(&mut out, "embeddings without input", &post(mom.public, "/v1/embeddings", r#"{"model":"main"}"#).await);
    line(&mut out, "completions without prompt", &post(mom.public, "/v1/completions", r#"{"model":"main"}"#).await);
    line(
        &mut out,
        "unknown model, embeddings",
        &post(mom.public, "/v1/embeddings", r#"{"model":"x","input":"a"}"#).await,
    );
    line(&mut out, "route without messages", &post(mom.public, "/v1/route", r#"{"model":"auto"}"#).await);
    line(&mut out, "classify nothing", &post(mom.public, "/v1/classify", "{").await);
    insta::assert_snapshot!("bad_requests", out);
    let wrong = get(mom.public, "/v1/chat/completions").await;
    assert_eq!((wrong.status(), wrong.header("allow")), (405, Some("POST")));
    // Management is not on the public listener.
    assert_eq!(get(mom.public, "/metrics").await.status(), 404);
    assert_eq!(post(mom.admin, "/v1/chat/completions", ask("main")).await.status(), 404);
}

async fn small(upstream: &Upstream) -> Mom {
    let limits = "max_body_bytes = 10000\nmax_header_bytes = 16384\n";
    let main = backend("main", upstream.addr, "");
    Mom::start(&format!("{SERVER}{limits}{NO_MINDS}{main}{}", route("all", "\"main\""))).await
}

#[tokio::test]
async fn a_body_that_says_it_is_too_large_is_not_read() {
    let upstream = Upstream::always(vec![hello()]).await;
    let mom = small(&upstream).await;
    let mut client = Client::connect(mom.public).await;
    // Not one byte of the announced body is sent, so an answer proves that none was waited for.
    client.write("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 10001\r\n\r\n").await;
    let (response, _) = client.response().await;
    assert_eq!(response.status(), 413);
    let mut out = String::new();
    line(&mut out, "too large", &response);
    insta::assert_snapshot!("too_large", out);
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_no_before_it_sends() {
    let upstream = Upstream::always(vec![hello()]).await;
    let mom = small(&upstream).await;
    let mut client = Client::connect(mom.public).await;
    let head =
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 99999999\r\n\r\n";
    client.write(head).await;
    assert_eq!(client.response().await.0.status(), 413);
}

#[tokio::test]
async fn a_chunked_body_is_read_only_to_the_limit() {
    let upstream = Upstream::always(vec![hello()]).await;
    let mom = small(&upstream).await;
    let mut client = Client::connect(mom.public).await;
    client.write("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n").await;
    // The body never ends; the answer must come all the same.
    for _ in 0..11 {
        if !client.try_write(format!("3e8\r\n{}\r\n", "x".repeat(1000))).await {
            break;
        }
    }
    assert_eq!(client.response().await.0.status(), 413);
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn a_chunked_body_below_the_limit_is_fine() {
    let upstream = Upstream::always(vec![hello()]).await;
    let mom = small(&upstream).await;
    let mut client = Client::connect(mom.public).await;
    client.write("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n").await;
    let body = ask("main");
    for part in body.as_bytes().chunks(9) {
        client.write([format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat()).await;
    }
    client.write("0\r\n\r\n").await;
    assert_eq!(client.response().await.0.status(), 200);
    assert_eq!(upstream.only().body, body.as_bytes());
}

#[tokio::test]
async fn absurd_headers_are_a_431() {
    let upstream = Upstream::always(vec![hello()]).await;
    let mom = small(&upstream).await;
    let huge = "x".repeat(40_000);
    let mut client = Client::connect(mom.public).await;
    let _ = client.try_write(format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-a: {huge}\r\n\r\n")).await;
    assert_eq!(client.response().await.0.status(), 431);
    assert_eq!(chat(mom.public, ask("main")).await.status(), 200);
}

#[tokio::test]
async fn noise_on_the_socket_disturbs_nobody() {
    let upstream = Upstream::always(vec![hello()]).await;
    let mom = Mom::over(&upstream).await;
    for noise in ["\x16\x03\x01\x02\x00", "GET\r\n\r\n", "POST / HTTP/9.9\r\n\r\n", "\r\n\r\n\r\n\r\n", "\0\0\0\0"] {
        let mut client = Client::connect(mom.public).await;
        let _ = client.try_write(noise).await;
    }
    // Two lengths: which one counts is how requests are smuggled.
    let mut client = Client::connect(mom.public).await;
    client
        .write("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!")
        .await;
    assert_eq!(client.response().await.0.status(), 400);
    assert_eq!(chat(mom.public, ask("main")).await.status(), 200);
}

/// What the client sees when the only backend gives this answer.
async fn with_answer(steps: Vec<Step>) -> Response {
    let upstream = Upstream::always(steps).await;
    let mom = Mom::over_with(&upstream, "retry = { attempts = 0 }").await;
    chat(mom.public, ask("main")).await
}

#[tokio::test]
async fn what_is_no_api_answer_becomes_a_clean_502() {
    let html = "<html><body><h1>502 Bad Gateway</h1><hr>nginx/1.18.0 at 10.0.0.7</body></html>";
    let plain = [("content-type", "text/plain")];
    let cases = [
        ("HTML 502", vec![Step::Send(answer("502 Bad Gateway", &[("content-type", "text/html")], html.as_bytes()))]),
        ("HTML 404", vec![Step::Send(answer("404 Not Found", &[("content-type", "text/html")], html.as_bytes()))]),
        (
            "HTML that says it is JSON",
            vec![Step::Send(answer("500 Oops", &[("content-type", "application/json")], html.as_bytes()))],
        ),
        ("an empty 500", vec![Step::Send(answer("500 Internal Server Error", &[], b""))]),
        ("a plain-text 503", vec![Step::Send(answer("503 Busy", &plain, b"upstream connect error 10.0.0.7:443"))]),
        (
            "a redirect",
            vec![Step::Send(answer(
                "302 Found",
                &[("location", "http://10.0.0.7/login"), ("content-type", "text/html")],
                b"",
            ))],
        ),
        ("no HTTP at all", vec![Step::Send(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()), Step::Close]),
        ("half a head", vec![Step::Send(head("200 OK", &[])[..12].to_vec()), Step::Close]),
        ("a reset", vec![Step::Reset]),
        ("nothing", vec![Step::Close]),
    ];
    let mut out = String::new();
    for (case, steps) in cases {
        let response = with_answer(steps).await;
        assert_eq!(response.status(), 502, "{case}");
        let text = response.text();
        assert!(!text.contains("10.0.0.7") && !text.contains("nginx") && !text.contains('<'), "{case} leaks: {text}");
        line(&mut out, case, &response);
    }
    insta::assert_snapshot!("no_api_answer", out);
}

#[tokio::test]
async fn a_backend_that_is_down_is_a_502_without_its_address() {
    let nowhere = Upstream::nowhere().await;
    let main = backend("main", nowhere, "");
    let mom = Mom::start(&format!("{SERVER}{NO_MINDS}{main}{}", route("all", "\"main\""))).await;
    let response = chat(mom.public, ask("auto")).await;
    let mut out = String::new();
    line(&mut out, "down", &response);
    assert!(!response.text().contains(&nowhere.port().to_string()), "{}", response.text());
    insta::assert_snapshot!("down", out);
}

#[tokio::test]
async fn answers_name_their_request_in_the_log() {
    let upstream = Upstream::always(vec![hello()]).await;
    let mom = Mom::over(&upstream).await;
    let headers = [("content-type", "application/json")];
    let one = request(mom.public, "POST", "/v1/chat/completions", &headers, ask("nope")).await;
    let two = request(mom.public, "POST", "/v1/chat/completions", &headers, ask("nope")).await;
    assert_ne!(one.header("x-mom-request-id"), two.header("x-mom-request-id"));
}
