//! Which backend a request goes to, and that every way to ask gives the same answer.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::client::{chat, post, request};
use crate::gateway::{Mom, NO_MINDS, SERVER, ask, backend, route};
use crate::upstream::{Upstream, hello};

/// The shipped configuration, its two demo backends replaced by scripted ones.
async fn shipped() -> (Upstream, Upstream, Mom) {
    let cheap = Upstream::always(vec![hello()]).await;
    let premium = Upstream::always(vec![hello()]).await;
    let toml = std::fs::read_to_string("config.toml").unwrap();
    // The one in this folder is the user's.
    let ledger = "[ledger]\npath = \"ledger.db\"\n";
    assert!(toml.contains(ledger), "config.toml keeps a ledger");
    let toml = toml.replace(ledger, "");
    for address in ["127.0.0.1:8090", "127.0.0.1:8091"] {
        assert!(toml.contains(address), "config.toml names the demo backend on {address}");
    }
    let toml = toml
        .replace("127.0.0.1:8090", &cheap.addr.to_string())
        .replace("127.0.0.1:8091", &premium.addr.to_string())
        .replace("127.0.0.1:8080", "127.0.0.1:0")
        .replace("127.0.0.1:8081", "127.0.0.1:0");
    let mom = Mom::start(&toml).await;
    (cheap, premium, mom)
}

fn user(text: &str) -> String {
    json!({"model": "auto", "messages": [{"role": "user", "content": text}]}).to_string()
}

const SIMPLE: [&str; 3] =
    ["What is the capital of France?", "Translate 'good morning' to Spanish.", "How many days are in a week?"];
const HARD: [&str; 3] = [
    "Prove that every bounded monotone sequence of real numbers converges, using only the completeness axiom.",
    "Derive the Euler-Lagrange equations for a field with a non-Abelian gauge symmetry and explain every step.",
    "Prove that there are infinitely many primes congruent to 3 modulo 4, and say why the same proof fails for 1.",
];

#[tokio::test]
async fn simple_questions_go_to_cheap_and_hard_ones_to_premium() {
    let (cheap, premium, mom) = shipped().await;
    for (questions, wanted) in [(SIMPLE, "cheap"), (HARD, "premium")] {
        for question in questions {
            let response = chat(mom.public, user(question)).await;
            assert_eq!(response.status(), 200, "{}", response.text());
            let reason = response.header("x-mom-reason").unwrap_or_default().to_owned();
            assert_eq!(response.header("x-mom-backend"), Some(wanted), "{question}: {reason}");
            assert!(response.header("x-mom-category").is_some(), "{question}");
        }
    }
    assert_eq!((cheap.seen().len(), premium.seen().len()), (3, 3));
}

#[tokio::test]
async fn a_trace_names_everything_and_calls_nobody() {
    let (cheap, premium, mom) = shipped().await;
    let response = post(mom.public, "/v1/route", user(HARD[0])).await;
    assert_eq!(response.status(), 200, "{}", response.text());
    let trace = response.json();
    let keys = [
        "request_id",
        "config_hash",
        "policy_version",
        "judged",
        "verdicts",
        "route",
        "candidates",
        "choice",
        "reasons",
        "sentence",
        "timings_us",
    ];
    for key in keys {
        assert!(trace.get(key).is_some_and(|value| !value.is_null()), "{key} in {trace}");
    }
    for mind in ["mom-brain-flash", "mom-jailbreak-flash", "mom-pii-flash", "mom-similarity-flash"] {
        assert!(trace["verdicts"][mind].is_object(), "{mind} in {}", trace["verdicts"]);
    }
    for key in ["message", "part", "tokens", "windows"] {
        assert!(trace["judged"][0][key].is_u64(), "{key} in {}", trace["judged"]);
    }
    for candidate in trace["candidates"].as_array().unwrap() {
        for key in ["backend", "predicted_quality", "predicted_cost_usd", "eligible", "why"] {
            assert!(candidate.get(key).is_some(), "{key} in {candidate}");
        }
    }
    assert_eq!(trace["choice"]["propensity"], 1.0);
    assert!(trace["choice"]["backend"].is_string() && trace["choice"]["model"].is_string());
    assert!(trace["route"]["name"].is_string() && trace["route"]["clause"].is_string());
    assert!(trace["sentence"].as_str().unwrap().ends_with('.'));
    assert!(!response.text().contains("monotone"), "no message text in a trace");
    assert!(cheap.seen().is_empty() && premium.seen().is_empty());
}

#[tokio::test]
async fn the_command_line_gives_the_gateways_answer() {
    let (_cheap, _premium, mom) = shipped().await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_mom"));
    command.args(["route", "--config", mom.config_path()]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for question in SIMPLE.iter().chain(&HARD) {
        writeln!(stdin, "{}", user(question)).unwrap();
    }
    drop(stdin);
    let output = tokio::task::spawn_blocking(|| child.wait_with_output()).await.unwrap().unwrap();
    assert!(output.status.success());
    let lines: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 6);
    for (question, mut told) in SIMPLE.iter().chain(&HARD).zip(lines) {
        let mut answered = post(mom.public, "/v1/route", user(question)).await.json();
        for trace in [&mut told, &mut answered] {
            // What differs from run to run.
            trace["request_id"] = Value::Null;
            trace["timings_us"] = Value::Null;
        }
        round(&mut told);
        round(&mut answered);
        assert_eq!(told, answered, "{question}");
    }
}

/// Scores may differ in the last bits with the batch they were computed in.
fn round(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(float) = number.as_f64() {
                *value = json!((float * 1e3).round() / 1e3);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(round),
        Value::Object(entries) => entries.values_mut().for_each(round),
        _ => {}
    }
}

#[tokio::test]
async fn personal_data_goes_only_to_the_local_backend() {
    let local = Upstream::always(vec![hello()]).await;
    let cloud = Upstream::always(vec![hello()]).await;
    let backends = backend("local", local.addr, "price = { input = 5, output = 5 }")
        + &backend("cloud", cloud.addr, "price = { input = 1, output = 1 }");
    let routes =
        "[[routes]]\nname = \"private\"\nwhen = { pii = [\"EMAIL_ADDRESS\", \"US_SSN\"] }\ncandidates = [\"local\"]\n"
            .to_owned()
            + &route("rest", "\"local\", \"cloud\"");
    let mom = Mom::start(&format!("{SERVER}{backends}{routes}")).await;
    let private = chat(mom.public, user("My email is jane.doe@example.com, please sign me up.")).await;
    assert_eq!(private.header("x-mom-route"), Some("private"));
    assert_eq!(private.header("x-mom-backend"), Some("local"));
    let public = chat(mom.public, user("What is the capital of France?")).await;
    assert_eq!(public.header("x-mom-backend"), Some("cloud"), "the cheaper one");
    assert_eq!((local.seen().len(), cloud.seen().len()), (1, 1));
}

#[tokio::test]
async fn meaning_matches_exemplars() {
    let upstream = Upstream::always(vec![hello()]).await;
    let backends = backend("desk", upstream.addr, "") + &backend("rest", upstream.addr, "");
    let exemplar = "[exemplars.refund]\nthreshold = 0.5\ntexts = [\"I want my money back\", \"How do I get a refund for my order?\"]\n";
    let routes = "[[routes]]\nname = \"refunds\"\nwhen = { similar_to = \"refund\" }\ncandidates = [\"desk\"]\n"
        .to_owned()
        + &route("rest", "\"rest\"");
    let mom = Mom::start(&format!("{SERVER}{exemplar}{backends}{routes}")).await;
    let refund = chat(mom.public, user("Can I get my money back for the order I placed?")).await;
    assert_eq!(refund.header("x-mom-backend"), Some("desk"));
    let other = chat(mom.public, user("What is the boiling point of water?")).await;
    assert_eq!(other.header("x-mom-backend"), Some("rest"));
}

#[tokio::test]
async fn headers_tools_and_models_choose_routes() {
    let upstream = Upstream::always(vec![hello()]).await;
    let names = ["gold", "tooled", "aliased", "rest"];
    let backends: String = names.map(|name| backend(name, upstream.addr, "")).concat();
    let routes = r#"
[[routes]]
name = "gold"
when = { headers = { X-Tier = ["gold", "platinum"] } }
candidates = ["gold"]
[[routes]]
name = "tools"
when = { tools = true }
candidates = ["tooled"]
[[routes]]
name = "alias"
when = { model = "gpt-4o" }
candidates = ["aliased"]
[[routes]]
name = "rest"
candidates = ["rest"]
[virtual_models]
auto = "all"
"gpt-4o" = ["alias"]
"#;
    let mom = Mom::start(&format!("{SERVER}{NO_MINDS}{backends}{routes}")).await;
    let path = "/v1/chat/completions";
    let gold = request(mom.public, "POST", path, &[("x-tier", "platinum")], ask("auto")).await;
    assert_eq!(gold.header("x-mom-backend"), Some("gold"));
    let silver = request(mom.public, "POST", path, &[("x-tier", "silver")], ask("auto")).await;
    assert_eq!(silver.header("x-mom-backend"), Some("rest"));
    let tools = json!({"model": "auto", "messages": [{"role": "user", "content": "hi"}], "tools": [
        {"type": "function", "function": {"name": "f", "parameters": {}}}
    ]});
    assert_eq!(chat(mom.public, tools.to_string()).await.header("x-mom-backend"), Some("tooled"));
    assert_eq!(chat(mom.public, ask("gpt-4o")).await.header("x-mom-backend"), Some("aliased"));
    assert_eq!(chat(mom.public, ask("tooled")).await.header("x-mom-backend"), Some("tooled"), "by its own name");
}

#[tokio::test]
async fn a_request_too_long_for_every_candidate_is_said_to_be() {
    let upstream = Upstream::always(vec![hello()]).await;
    let small = backend("small", upstream.addr, "context_window = 50");
    let mom = Mom::start(&format!("{SERVER}{NO_MINDS}{small}{}", route("all", "\"small\""))).await;
    let response = chat(mom.public, user(&"word ".repeat(400))).await;
    assert_eq!((response.status(), response.code().as_str()), (400, "context_length_exceeded"));
    assert!(upstream.seen().is_empty());
}
