//! No answer waits for a timer: sockets have TCP_NODELAY, and connections are kept alive on
//! both sides.

use std::time::Duration;

use tokio::time::Instant;

use crate::client::Client;
use crate::gateway::{Mom, ask, ask_stream};
use crate::upstream::{Step, Upstream, chunk, hello, last_chunk, sse_head};

/// The median of 20 answers on one kept-alive connection.
async fn median(mom: &Mom, body: String) -> Duration {
    let mut client = Client::connect(mom.public).await;
    let mut times = Vec::new();
    for _ in 0..20 {
        let start = Instant::now();
        client.send("POST", "/v1/chat/completions", &[], body.as_bytes()).await;
        let (response, back) = client.response().await;
        assert_eq!(response.status(), 200);
        times.push(start.elapsed());
        client = back;
    }
    times.sort();
    times[10]
}

/// Without TCP_NODELAY a second small write waits until the first one is acknowledged, and a
/// peer that has just spoken itself delays that by 40 ms.
#[tokio::test]
async fn a_second_small_write_does_not_wait_for_an_ack() {
    let pause = Step::Wait(Duration::from_millis(2));
    let steps = vec![sse_head(), chunk("data: 1\n\n"), pause.clone(), chunk("data: 2\n\n"), pause, last_chunk()];
    let upstream = Upstream::always(steps).await;
    let mom = Mom::over(&upstream).await;
    let median = median(&mom, ask_stream("main")).await;
    assert!(median < Duration::from_millis(35), "median of two small events: {median:?}");
}

#[tokio::test]
async fn upstream_connections_are_kept_alive() {
    let upstream = Upstream::always(vec![hello()]).await;
    let mom = Mom::over(&upstream).await;
    let median = median(&mom, ask("main")).await;
    assert!(median < Duration::from_millis(35), "median of plain answers: {median:?}");
    assert!(upstream.seen().iter().all(|seen| seen.connection == 0), "one connection serves them all");
}
