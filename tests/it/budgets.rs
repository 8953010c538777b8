//! Budgets of keys: what is asked for at once, what ends early, and what a restart remembers. All by the
//! month, so that a midnight seldom falls into a test.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use mom::config::KeyDigest;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::cli::mom;
use crate::client::{Client, Response, get, request};
use crate::gateway::{Mom, NO_MINDS, SERVER, backend, route};
use crate::upstream::{Step, Upstream, answer, chunk, sse_head};

/// A written token is a dollar, and what is read is free: sums are whole and exact.
const PRICE: &str = "price = { input = 0, output = 1_000_000 }\nretry = { attempts = 0 }";

/// Two keys: `team` with this budget, `other` without one.
fn config(backends: &str, budget: &str, folder: &Path) -> String {
    let keys = [("team", format!("budget = {budget}")), ("other", String::new())].map(|(name, budget)| {
        format!("[keys.{name}]\nsha256 = \"{}\"\n{budget}\n", KeyDigest::of(&format!("key-of-{name}")))
    });
    let ledger = format!("[ledger]\npath = \"{}\"\n", folder.join("ledger.db").display());
    format!("{SERVER}{NO_MINDS}{backends}{}{ledger}{}", route("all", "\"main\""), keys.concat())
}

async fn start(upstream: &Upstream, budget: &str, folder: &Path) -> Mom {
    Mom::start(&config(&backend("main", upstream.addr, PRICE), budget, folder)).await
}

async fn ask_at(addr: SocketAddr, path: &str, key: &str, body: Value) -> Response {
    let bearer = format!("Bearer key-of-{key}");
    request(addr, "POST", path, &[("authorization", &bearer)], body.to_string()).await
}

/// Asks for an answer of so many tokens at most.
async fn ask(addr: SocketAddr, key: &str, most: u64) -> Response {
    ask_at(addr, "/v1/chat/completions", key, chat(most)).await
}

fn chat(most: u64) -> Value {
    json!({"model": "main", "max_tokens": most, "messages": [{"role": "user", "content": "hi"}]})
}

/// An answer that cost so many tokens.
fn tokens(written: u64) -> Step {
    let usage = json!({"prompt_tokens": 1, "completion_tokens": written, "total_tokens": written + 1});
    let body = json!({"choices": [{"message": {"content": "hi"}}], "usage": usage}).to_string();
    Step::Send(answer("200 OK", &[("content-type", "application/json")], body.as_bytes()))
}

/// A gauge or counter of the key `team`.
async fn metric(mom: &Mom, name: &str) -> f64 {
    let text = get(mom.admin, "/metrics").await.text().to_owned();
    let line = text.lines().find(|line| line.starts_with(&format!("{name}{{")) && line.contains("key=\"team\""));
    line.map_or(0.0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

/// What is spent, once nothing is reserved any more.
async fn settled(mom: &Mom) -> f64 {
    let started = Instant::now();
    while metric(mom, "mom_budget_reserved_usd").await > 0.0 {
        assert!(started.elapsed() < Duration::from_secs(5), "money stays reserved for nobody");
        sleep(Duration::from_millis(20)).await;
    }
    metric(mom, "mom_budget_spent_usd").await
}

/// Many ask at once; the statuses.
async fn crowd(mom: &Mom, requests: usize, most: u64) -> Vec<u16> {
    let mut all = JoinSet::new();
    for _ in 0..requests {
        let public = mom.public;
        all.spawn(async move { ask(public, "team", most).await.status() });
    }
    all.join_all().await
}

fn served(statuses: &[u16]) -> usize {
    assert!(statuses.iter().all(|status| [200, 429].contains(status)), "{statuses:?}");
    statuses.iter().filter(|status| **status == 200).count()
}

#[tokio::test]
async fn many_at_once_cannot_pass_a_budget_together() {
    let upstream = Upstream::always(vec![Step::Wait(Duration::from_millis(100)), tokens(2)]).await;
    let folder = tempfile::tempdir().unwrap();
    let mom = start(&upstream, "{ usd = 40, per = \"month\" }", folder.path()).await;
    // Each may cost 3 and costs 2: 13 have room at once, whoever comes first.
    let first = served(&crowd(&mom, 80, 3).await);
    assert!(first >= 13, "{first}");
    let mut spent = settled(&mom).await;
    assert!(spent <= 40.0 && (spent - 2.0 * first as f64).abs() < 1e-9, "{spent} for {first}");
    // The rest, until not even one has room.
    while spent <= 37.0 {
        served(&crowd(&mom, 20, 3).await);
        spent = settled(&mom).await;
        assert!(spent <= 40.0, "{spent}");
    }
    assert_eq!(served(&crowd(&mom, 10, 3).await), 0);
    assert_eq!(upstream.seen().len() as f64, spent / 2.0, "nothing is sent that is refused");
    // A smaller one still has room.
    assert_eq!(ask(mom.public, "team", 2).await.status(), 200);
}

#[tokio::test]
async fn beyond_what_was_assumed_it_is_passed_by_no_more_than_that() {
    // The backend writes 5 where it was told 1: 4 more, for each that is in flight.
    let upstream = Upstream::always(vec![Step::Wait(Duration::from_millis(50)), tokens(5)]).await;
    let folder = tempfile::tempdir().unwrap();
    let mom = start(&upstream, "{ usd = 10, per = \"month\", assume_output_tokens = 1 }", folder.path()).await;
    for _ in 0..3 {
        let ends = crowd(&mom, 60, 1).await;
        assert!(served(&ends) <= 10);
    }
    let spent = settled(&mom).await;
    assert!(spent > 10.0, "this is what the bound is about: {spent}");
    assert!(spent <= 10.0 + 10.0 * 4.0, "ten can be in flight: {spent}");
    assert_eq!(served(&crowd(&mom, 10, 1).await), 0);
}

#[tokio::test]
async fn a_refusal_says_until_when_and_is_booked() {
    let upstream = Upstream::always(vec![tokens(4)]).await;
    let folder = tempfile::tempdir().unwrap();
    let mom = start(&upstream, "{ usd = 5, per = \"month\" }", folder.path()).await;
    assert_eq!(ask(mom.public, "team", 4).await.status(), 200);
    assert_eq!(settled(&mom).await, 4.0);
    let no = ask(mom.public, "team", 2).await;
    assert_eq!((no.status(), no.code().as_str()), (429, "budget_exceeded"));
    assert_eq!(no.json()["error"]["type"], "insufficient_quota");
    assert_eq!(no.header("x-should-retry"), Some("false"));
    assert!(no.header("x-mom-reason").unwrap().ends_with(",budget_exceeded"), "{:?}", no.head);
    let wait: u64 = no.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=31 * 86_400).contains(&wait), "{wait}");
    // Who bounds nothing is taken at the assumption, 1000 tokens.
    let unbound = json!({"model": "main", "messages": [{"role": "user", "content": "hi"}]});
    assert_eq!(ask_at(mom.public, "/v1/chat/completions", "team", unbound.clone()).await.status(), 429);
    // Other keys are not concerned.
    assert_eq!(ask_at(mom.public, "/v1/chat/completions", "other", unbound).await.status(), 200);
    assert_eq!(metric(&mom, "mom_budget_over_total").await, 2.0);
    assert_eq!(metric(&mom, "mom_budget_limit_usd").await, 5.0);
    mom.shutdown().await;
    // A restart forgets nothing.
    let mom = start(&upstream, "{ usd = 5, per = \"month\" }", folder.path()).await;
    assert_eq!(settled(&mom).await, 4.0);
    assert_eq!(ask(mom.public, "team", 2).await.status(), 429);
    assert_eq!(ask(mom.public, "team", 1).await.status(), 200);
    mom.shutdown().await;
    let rows = export(folder.path());
    let refused: Vec<&Value> = rows.iter().filter(|row| row["status"] == 429).collect();
    assert_eq!(refused.len(), 3);
    for row in refused {
        assert_eq!((&row["end"], &row["key"], &row["backend"]), (&"refused".into(), &"team".into(), &"".into()));
        assert!(row["reasons"].as_str().unwrap().ends_with("budget_exceeded") && row["cost_usd"].is_null(), "{row}");
    }
}

fn export(folder: &Path) -> Vec<Value> {
    let (path, out) = (folder.join("ledger.db"), folder.join("all.jsonl"));
    let done = mom(&["ledger", "--path", path.to_str().unwrap(), "--export", out.to_str().unwrap()], "");
    assert!(done.status.success(), "{done:?}");
    std::fs::read_to_string(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn money_in_flight_may_come_back_soon() {
    let gate = std::sync::Arc::new(tokio::sync::Notify::new());
    let upstream = Upstream::always(vec![Step::Gate(gate.clone()), tokens(1)]).await;
    let folder = tempfile::tempdir().unwrap();
    let mom = start(&upstream, "{ usd = 5, per = \"month\" }", folder.path()).await;
    let public = mom.public;
    let first = JoinSet::from_iter([async move { ask(public, "team", 4).await.status() }]);
    upstream.arrived(1).await;
    assert_eq!(metric(&mom, "mom_budget_reserved_usd").await, 4.0);
    let no = ask(mom.public, "team", 2).await;
    assert_eq!((no.status(), no.header("retry-after"), no.header("x-should-retry")), (429, Some("1"), None));
    gate.notify_one();
    assert_eq!(first.join_all().await, [200]);
    assert_eq!(settled(&mom).await, 1.0);
    gate.notify_one();
    assert_eq!(ask(mom.public, "team", 2).await.status(), 200);
}

#[tokio::test]
async fn whatever_ends_a_request_nothing_stays_reserved() {
    let said = chunk(format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n", "word ".repeat(4)));
    let wrong = answer("400 Bad Request", &[("content-type", "application/json")], b"{\"error\":{\"message\":\"no\"}}");
    let html = answer("500 Oops", &[("content-type", "text/html")], b"<p>no</p>");
    let upstream = Upstream::sequence(vec![
        vec![Step::Send(wrong)],
        vec![Step::Send(html)],
        vec![Step::Reset],
        vec![sse_head(), said.clone(), Step::Reset],
        // From here on the client leaves.
        vec![Step::Stall],
        vec![sse_head(), said, Step::Stall],
    ])
    .await;
    let folder = tempfile::tempdir().unwrap();
    let mom = start(&upstream, "{ usd = 1000, per = \"month\" }", folder.path()).await;
    let mut streamed = chat(100);
    streamed["stream"] = true.into();
    let path = "/v1/chat/completions";
    // It never gets as far as the budget.
    assert_eq!(ask_at(mom.public, path, "team", json!({"model": "nobody", "messages": []})).await.status(), 400);
    for status in [400, 502, 502] {
        assert_eq!(ask(mom.public, "team", 100).await.status(), status);
        assert_eq!(settled(&mom).await, 0.0, "no answer, no cost");
    }
    let cut = ask_at(mom.public, path, "team", streamed.clone()).await;
    assert!(!cut.complete);
    let once = settled(&mom).await;
    assert!((4.0..20.0).contains(&once), "what was said is paid for: {once}");
    for (body, reads) in [(chat(100), false), (streamed, true)] {
        let seen = upstream.seen().len();
        let mut client = Client::connect(mom.public).await;
        client.send("POST", path, &[("authorization", "Bearer key-of-team")], body.to_string().as_bytes()).await;
        upstream.arrived(seen + 1).await;
        assert_eq!(metric(&mom, "mom_budget_reserved_usd").await, 100.0);
        if reads {
            let mut reply = client.reply().await;
            reply.until(b"\n\n").await;
            drop(reply);
        } else {
            drop(client);
        }
        settled(&mom).await;
    }
    // The one who left before a byte came owes nothing that anybody could count.
    assert_eq!(settled(&mom).await, 2.0 * once);
}

#[tokio::test]
async fn beyond_the_soft_limit_answers_are_marked() {
    let upstream = Upstream::always(vec![tokens(6)]).await;
    let folder = tempfile::tempdir().unwrap();
    let mom = start(&upstream, "{ usd = 10, soft_usd = 5, per = \"month\" }", folder.path()).await;
    let first = ask(mom.public, "team", 6).await;
    assert_eq!((first.status(), first.header("x-mom-budget")), (200, None));
    assert_eq!(settled(&mom).await, 6.0);
    let second = ask(mom.public, "team", 3).await;
    assert_eq!((second.status(), second.header("x-mom-budget")), (200, Some("soft; spent=0.60")));
    assert!(second.header("x-mom-reason").unwrap().ends_with(",over_soft_budget"));
    assert_eq!(metric(&mom, "mom_budget_over_total").await, 1.0);
}

#[tokio::test]
async fn every_endpoint_and_every_answer_counts() {
    let upstream = Upstream::always(vec![tokens(1)]).await;
    let folder = tempfile::tempdir().unwrap();
    let free = backend("free", upstream.addr, "");
    let read = backend("embed", upstream.addr, "price = { input = 1_000_000, output = 1_000_000 }");
    let backends = format!("{}{free}{read}", backend("main", upstream.addr, PRICE));
    let mom = Mom::start(&config(&backends, "{ usd = 10, per = \"month\" }", folder.path())).await;
    let ask = async |path: &str, body: Value| ask_at(mom.public, path, "team", body).await.status();
    let mut several = chat(4);
    several["n"] = 3.into();
    assert_eq!(ask("/v1/chat/completions", several).await, 429, "three answers of four");
    let prompts = json!({"model": "main", "prompt": ["a", "b", "c"], "max_tokens": 4});
    assert_eq!(ask("/v1/completions", prompts).await, 429, "three prompts of four");
    assert_eq!(ask("/v1/completions", json!({"model": "main", "prompt": "a", "max_tokens": 4})).await, 200);
    assert_eq!(settled(&mom).await, 1.0);
    // An embedding is read and not written.
    assert_eq!(ask("/v1/embeddings", json!({"model": "embed", "input": "hi"})).await, 200);
    assert_eq!(ask("/v1/embeddings", json!({"model": "embed", "input": "word ".repeat(20)})).await, 429);
    assert_eq!(settled(&mom).await, 3.0);
    // What costs nothing is never refused.
    assert_eq!(ask("/v1/chat/completions", chat(7)).await, 200);
    let mut gratis = chat(1_000_000);
    gratis["model"] = "free".into();
    assert_eq!(ask("/v1/chat/completions", gratis).await, 200);
}

#[tokio::test]
async fn the_dearest_that_may_be_called_is_assumed() {
    let upstream = Upstream::always(vec![tokens(1)]).await;
    let folder = tempfile::tempdir().unwrap();
    let dear = backend("dear", upstream.addr, "price = { input = 0, output = 5_000_000 }");
    let backends = format!("{}{dear}", backend("main", upstream.addr, PRICE));
    let toml = config(&backends, "{ usd = 10, per = \"month\" }", folder.path());
    let mom =
        Mom::start(&toml.replace("candidates = [\"main\"]", "candidates = [\"main\"]\nfallback = [\"dear\"]")).await;
    let routed = |most: u64| {
        let mut body = chat(most);
        body["model"] = "auto".into();
        ask_at(mom.public, "/v1/chat/completions", "team", body)
    };
    assert_eq!(routed(3).await.status(), 429, "it might fall back");
    assert_eq!(routed(2).await.status(), 200);
    assert_eq!(ask(mom.public, "team", 3).await.status(), 200, "by name there is no fallback");
}
