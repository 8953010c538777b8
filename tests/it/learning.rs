//! A route that learns: as configured until it is proven that what was learnt pays.

use std::path::Path;

use serde_json::{Value, json};

use crate::client::{chat, post};
use crate::gateway::{Mom, NO_MINDS, SERVER, backend};
use crate::upstream::{Upstream, hello};

/// The cheap one is preferred; a good answer is worth far more than what the dear one costs.
fn config(upstream: &Upstream, folder: &Path, learn: &str) -> String {
    let cheap = backend("cheap", upstream.addr, "price = { input = 1.0, output = 1.0 }");
    let dear = backend("dear", upstream.addr, "price = { input = 2.0, output = 2.0 }");
    format!(
        "{SERVER}{NO_MINDS}{cheap}{dear}[ledger]\npath = \"{}\"\n[[routes]]\nname = \"all\"\n\
         candidates = [\"cheap\", \"dear\"]\npolicy = {{ worth_usd = 0.1 }}\n{learn}",
        folder.join("ledger.db").display()
    )
}

fn question(at: usize) -> String {
    json!({"model": "auto", "messages": [{"role": "user", "content": format!("question {at}")}]}).to_string()
}

/// Who answered, and why; scored 1 where the dear one did, else 0.
async fn ask_and_score(gateway: &Mom, at: usize) -> (String, String) {
    let answer = chat(gateway.public, question(at)).await;
    let header = |name: &str| answer.header(name).unwrap().to_owned();
    let (backend, reasons) = (header("x-mom-backend"), header("x-mom-reason"));
    let score = if backend == "dear" { 1.0 } else { 0.0 };
    let said = json!({"request_id": header("x-mom-request-id"), "score": score}).to_string();
    assert_eq!(post(gateway.public, "/v1/feedback", said).await.status(), 200);
    (backend, reasons)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_explores_learns_proves_it_and_only_then_acts() {
    let upstream = Upstream::always(vec![hello()]).await;
    let folder = tempfile::tempdir().unwrap();
    let learns = "learn = { explore = 0.2, every = \"300ms\" }\n";
    let gateway = Mom::start(&config(&upstream, folder.path(), learns)).await;
    let mut by_lot = 0;
    for at in 0..200 {
        let (backend, reasons) = ask_and_score(&gateway, at).await;
        let explored = reasons.contains("explored");
        assert!(backend == "cheap" || explored, "nothing is proven by 200 requests, {at}: {reasons}");
        by_lot += usize::from(explored);
    }
    assert!((15..70).contains(&by_lot), "{by_lot} of 200, a fifth is asked for");
    let mut acts = false;
    for at in 200..4000 {
        let (_, reasons) = ask_and_score(&gateway, at).await;
        acts = reasons.contains("learned");
        if acts {
            break;
        }
    }
    assert!(acts, "it never acted");
    // Read only: nothing is left to the lot, and the trace says what feedback has made of the prediction.
    let trace = post(gateway.public, "/v1/route", question(7)).await.json();
    assert_eq!(trace["choice"]["backend"], "dear");
    assert!((trace["choice"]["propensity"].as_f64().unwrap() - 0.9).abs() < 1e-9, "{trace}");
    let learned = |at: usize| trace["candidates"][at]["learned_quality"].as_f64().unwrap();
    assert!(learned(1) > 0.8 && learned(0) < 0.2, "{trace}");
    assert!(trace["sentence"].as_str().unwrap().ends_with("feedback says that it is worth more."), "{trace}");
    gateway.shutdown().await;
    let ledger = rusqlite::Connection::open(folder.path().join("ledger.db")).unwrap();
    let one = |sql: &str| ledger.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    let state: Value = serde_json::from_str(&one("SELECT json FROM states WHERE name = 'learn/all'")).unwrap();
    assert_eq!(state["standing"]["acts"], true);
    let propensities = one("SELECT group_concat(DISTINCT round(propensity, 6)) FROM requests");
    let mut propensities: Vec<&str> = propensities.split(',').collect();
    propensities.sort_unstable();
    assert_eq!(propensities, ["0.1", "0.9"]);
    let path = folder.path().join("ledger.db");
    let told = |more: &[&str]| {
        let output = crate::cli::mom(&[&["ledger", "--learning", "--path", path.to_str().unwrap()], more].concat(), "");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(told(&[]).contains("route all acts on what it has learnt"), "{}", told(&[]));
    let told: Value = serde_json::from_str(&told(&["--json"])).unwrap();
    assert_eq!(told["routes"]["all"], state["standing"]);
    assert!(told["feedback"]["client"]["n"].as_u64().unwrap() > 200, "{told}");
    // It survives a restart, but not another configuration.
    let again = Mom::start(&config(&upstream, folder.path(), learns)).await;
    assert_eq!(post(again.public, "/v1/route", question(7)).await.json()["choice"]["backend"], "dear");
    again.shutdown().await;
    let other = Mom::start(&config(&upstream, folder.path(), "learn = { explore = 0.1 }\n")).await;
    assert_eq!(post(other.public, "/v1/route", question(7)).await.json()["choice"]["backend"], "cheap");
    other.shutdown().await;
    let off = Mom::start(&config(&upstream, folder.path(), "")).await;
    let trace = post(off.public, "/v1/route", question(7)).await.json();
    assert_eq!((&trace["choice"]["backend"], &trace["choice"]["propensity"]), (&json!("cheap"), &json!(1.0)));
}

#[tokio::test]
async fn a_route_that_cannot_learn_is_refused_with_what_is_missing() {
    let upstream = Upstream::nowhere().await;
    let faults = |route: &str, ledger: &str| {
        let one = backend("one", upstream, "");
        let two = backend("two", upstream, "");
        let toml = format!("{one}{two}{ledger}[[routes]]\nname = \"all\"\n{route}");
        let file = crate::cli::config(&toml);
        let output = crate::cli::mom(&["check", "--config", file.path().to_str().unwrap()], "");
        assert_eq!(output.status.code(), Some(78), "{output:?}");
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    };
    let (ledger, two) = ("[ledger]\npath = \"l.db\"\n", "candidates = [\"one\", \"two\"]\n");
    let worth = "policy = { worth_usd = 0.01 }\n";
    for (route, ledger, says) in [
        (format!("{two}learn = {{}}\n"), ledger, "add worth_usd to its policy"),
        (format!("{two}{worth}learn = {{}}\n"), "", "add [ledger], with features"),
        (format!("{two}{worth}learn = {{ explore = 0.5 }}\n"), ledger, "must be between 0 and 0.2, found 0.5"),
        (format!("candidates = [\"one\"]\n{worth}learn = {{}}\n"), ledger, "there is one candidate"),
        (format!("{two}{worth}learn = {{ exlore = 0.1 }}\n"), ledger, "explore"),
        (format!("{two}policy = {{ worth_usd = 0 }}\n"), ledger, "more than 0"),
    ] {
        let said = faults(&route, ledger);
        assert!(said.contains(says), "{said} does not say {says}");
    }
}
