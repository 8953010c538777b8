//! `mom eval` where it asks decoder minds: it needs their base, which `make models` builds in a
//! cache outside the checkout.

use mom::config::Folders;
use serde_json::{Value, json};

use crate::cli::{config, mom, stderr};

/// Whether the decoders that ship can run; says so where not.
fn bases_are_there(test: &str) -> bool {
    let base = Folders::default().bases_dir.join("qwen2.5-coder-0.5b/decide.onnx");
    let there = base.is_file();
    if !there {
        println!("{test} did not run: there is no {}; `make models` builds it", base.display());
    }
    there
}

const QUESTIONS: &str = r#"{"id":1,"text":"What is 7 + 5?","domain":"arithmetic","outcomes":{"Meta-Llama-3.1-8B-Instruct":1,"Llama-3.1-70B-Instruct":1}}
{"id":"b","prompt":"Prove that there are infinitely many primes congruent to 3 modulo 4.","domain":"proof","level":5}
{"id":3,"text":"Find the eigenvalues of [[2, 1], [1, 2]].","domain":"matrices","outcomes":{"llama-3.1-8b-instruct":0,"llama-3.1-70b-instruct":1}}
{"id":4,"text":"Nothing is known of this one."}
{"id":5,"text":"An impossible outcome","outcomes":{"llama-3.1-8b-instruct":7}}
{"id":6}
"#;

#[test]
fn the_math_expert_is_measured_beside_flash_and_length() {
    if !bases_are_there("the_math_expert_is_measured_beside_flash_and_length") {
        return;
    }
    let rows = config(QUESTIONS);
    let scores = tempfile::NamedTempFile::new().unwrap();
    let [data, out] = [&rows, &scores].map(|file| file.path().to_str().unwrap());
    let models = ["--weak", "Meta-Llama-3.1-8B-Instruct", "--strong", "llama-3.1-70b-instruct"];
    let output = mom(&[&["eval", "math", "--data", data, "--scores", out][..], &models].concat(), "");
    assert_eq!(output.status.code(), Some(1), "one row is bad: {}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["task"], &report["mind"]), (&json!("math"), &json!("mom-expert-math-flash")));
    assert_eq!((&report["n"], &report["dropped"], &report["bad_rows"]), (&json!(3), &json!(2), &json!(1)), "{report}");
    assert_eq!(report["domain"]["n"], 2, "a part of the field that the mind does not know is not measured: {report}");
    let routing = &report["routing"];
    assert_eq!((&routing["n"], &routing["weak_accuracy"]), (&json!(2), &json!(0.5)), "{report}");
    assert!(routing["cost_at_flash_rate"]["expert"]["cost"].is_f64() && report.get("note").is_none(), "{report}");
    let scores = std::fs::read_to_string(out).unwrap();
    let scores: Vec<Value> = scores.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(scores.iter().map(|row| &row["id"]).collect::<Vec<_>>(), [&json!(1), &json!("b"), &json!(3)]);
    let chance = |model: &str| scores[0]["p_solve"][model].as_f64().unwrap();
    let need = chance("llama-3.1-70b-instruct") - chance("llama-3.1-8b-instruct");
    assert!((scores[0]["score"].as_f64().unwrap() - need).abs() < 1e-9, "{scores:?}");
    assert!(scores[1]["difficulty"].as_f64() > scores[0]["difficulty"].as_f64(), "{scores:?}");
}

#[test]
fn a_decoder_is_measured_against_the_mind_beside_it() {
    if !bases_are_there("a_decoder_is_measured_against_the_mind_beside_it") {
        return;
    }
    let rows = config(
        "{\"text\":\"What is the boiling point of ethanol?\",\"label\":\"chemistry\",\"complexity\":\"simple\"}\n\
         {\"text\":\"Is a verbal contract binding?\",\"label\":\"law\"}\n",
    );
    let output = mom(&["eval", "intent", "--mind", "mom-brain-pro", "--data", rows.path().to_str().unwrap()], "");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["mind"], &report["n"]), (&json!("mom-brain-pro"), &json!(2)), "{report}");
    let gain = &report["gain_over"];
    assert_eq!(gain["mind"], "mom-brain-flash", "{report}");
    assert!(gain["accuracy"].is_f64() && gain["complexity_accuracy"].is_f64(), "{report}");
}

#[test]
fn who_cannot_be_measured_is_told_before_anything_is_read() {
    let data = ["--data", "tests/data/easy_hard.jsonl"];
    let refused = |arguments: &[&str], told: &str| {
        let output = mom(&[arguments, &data].concat(), "");
        let text = stderr(&output);
        assert!(!output.status.success() && text.contains(told), "{arguments:?}: {text}");
    };
    refused(&["eval", "math", "--weak", "gpt-9", "--strong", "llama-3.1-70b-instruct"], "no model called gpt-9");
    refused(&["eval", "math", "--weak", "llama-3.1-8b-instruct"], "--strong");
    refused(&["eval", "intent", "--mind", "mom-pii-flash"], "made for the task pii");
    refused(&["eval", "math", "--mind", "mom-nobody-flash"], "mom-nobody-flash");
}

/// Two models of which nobody foresees anything; the dear one always knows.
fn known_outcomes() -> tempfile::NamedTempFile {
    let row = |at: usize| {
        let prompt = format!("What is {at} + {at}?");
        json!({"id": at, "prompt": prompt, "outcomes": {"small": usize::from(at.is_multiple_of(4)), "large": 1},
               "cost_usd": {"small": 0.001, "large": 0.01}})
    };
    config(&(0..40).map(|at| format!("{}\n", row(at))).collect::<String>())
}

#[test]
fn what_learning_would_have_come_to_is_told() {
    let rows = known_outcomes();
    let data = rows.path().to_str().unwrap();
    let stream = ["--models", "small,large", "--worth-usd", "0.1", "--seeds", "3", "--requests", "600"];
    let asked = [&["eval", "learning", "--data", data][..], &stream, &["--worse", "large@0.1"]].concat();
    let output = mom(&asked, "");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&report["task"], &report["prompts"], &report["passes"]),
        (&json!("learning"), &json!(40), &json!(15.0))
    );
    assert_eq!((&report["known_models"], &report["fixed"][1]["value"]), (&json!([]), &json!(0.9)), "{report}");
    let regret = |key: &str, part: usize| report[key][part]["mean"].as_f64().unwrap();
    assert!(regret("regret_per_request", 4) < regret("regret_per_request", 0) / 2.0, "{report}");
    assert!(regret("untaught_regret_per_request", 4) > 0.5, "{report}");
    assert_eq!(report["recovered_after"].as_array().unwrap().len(), 3, "{report}");
    assert_eq!(String::from_utf8(mom(&asked, "").stdout).unwrap(), String::from_utf8(output.stdout).unwrap());
}

#[test]
fn a_simulation_that_lacks_something_says_what() {
    let rows = known_outcomes();
    let data = rows.path().to_str().unwrap();
    let refused = |arguments: &[&str], told: &str| {
        let output = mom(&[&["eval", "learning", "--data", data, "--worth-usd", "0.1"][..], arguments].concat(), "");
        let text = stderr(&output);
        assert!(!output.status.success() && text.contains(told), "{arguments:?}: {text}");
    };
    refused(&["--models", "small"], "name two models");
    refused(&["--models", "small,huge"], "--price huge=IN,OUT");
    refused(&["--models", "small,huge", "--price", "huge=1,2"], "none of 40 prompts");
    refused(&["--models", "small,large", "--worse", "huge@0.5"], "huge is none of the models");
    refused(&["--models", "small,large", "--worse", "large"], "large@0.5");
    refused(&["--models", "small,large", "--price", "large=x"], "expected NAME=IN,OUT");
    refused(&["--models", "small,large", "--explore", "0.5"], "from 0 to 0.2");
    refused(&["--models", "small,large", "--base", "small"], "--gate");
}
