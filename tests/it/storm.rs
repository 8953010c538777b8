//! Many clients, every way to misbehave at once; afterwards nothing is left behind.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::client::{Client, chat, get};
use crate::gateway::{Mom, SERVER, ask, ask_stream, backend, route};
use crate::upstream::{Step, Upstream, answer, chunk, hello, last_chunk, sse_head};

const REQUESTS: usize = 120;

/// Six kinds of backend behaviour, one after the other.
fn behave(n: usize) -> Vec<Step> {
    let wait = Step::Wait(Duration::from_millis(20));
    match n % 6 {
        0 => vec![hello()],
        1 => vec![Step::Reset],
        2 => vec![Step::Stall],
        3 => vec![sse_head(), chunk("data: {}\n\n"), wait, Step::Reset],
        4 => vec![sse_head(), chunk("data: {}\n\n"), wait.clone(), chunk("data: [DONE]\n\n"), wait, last_chunk()],
        _ => vec![Step::Send(answer("500 Oops", &[("content-type", "application/json")], b"{\"error\":{}}"))],
    }
}

/// Sends a request and stays for some time; three in four stay until the end.
async fn visit(addr: std::net::SocketAddr, n: usize) {
    let mut client = Client::connect(addr).await;
    let body = if n.is_multiple_of(2) { ask("main") } else { ask_stream("main") };
    client.send("POST", "/v1/chat/completions", &[], body.as_bytes()).await;
    if n.is_multiple_of(4) {
        sleep(Duration::from_millis(n as u64 % 60)).await;
    } else {
        let (response, _) = client.reply().await.rest().await;
        assert!(matches!(response.status(), 200 | 500 | 502 | 503 | 504), "{}", response.text());
    }
}

#[tokio::test]
async fn after_a_storm_nothing_is_left_behind() {
    let upstream = Upstream::start(|n, _| behave(n)).await;
    let keys =
        "timeouts = { first_token = \"500ms\", idle = \"500ms\" }\nbreaker = { failures = 100000 }\nconcurrency = 200";
    let mom = Mom::over_with(&upstream, keys).await;
    let mut visits = JoinSet::new();
    for n in 0..REQUESTS {
        visits.spawn(visit(mom.public, n));
    }
    timeout(Duration::from_secs(20), visits.join_all()).await.expect("every visit ends");
    let mut metrics = String::new();
    for _ in 0..100 {
        metrics = get(mom.admin, "/metrics").await.text().to_owned();
        if metrics.contains("mom_requests_in_flight 0\n") {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    assert!(metrics.contains("mom_requests_in_flight 0\n"), "{metrics}");
    // Those who left may have gone before their request was read.
    let recorded = recorded(&metrics);
    assert!((REQUESTS * 3 / 4..=REQUESTS).contains(&recorded), "one record per request, not {recorded}:\n{metrics}");
    // Every permit is back: a full house of well-behaved requests is served.
    let mut calm = JoinSet::new();
    for _ in 0..100 {
        let public = mom.public;
        calm.spawn(async move { chat(public, ask("main")).await.status() });
    }
    let statuses = timeout(Duration::from_secs(20), calm.join_all()).await.expect("and in time");
    assert!(!statuses.contains(&429), "{statuses:?}");
}

fn recorded(metrics: &str) -> usize {
    let samples = metrics.lines().filter(|line| line.starts_with("mom_requests_total{"));
    samples.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum()
}

/// A long text costs its own sender time, not everyone else's; not even theirs who ask for a
/// part of it. Its sentences differ, or all of them would be a few windows that run once.
#[tokio::test]
async fn a_huge_text_does_not_starve_the_others() {
    let upstream = Upstream::always(vec![hello()]).await;
    let main = backend("main", upstream.addr, "");
    let mom = Mom::start(&format!("{SERVER}{main}{}", route("all", "\"main\""))).await;
    // Some 30,000 tokens, 160 windows: a second of inference and more, well before the deadline.
    let sentence = |n| format!("On day {n} cat {} sat on mat {} and looked at the rain. ", n * 7, n * 13);
    let last = "What is the capital of France?";
    let message = |role: &str, text: &str| format!(r#"{{"role":"{role}","content":"{text}"}}"#);
    let text: String = (0..1400).map(sentence).collect();
    // The ask is read first, so what stands before it is what is read last.
    let messages = [message("user", &text), message("assistant", last), message("user", "Go on.")].join(",");
    let huge = format!(r#"{{"model":"main","messages":[{messages}]}}"#);
    let mut client = Client::connect(mom.public).await;
    client.send("POST", "/v1/chat/completions", &[], huge.as_bytes()).await;
    let at_work = async || {
        let metrics = get(mom.admin, "/metrics").await;
        let depth = metrics.text().lines().find_map(|line| line.strip_prefix("mom_mind_queue_depth "));
        depth.is_some_and(|depth| depth != "0")
    };
    timeout(Duration::from_secs(5), async {
        while !at_work().await {
            sleep(Duration::from_millis(10)).await
        }
    })
    .await
    .expect("it is read");
    let mut waits = Vec::new();
    for n in 0..5 {
        let start = tokio::time::Instant::now();
        // The first one asks for the long request's last window.
        let text = if n == 0 { last.to_owned() } else { format!("What is {n} times seven?") };
        let response = chat(mom.public, ask("main").replace("hi", &text)).await;
        assert_eq!(response.status(), 200, "{}", response.text());
        waits.push(start.elapsed());
    }
    assert!(at_work().await, "the long request is still at it: {waits:?}");
    assert!(waits.iter().all(|wait| *wait < Duration::from_millis(1500)), "{waits:?}");
}
