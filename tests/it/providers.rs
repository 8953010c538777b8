//! Execution providers that are wanted: used, or fallen back from where everyone can see it.

use std::process::Command;

use serde_json::json;

use crate::client::{get, request};
use crate::gateway::{Mom, SERVER, backend, route};
use crate::upstream::Upstream;

#[tokio::test]
async fn a_wanted_provider_runs_or_the_operator_sees_why_not() {
    let main = backend("main", Upstream::nowhere().await, "");
    let roles = ["brain", "jailbreak", "pii", "similarity"]
        .map(|role| format!("[minds.{role}]\nexecution_providers = [\"cuda\", \"cpu\"]\n"))
        .concat();
    let mom = Mom::start(&format!("{SERVER}{roles}{main}{}", route("all", "\"main\""))).await;
    let ready = get(mom.admin, "/readyz").await;
    assert_eq!(ready.status(), 200, "{}", ready.text());
    let metrics = get(mom.admin, "/metrics").await;
    let check = Command::new(env!("CARGO_BIN_EXE_mom")).args(["check", "--config", mom.config_path()]).output();
    let check = check.unwrap();
    let notes = String::from_utf8(check.stderr).unwrap();
    assert!(check.status.success(), "{notes}");
    for mind in ["mom-brain-flash", "mom-jailbreak-flash", "mom-pii-flash", "mom-similarity-flash"] {
        let state = ready.json()["minds"][mind].clone();
        let sample = |name: &str, provider: &str| {
            metrics.text().contains(&format!("{name}{{mind=\"{mind}\",provider=\"{provider}\"}} 1\n"))
        };
        let used = state["execution_provider"].as_str().unwrap();
        assert!(sample("mom_minds_provider", used), "{}", metrics.text());
        let note = format!("note: {mind} will run on cpu, not on cuda: ");
        assert_eq!(notes.contains(&note), used == "cpu", "{notes}");
        if used == "cuda" {
            assert!(state["fell_back_from"].is_null(), "{state}");
        } else {
            let refused = &state["fell_back_from"][0];
            assert_eq!((used, &refused["execution_provider"]), ("cpu", &json!("cuda")), "{state}");
            assert!(refused["error"].as_str().is_some_and(|why| !why.is_empty()), "{state}");
            assert!(sample("mom_minds_provider_fallback_total", "cuda"), "{}", metrics.text());
        }
    }
    let line = json!({"id": 1, "text": "What is the derivative of x squared?"}).to_string();
    let answer = request(mom.public, "POST", "/v1/classify", &[], line).await;
    assert_eq!(answer.json()["mom-brain-flash"]["label"], "math", "{}", answer.text());
}
