//! `mom bench minds` as a script runs it. What it measures is the machine's affair; that it
//! measures what it says is tested.

use serde_json::{Value, json};

use crate::cli::{config, mom, stderr};
use crate::gateway::{NO_MINDS, SERVER, route};

fn with(minds: &str) -> tempfile::NamedTempFile {
    let backend = "[backends.main]\nbase_url = \"http://127.0.0.1:1/v1\"\n";
    config(&format!("{SERVER}{minds}{backend}{}", route("all", "\"main\"")))
}

#[test]
fn every_row_has_what_it_says_and_its_ratio() {
    let two = "[minds.brain]\nenabled = false\n[minds.similarity]\nenabled = false\n";
    let file = with(two);
    let quick =
        ["bench", "minds", "--json", "--seconds", "1", "--without-long", "--config", file.path().to_str().unwrap()];
    let output = mom(&[&quick[..], &["--provider", "cuda"]].concat(), "");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    // A library for the CPU only falls back, and says so.
    let told = (&report["provider_wanted"], &report["provider"], &report["fell_back"]);
    assert!(told == (&json!("cuda"), &json!("cpu"), &json!(true)) || told.1 == "cuda", "{told:?}");
    assert_eq!((&report["verdicts"], report["minds"].as_array().unwrap().len()), (&json!(2), 2));
    let rows = report["rows"].as_array().unwrap();
    let row = |key: &str| rows.iter().find(|row| row["key"] == key).unwrap_or_else(|| panic!("no {key}: {report}"));
    for (key, tokens) in [
        ("short_p50_ms", 32.0),
        ("short_p99_ms", 32.0),
        ("medium_p50_ms", 512.0),
        ("distinct_per_second", 32.0),
        ("repeated_per_second", 32.0),
    ] {
        let row = row(key);
        assert_eq!((row["tokens"].as_f64(), &row["incomplete"]), (Some(tokens), &json!(0)), "{row}");
        assert!(row["value"].as_f64().unwrap() > 0.0 && row["gain"].is_number(), "{row}");
        // What repeated requests have to reach, they have to reach over HTTP.
        assert_eq!(row["met"].is_boolean(), key != "repeated_per_second", "{row}");
    }
    // One pass for both minds against one for each.
    assert!(row("short_p50_ms")["gain"].as_f64().unwrap() > 1.0, "{report}");
    assert!(row("resident_mb")["value"].as_f64().unwrap() > 30.0 && row("resident_mb")["naive"].is_number());
    assert!(rows.iter().all(|row| row["key"] != "long_p50_ms"), "left out as asked");
}

#[test]
fn minds_that_are_off_are_not_measured() {
    let file = with(NO_MINDS);
    let output = mom(&["bench", "minds", "--config", file.path().to_str().unwrap()], "");
    assert_eq!(output.status.code(), Some(78));
    assert!(stderr(&output).contains("every mind off") && output.stdout.is_empty(), "{}", stderr(&output));
}
