//! Decoder minds in the path of a request, on the small base that `make test` prepares.

use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::cli::{Served, lines};
use crate::client::{chat, post};
use crate::gateway::{Mom, SERVER, backend, route};
use crate::upstream::{Upstream, hello};

/// The shipped flash minds beside the decoders of these tests.
fn models() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let link = |from: &str, name: &str| {
        symlink(Path::new(from).join(name).canonicalize().unwrap(), folder.path().join(name)).unwrap();
    };
    for name in ["flash-trunk", "mom-brain-flash", "mom-jailbreak-flash", "mom-pii-flash", "mom-similarity-flash"] {
        link("models/onnx", name);
    }
    for name in ["mom-brain-pro", "mom-expert-math-flash"] {
        link("tests/data/decoders", name);
    }
    folder
}

/// Questions of mathematics that an expert finds difficult go to `premium`.
fn config(models: &Path, cheap: &Upstream, premium: &Upstream, minds: &str) -> String {
    let deep = "[[routes]]\nname = \"deep\"\nwhen = { difficulty = { min = 0.02 } }\ncandidates = [\"premium\"]\n";
    format!(
        "models_dir = \"{}\"\n{SERVER}{minds}{}{}{deep}{}",
        models.display(),
        backend("cheap", cheap.addr, ""),
        backend("premium", premium.addr, ""),
        route("rest", "\"cheap\"")
    )
}

fn user(text: &str) -> String {
    json!({"model": "auto", "messages": [{"role": "user", "content": text}]}).to_string()
}

const MATH: &str = "Prove that the square root of two is irrational.";

#[tokio::test]
async fn an_expert_is_asked_about_its_field_and_its_word_counts() {
    let (models, cheap, premium) =
        (models(), Upstream::always(vec![hello()]).await, Upstream::always(vec![hello()]).await);
    let minds = "[minds.expert-math]\nwhen = { category = \"math\" }\n[minds.brain-pro]\nwhen = { confidence = { max = 0.01 } }\n";
    let mom = Mom::start(&config(models.path(), &cheap, &premium, minds)).await;
    let trace: Value = serde_json::from_str(post(mom.public, "/v1/route", user(MATH)).await.text()).unwrap();
    let verdict = &trace["verdicts"]["mom-expert-math-flash"];
    assert!(verdict["difficulty"].as_f64().is_some() && verdict["label"].is_string(), "{trace}");
    assert!(trace["verdicts"].get("mom-brain-pro").is_none(), "flash was sure: {trace}");
    assert!(trace["timings_us"]["consult"].as_u64().unwrap() > 0, "{trace}");
    assert_eq!(trace["route"]["name"], "deep", "{trace}");
    assert_eq!(trace["reasons"][0], "decoder_asked");
    let response = chat(mom.public, user(MATH)).await;
    assert_eq!((response.status(), response.header("x-mom-backend")), (200, Some("premium")));
    // Small talk is none of its business.
    let trace = post(mom.public, "/v1/route", user("Good morning! How are you today?")).await.text().to_owned();
    assert!(!trace.contains("mom-expert-math-flash") && trace.contains("\"rest\""), "{trace}");
    mom.shutdown().await;
}

#[tokio::test]
async fn a_reason_is_in_the_trace_or_follows_in_the_log() {
    let (models, cheap, premium) =
        (models(), Upstream::always(vec![hello()]).await, Upstream::always(vec![hello()]).await);
    let minds = |explain: &str| {
        format!("[minds.expert-math]\n[minds.brain-pro]\ndeadline = \"60s\"\nexplain = \"{explain}\"\n")
    };
    let mom = Mom::start(&config(models.path(), &cheap, &premium, &minds("inline"))).await;
    let trace: Value = serde_json::from_str(post(mom.public, "/v1/route", user(MATH)).await.text()).unwrap();
    let verdict = &trace["verdicts"]["mom-brain-pro"];
    assert!(MATH.contains(verdict["cause"].as_str().unwrap()), "{trace}");
    assert!(verdict["reason"].as_str().unwrap().len() > 10, "{trace}");
    let line = post(mom.public, "/v1/classify", json!({"id": 1, "text": MATH}).to_string()).await.text().to_owned();
    assert!(line.contains("\"reason\":\""), "{line}");
    mom.shutdown().await;
    let mom = Served::with(&config(models.path(), &cheap, &premium, &minds("log"))).await;
    let trace = post(mom.public, "/v1/route", user(MATH)).await.text().to_owned();
    assert!(trace.contains("mom-brain-pro") && !trace.contains("\"reason\":\""), "{trace}");
    let response = chat(mom.public, user("Prove that there is no largest prime number.")).await;
    let id = response.header("x-mom-request-id").unwrap();
    for _ in 0..1500 {
        let said = lines(&mom.log).into_iter().find(|line| line["request_id"] == id && line["message"] == "reason");
        if let Some(line) = said {
            assert_eq!(line["mind"], "mom-brain-pro");
            assert!("Prove that there is no largest prime number.".contains(line["cause"].as_str().unwrap()), "{line}");
            assert!(line["reason"].as_str().unwrap().len() > 10, "{line}");
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("no reason for {id} in {:?}", lines(&mom.log));
}

#[tokio::test]
async fn without_the_decoders_word_the_flash_decision_stands_and_the_trace_says_so() {
    let (models, cheap, premium) =
        (models(), Upstream::always(vec![hello()]).await, Upstream::always(vec![hello()]).await);
    let minds = "[minds.expert-math]\ndeadline = \"1ms\"\n";
    let mom = Mom::start(&config(models.path(), &cheap, &premium, minds)).await;
    let trace: Value = serde_json::from_str(post(mom.public, "/v1/route", user(MATH)).await.text()).unwrap();
    assert_eq!(trace["verdicts"]["mom-expert-math-flash"], json!({"unavailable": "deadline"}));
    assert_eq!(trace["choice"]["backend"], "cheap");
    assert_eq!(trace["reasons"][0], "decoder_unavailable");
    let response = chat(mom.public, user("Prove that there is no largest prime number.")).await;
    assert_eq!((response.status(), response.header("x-mom-backend")), (200, Some("cheap")));
    assert_eq!(response.header("x-mom-unavailable"), Some("mom-expert-math-flash=deadline"));
    mom.shutdown().await;
}

#[test]
fn a_decoder_whose_base_is_not_there_fails_the_check_with_the_command_to_run() {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    let rest = format!("[backends.main]\nbase_url = \"http://127.0.0.1:1/v1\"\n{}", route("all", "\"main\""));
    std::fs::write(file.path(), format!("[minds.brain-pro]\n{rest}")).unwrap();
    let mom = |command: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_mom"))
            .args(command)
            .arg("--config")
            .arg(file.path())
            .env("MOM_BASES_DIR", "/nonexistent")
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let (code, text) = mom(&["check"]);
    let told = "mom-brain-pro needs the base qwen2.5-coder-0.5b, which is not in /nonexistent: run `make models`";
    assert!(code == Some(78) && text.contains(told), "{text}");
    let (code, text) = mom(&["models", "verify"]);
    assert!(code == Some(1) && text.contains(told), "{text}");
    // Nobody asked for the expert: it is an offer, not a fault.
    assert!(text.lines().any(|line| line.starts_with("-      mom-expert-math-flash")), "{text}");
}

/// What docs/experts.md walks through, on the small base.
#[test]
fn an_expert_is_a_data_file_a_command_and_a_folder() {
    let python = Path::new(".runtime/venv/bin/python");
    assert!(python.exists(), "{} is made by `make test` (tests/models/run.sh)", python.display());
    let place = tempfile::tempdir().unwrap();
    let trained = Command::new(python)
        .args(["training/decoder/train.py", "mom-expert-law-flash", "--data", "training/data/example_law.jsonl"])
        .args(["--base", "smollm2-135m", "--out"])
        .arg(place.path())
        .arg("--features")
        .arg(place.path().join("features"))
        .output()
        .unwrap();
    assert!(trained.status.success(), "{}", String::from_utf8_lossy(&trained.stderr));
    let off =
        ["brain", "jailbreak", "pii", "similarity"].map(|role| format!("[minds.{role}]\nenabled = false\n")).concat();
    let rest = "[guard]\njailbreak = { action = \"off\" }\npii = { action = \"off\" }\n[minds.expert-law]\n\
                [backends.main]\nbase_url = \"http://127.0.0.1:1/v1\"\n";
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    let models = format!("models_dir = \"{}\"\n", place.path().display());
    std::fs::write(file.path(), format!("{models}{off}{rest}{}", route("all", "\"main\""))).unwrap();
    let checked =
        Command::new(env!("CARGO_BIN_EXE_mom")).arg("check").arg("--config").arg(file.path()).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let mut classify = Command::new(env!("CARGO_BIN_EXE_mom"))
        .arg("classify")
        .arg("--config")
        .arg(file.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let question = "{\"id\": 1, \"text\": \"The contractor stopped work halfway. Can I keep my last payment?\"}\n";
    classify.stdin.take().unwrap().write_all(question.as_bytes()).unwrap();
    let said = classify.wait_with_output().unwrap().stdout;
    let said: Value = serde_json::from_slice(&said).unwrap();
    let verdict = &said["mom-expert-law-flash"];
    assert_eq!(verdict["label"], "contract", "{said}");
    assert!((0.0..=1.0).contains(&verdict["difficulty"].as_f64().unwrap()), "{said}");
}
