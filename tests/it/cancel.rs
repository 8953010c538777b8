//! A client that goes away closes the upstream call within 300 ms, whatever the call is doing.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::client::Client;
use crate::gateway::{Mom, NO_MINDS, SERVER, ask, ask_stream, backend, route};
use crate::upstream::{Step, Upstream, answer, chunk, sse_head};

const LIMIT: Duration = Duration::from_millis(300);

async fn asking(mom: &Mom, upstream: &Upstream, body: String) -> Client {
    let mut client = Client::connect(mom.public).await;
    client.send("POST", "/v1/chat/completions", &[], body.as_bytes()).await;
    upstream.arrived(1).await;
    client
}

async fn assert_cancelled(upstream: &Upstream, since: Instant) {
    let after = upstream.left_after(since).await;
    assert!(after <= LIMIT, "the upstream call was closed only {after:?} after the client left");
}

#[tokio::test]
async fn before_the_first_byte_of_a_stream() {
    let upstream = Upstream::always(vec![Step::Stall]).await;
    let mom = Mom::over(&upstream).await;
    let client = asking(&mom, &upstream, ask_stream("main")).await;
    let since = Instant::now();
    drop(client);
    assert_cancelled(&upstream, since).await;
}

#[tokio::test]
async fn before_the_answer_of_a_plain_request() {
    let upstream = Upstream::always(vec![Step::Stall]).await;
    let mom = Mom::over(&upstream).await;
    let client = asking(&mom, &upstream, ask("main")).await;
    let since = Instant::now();
    drop(client);
    assert_cancelled(&upstream, since).await;
}

#[tokio::test]
async fn after_the_head_but_before_the_first_event() {
    let upstream = Upstream::always(vec![sse_head(), Step::Stall]).await;
    let mom = Mom::over(&upstream).await;
    let client = asking(&mom, &upstream, ask_stream("main")).await;
    sleep(Duration::from_millis(50)).await;
    let since = Instant::now();
    drop(client);
    assert_cancelled(&upstream, since).await;
}

#[tokio::test]
async fn in_the_middle_of_a_stream() {
    let upstream = Upstream::always(vec![sse_head(), chunk("data: {\"n\":1}\n\n"), Step::Stall]).await;
    let mom = Mom::over(&upstream).await;
    let mut reply = asking(&mom, &upstream, ask_stream("main")).await.reply().await;
    reply.until(b"\n\n").await;
    let since = Instant::now();
    drop(reply);
    assert_cancelled(&upstream, since).await;
}

#[tokio::test]
async fn in_the_middle_of_a_plain_body() {
    let whole = answer("200 OK", &[("content-type", "application/json")], b"{\"id\":\"chatcmpl-1\",\"choices\":[]}");
    let half = whole[..whole.len() - 10].to_vec();
    let upstream = Upstream::always(vec![Step::Send(half), Step::Stall]).await;
    let mom = Mom::over(&upstream).await;
    let client = asking(&mom, &upstream, ask("main")).await;
    sleep(Duration::from_millis(50)).await;
    let since = Instant::now();
    drop(client);
    assert_cancelled(&upstream, since).await;
}

#[tokio::test]
async fn while_a_busy_stream_is_flowing() {
    let mut steps = vec![sse_head()];
    for _ in 0..2000 {
        steps.extend([chunk("data: {\"n\":1}\n\n"), Step::Wait(Duration::from_millis(5))]);
    }
    let upstream = Upstream::always(steps).await;
    let mom = Mom::over(&upstream).await;
    let mut reply = asking(&mom, &upstream, ask_stream("main")).await.reply().await;
    reply.until(b"\n\n").await;
    let since = Instant::now();
    drop(reply);
    assert_cancelled(&upstream, since).await;
}

#[tokio::test]
async fn while_a_retry_is_waited_for() {
    let busy = answer(
        "429 Too Many Requests",
        &[("content-type", "application/json"), ("retry-after", "1")],
        br#"{"error":{"message":"slow down","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#,
    );
    let upstream = Upstream::always(vec![Step::Send(busy)]).await;
    let mom = Mom::over(&upstream).await;
    let client = asking(&mom, &upstream, ask("main")).await;
    sleep(Duration::from_millis(100)).await;
    drop(client);
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(upstream.seen().len(), 1, "nobody waits for this answer any more");
}

#[tokio::test]
async fn a_permit_comes_back_with_the_client() {
    let upstream = Upstream::always(vec![Step::Stall]).await;
    let main = backend("main", upstream.addr, "concurrency = 1\nretry = { attempts = 0 }");
    let mom = Mom::start(&format!("{SERVER}{NO_MINDS}{main}{}", route("all", "\"main\""))).await;
    for n in 1..=3 {
        let mut client = Client::connect(mom.public).await;
        client.send("POST", "/v1/chat/completions", &[], ask("main").as_bytes()).await;
        upstream.arrived(n).await;
        let since = Instant::now();
        drop(client);
        assert_cancelled(&upstream, since).await;
    }
}
