//! It stays up: retries and fallback before the first byte, a breaker, bounds, drain.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::client::{Client, chat};
use crate::gateway::{Mom, NO_MINDS, SERVER, ask, ask_stream, backend, route};
use crate::upstream::{HELLO, Step, Upstream, answer, chunk, hello, last_chunk, sse_head};

const BUSY: &str = r#"{"error":{"message":"slow down","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#;

fn error(status: &str, headers: &[(&str, &str)]) -> Vec<Step> {
    let mut all = vec![("content-type", "application/json")];
    all.extend(headers);
    vec![Step::Send(answer(status, &all, BUSY.as_bytes()))]
}

#[tokio::test]
async fn a_failure_before_the_first_byte_is_tried_again() {
    for failure in [vec![Step::Reset], vec![Step::Close], error("500 Oops", &[]), error("503 Busy", &[])] {
        let upstream = Upstream::sequence(vec![failure, vec![hello()]]).await;
        let mom = Mom::over(&upstream).await;
        let response = chat(mom.public, ask("main")).await;
        assert_eq!((response.status(), response.text()), (200, HELLO));
        assert_eq!(upstream.seen().len(), 2);
        assert_eq!(upstream.seen()[0].body, upstream.seen()[1].body);
    }
}

#[tokio::test]
async fn a_backend_that_says_no_is_not_asked_again() {
    let upstream = Upstream::always(error("429 Too Many Requests", &[("x-should-retry", "false")])).await;
    let mom = Mom::over(&upstream).await;
    let response = chat(mom.public, ask("main")).await;
    assert_eq!((response.status(), response.text()), (429, BUSY));
    assert_eq!(response.header("x-should-retry"), Some("false"));
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn a_short_retry_after_is_waited_for() {
    let busy = error("429 Too Many Requests", &[("retry-after-ms", "400")]);
    let upstream = Upstream::sequence(vec![busy, vec![hello()]]).await;
    let mom = Mom::over(&upstream).await;
    assert_eq!(chat(mom.public, ask("main")).await.status(), 200);
    let seen = upstream.seen();
    let gap = seen[1].at - seen[0].at;
    assert!(gap >= Duration::from_millis(395) && gap < Duration::from_millis(1500), "{gap:?}");
}

#[tokio::test]
async fn a_long_retry_after_is_the_clients_to_wait_for() {
    let upstream = Upstream::always(error("429 Too Many Requests", &[("retry-after", "60")])).await;
    let mom = Mom::over(&upstream).await;
    let start = Instant::now();
    let response = chat(mom.public, ask("main")).await;
    assert_eq!((response.status(), response.text(), response.header("retry-after")), (429, BUSY, Some("60")));
    assert_eq!(upstream.seen().len(), 1);
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn the_last_error_answer_is_relayed_unchanged() {
    let upstream = Upstream::always(error("503 Service Unavailable", &[])).await;
    let mom = Mom::over_with(&upstream, "retry = { attempts = 2 }").await;
    let response = chat(mom.public, ask("main")).await;
    assert_eq!((response.status(), response.text()), (503, BUSY));
    assert_eq!(upstream.seen().len(), 3);
}

#[tokio::test]
async fn a_client_error_is_final() {
    let upstream = Upstream::always(error("400 Bad Request", &[])).await;
    let spare = Upstream::always(vec![hello()]).await;
    let mom = with_spare(&upstream, &spare, "").await;
    assert_eq!(chat(mom.public, ask("auto")).await.status(), 400);
    assert_eq!((upstream.seen().len(), spare.seen().len()), (1, 0));
}

#[tokio::test]
async fn nothing_is_retried_after_the_first_byte() {
    let upstream = Upstream::always(vec![sse_head(), chunk("data: {}\n\n"), Step::Reset]).await;
    let spare = Upstream::always(vec![hello()]).await;
    let mom = with_spare(&upstream, &spare, "").await;
    assert!(!chat(mom.public, ask_stream("auto")).await.complete);
    assert_eq!((upstream.seen().len(), spare.seen().len()), (1, 0));
}

/// A route to `main` that falls back to `spare`.
async fn with_spare(main: &Upstream, spare: &Upstream, keys: &str) -> Mom {
    let backends = backend("main", main.addr, keys) + &backend("spare", spare.addr, "");
    let route = route("all", "\"main\"") + "fallback = [\"spare\"]\n";
    Mom::start(&format!("{SERVER}{NO_MINDS}{backends}{route}")).await
}

#[tokio::test]
async fn a_failing_backend_is_replaced_by_the_fallback() {
    let quick = "retry = { attempts = 0 }\ntimeouts = { first_token = \"300ms\" }";
    for failure in [vec![Step::Reset], error("503 Busy", &[]), vec![Step::Stall], vec![sse_head(), Step::Reset]] {
        let upstream = Upstream::always(failure).await;
        let spare = Upstream::always(vec![hello()]).await;
        let mom = with_spare(&upstream, &spare, quick).await;
        let response = chat(mom.public, ask("auto")).await;
        assert_eq!((response.status(), response.text()), (200, HELLO));
        assert_eq!(response.header("x-mom-backend"), Some("spare"));
        assert_eq!(spare.only().body, ask("spare").as_bytes(), "the model is the spare's own");
    }
}

#[tokio::test]
async fn the_breaker_opens_and_recovers() {
    let upstream = Upstream::start(|n, _| if n < 2 { vec![Step::Reset] } else { vec![hello()] }).await;
    let keys = "retry = { attempts = 0 }\nbreaker = { failures = 2, cooldown = \"600ms\" }";
    let mom = Mom::over_with(&upstream, keys).await;
    for _ in 0..2 {
        assert_eq!(chat(mom.public, ask("main")).await.status(), 502);
    }
    let open = chat(mom.public, ask("main")).await;
    assert_eq!((open.status(), upstream.seen().len()), (503, 2), "no call while it is open");
    assert!(open.header("retry-after").is_some() && !open.code().is_empty());
    sleep(Duration::from_millis(700)).await;
    for _ in 0..3 {
        assert_eq!(chat(mom.public, ask("main")).await.status(), 200);
    }
}

/// Anyone can make a healthy server say 404 in HTML; that must not take it from everyone.
#[tokio::test]
async fn a_clients_mistake_is_not_the_backends_illness() {
    let page = answer("404 Not Found", &[("content-type", "text/html")], b"<html>no such page</html>");
    let mut answers = vec![vec![Step::Send(page)]; 8];
    answers.push(vec![hello()]);
    let upstream = Upstream::sequence(answers).await;
    let mom = Mom::over(&upstream).await;
    for _ in 0..8 {
        assert_eq!(chat(mom.public, ask("main")).await.status(), 502);
    }
    assert_eq!(chat(mom.public, ask("main")).await.status(), 200);
    assert_eq!(upstream.seen().len(), 9, "none was tried again");
}

#[tokio::test]
async fn an_error_in_an_encoding_we_cannot_read_is_relayed() {
    let headers = [("content-type", "application/json"), ("content-encoding", "br"), ("x-should-retry", "false")];
    let upstream =
        Upstream::always(vec![Step::Send(answer("429 Too Many Requests", &headers, b"\x0b\x02\x80{}\x03"))]).await;
    let mom = Mom::over(&upstream).await;
    let response = chat(mom.public, ask("main")).await;
    assert_eq!((response.status(), response.header("content-encoding")), (429, Some("br")));
}

#[tokio::test]
async fn routing_goes_around_an_open_breaker() {
    let broken = Upstream::always(vec![Step::Reset]).await;
    let spare = Upstream::always(vec![hello()]).await;
    let keys =
        "retry = { attempts = 0 }\nbreaker = { failures = 1, cooldown = \"60s\" }\nprice = { input = 0, output = 0 }";
    let backends =
        backend("main", broken.addr, keys) + &backend("other", spare.addr, "price = { input = 9, output = 9 }");
    let mom = Mom::start(&format!("{SERVER}{NO_MINDS}{backends}{}", route("all", "\"main\", \"other\""))).await;
    for _ in 0..3 {
        let response = chat(mom.public, ask("auto")).await;
        assert_eq!((response.status(), response.header("x-mom-backend")), (200, Some("other")));
    }
    assert_eq!(broken.seen().len(), 1);
}

#[tokio::test]
async fn a_full_backend_answers_at_once() {
    let upstream = Upstream::always(vec![Step::Stall]).await;
    let mom = Mom::over_with(&upstream, "concurrency = 1").await;
    let mut first = Client::connect(mom.public).await;
    first.send("POST", "/v1/chat/completions", &[], ask("main").as_bytes()).await;
    upstream.arrived(1).await;
    let start = Instant::now();
    let second = chat(mom.public, ask("main")).await;
    assert!(matches!(second.status(), 429 | 503), "{}", second.text());
    assert!(second.header("retry-after").is_some() && !second.code().is_empty());
    assert!(start.elapsed() < Duration::from_secs(1), "never an unbounded wait");
}

#[tokio::test]
async fn a_full_gateway_answers_429() {
    let upstream = Upstream::always(vec![Step::Stall]).await;
    let main = backend("main", upstream.addr, "");
    let mom = Mom::start(&format!("{SERVER}max_requests = 1\n{NO_MINDS}{main}{}", route("all", "\"main\""))).await;
    let mut first = Client::connect(mom.public).await;
    first.send("POST", "/v1/chat/completions", &[], ask("main").as_bytes()).await;
    upstream.arrived(1).await;
    let second = chat(mom.public, ask("main")).await;
    assert_eq!(second.status(), 429);
    assert!(second.header("retry-after").is_some() && !second.code().is_empty());
}

#[tokio::test]
async fn a_stream_holds_its_permit_until_it_ends() {
    let gate = Arc::new(Notify::new());
    let steps = vec![sse_head(), chunk("data: {}\n\n"), Step::Gate(gate.clone()), last_chunk()];
    let upstream = Upstream::always(steps).await;
    let mom = Mom::over_with(&upstream, "concurrency = 1").await;
    let mut client = Client::connect(mom.public).await;
    client.send("POST", "/v1/chat/completions", &[], ask_stream("main").as_bytes()).await;
    let mut reply = client.reply().await;
    reply.until(b"\n\n").await;
    assert!(matches!(chat(mom.public, ask("main")).await.status(), 429 | 503));
    gate.notify_one();
    assert!(reply.rest().await.0.complete);
    gate.notify_one();
    assert_eq!(chat(mom.public, ask_stream("main")).await.status(), 200);
}

#[tokio::test]
async fn a_client_that_never_finishes_its_request_is_let_go() {
    let upstream = Upstream::always(vec![hello()]).await;
    let main = backend("main", upstream.addr, "");
    let server = format!("{SERVER}read_timeout = \"400ms\"\n");
    let mom = Mom::start(&format!("{server}{NO_MINDS}{main}{}", route("all", "\"main\""))).await;
    for half in
        ["POST /v1/chat/comp", "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\n{\"mo"]
    {
        let mut client = Client::connect(mom.public).await;
        client.write(half).await;
        let start = Instant::now();
        let end = client.ending().await;
        assert!(end.is_empty() || end.starts_with(b"HTTP/1.1 408"), "{:?}", String::from_utf8_lossy(&end));
        assert!(start.elapsed() < Duration::from_secs(3));
    }
}

#[tokio::test]
async fn shutdown_finishes_running_streams_and_takes_nothing_new() {
    let gate = Arc::new(Notify::new());
    let steps = vec![
        sse_head(),
        chunk("data: {\"n\":1}\n\n"),
        Step::Gate(gate.clone()),
        chunk("data: {\"n\":2}\n\n"),
        chunk("data: [DONE]\n\n"),
        last_chunk(),
    ];
    let upstream = Upstream::always(steps).await;
    let mom = Mom::over(&upstream).await;
    let public = mom.public;
    let mut client = Client::connect(public).await;
    client.send("POST", "/v1/chat/completions", &[], ask_stream("main").as_bytes()).await;
    let mut reply = client.reply().await;
    reply.until(b"\n\n").await;
    let mut tasks = JoinSet::new();
    tasks.spawn(mom.shutdown());
    sleep(Duration::from_millis(200)).await;
    assert!(tokio::net::TcpStream::connect(public).await.is_err(), "no new connections");
    gate.notify_one();
    let (response, _) = reply.rest().await;
    assert_eq!((response.text(), response.complete), ("data: {\"n\":2}\n\ndata: [DONE]\n\n", true));
    timeout(Duration::from_secs(3), tasks.join_next()).await.expect("shutdown ends with the last stream");
}

#[tokio::test]
async fn shutdown_does_not_wait_longer_than_the_drain() {
    let upstream = Upstream::always(vec![sse_head(), chunk("data: {}\n\n"), Step::Stall]).await;
    let main = backend("main", upstream.addr, "");
    let mom = Mom::start(&format!("{SERVER}drain = \"300ms\"\n{NO_MINDS}{main}{}", route("all", "\"main\""))).await;
    let mut client = Client::connect(mom.public).await;
    client.send("POST", "/v1/chat/completions", &[], ask_stream("main").as_bytes()).await;
    let mut reply = client.reply().await;
    reply.until(b"\n\n").await;
    timeout(Duration::from_secs(3), mom.shutdown()).await.expect("the drain is over after 300 ms");
    assert!(!reply.rest().await.0.complete, "a stream that was cut must not look finished");
}

#[tokio::test]
async fn idle_connections_do_not_hold_up_a_shutdown() {
    let upstream = Upstream::always(vec![hello()]).await;
    let mom = Mom::over(&upstream).await;
    let mut client = Client::connect(mom.public).await;
    client.send("POST", "/v1/chat/completions", &[], ask("main").as_bytes()).await;
    let (_, _idle) = client.response().await;
    timeout(Duration::from_secs(3), mom.shutdown()).await.expect("only requests are waited for");
}

#[tokio::test]
async fn a_connection_that_the_backend_closed_costs_nothing() {
    let upstream = Upstream::always(vec![hello(), Step::Close]).await;
    let mom = Mom::over(&upstream).await;
    for _ in 0..10 {
        assert_eq!(chat(mom.public, ask("main")).await.status(), 200);
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_slows_the_backend_down() {
    let event = chunk(format!("data: {}\n\n", "x".repeat(64 * 1024)));
    let mut steps = vec![sse_head()];
    steps.extend(std::iter::repeat_n(event, 1000));
    let upstream = Upstream::always(steps).await;
    let mom = Mom::over(&upstream).await;
    let mut client = Client::connect(mom.public).await;
    client.send("POST", "/v1/chat/completions", &[], ask_stream("main").as_bytes()).await;
    sleep(Duration::from_secs(1)).await;
    let sent = upstream.steps_played();
    assert!(sent < 500, "{sent} of 1000 events of 64 KB wait somewhere inside the gateway");
}

#[tokio::test]
async fn a_client_that_never_reads_is_let_go() {
    let event = chunk(format!("data: {}\n\n", "x".repeat(64 * 1024)));
    let mut steps = vec![sse_head()];
    steps.extend(std::iter::repeat_n(event, 1000));
    let upstream = Upstream::always(steps).await;
    let main = backend("main", upstream.addr, "timeouts = { idle = \"500ms\", total = \"1s\" }");
    let server = format!("{SERVER}write_timeout = \"1s\"\n");
    let mom = Mom::start(&format!("{server}{NO_MINDS}{main}{}", route("all", "\"main\""))).await;
    let mut client = Client::connect(mom.public).await;
    let since = Instant::now();
    client.send("POST", "/v1/chat/completions", &[], ask_stream("main").as_bytes()).await;
    upstream.arrived(1).await;
    assert!(upstream.left_after(since).await < Duration::from_secs(4), "it would hold its permits forever");
}
