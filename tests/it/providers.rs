//! Execution providers that are wanted: used, or fallen back from where everyone can see it.

use serde_json::json;

use crate::client::{get, request};
use crate::gateway::{Mom, SERVER, backend, route};
use crate::upstream::Upstream;

/// The four minds, wanted on a card first.
fn on_a_card() -> String {
    let roles = ["brain", "jailbreak", "pii", "similarity"];
    roles.map(|role| format!("[minds.{role}]\nexecution_providers = [\"cuda\", \"cpu\"]\n")).concat()
}

#[tokio::test]
async fn the_check_tells_which_provider_would_run() {
    let main = backend("main", Upstream::nowhere().await, "");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{}{main}{}", on_a_card(), route("all", "\"main\""))).unwrap();
    let mut check = std::process::Command::new(env!("CARGO_BIN_EXE_mom"));
    let output = check.args(["check", "--config", file.path().to_str().unwrap()]).output().unwrap();
    let notes = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{notes}");
    let refused = notes.contains("note: mom-jailbreak-flash will run on cpu, not on cuda: ");
    assert_eq!(refused, notes.contains("note: "), "{notes}");
}

#[tokio::test]
async fn a_wanted_provider_runs_or_the_operator_sees_why_not() {
    let main = backend("main", Upstream::nowhere().await, "");
    let roles = on_a_card();
    let mom = Mom::start(&format!("{SERVER}{roles}{main}{}", route("all", "\"main\""))).await;
    let ready = get(mom.admin, "/readyz").await;
    assert_eq!(ready.status(), 200, "{}", ready.text());
    let metrics = get(mom.admin, "/metrics").await;
    for mind in ["mom-brain-flash", "mom-jailbreak-flash", "mom-pii-flash", "mom-similarity-flash"] {
        let state = ready.json()["minds"][mind].clone();
        let sample = |name: &str, provider: &str| {
            metrics.text().contains(&format!("{name}{{mind=\"{mind}\",provider=\"{provider}\"}} 1\n"))
        };
        let used = state["execution_provider"].as_str().unwrap();
        assert!(sample("mom_minds_provider", used), "{}", metrics.text());
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
