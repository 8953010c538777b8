//! `mom calibrate` as a user runs it: the binary, the real minds, benign requests from a file.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::cli::{config, mom, stderr};
use crate::gateway::{SERVER, route};

/// 200 harmless questions.
const BENIGN: &str = "tests/data/easy_hard.jsonl";

fn thresholds(benign: &str, arguments: &[&str]) -> (Option<i32>, Value) {
    let output = mom(&[&["calibrate", "thresholds", "--json", "--benign", benign], arguments].concat(), "");
    let answer = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(&output)));
    (output.status.code(), answer)
}

fn file(lines: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".jsonl").tempfile().unwrap();
    file.write_all(lines.as_bytes()).unwrap();
    file
}

/// A configuration with these `[minds]` sections.
fn with_minds(sections: &str) -> tempfile::NamedTempFile {
    let backend = "[backends.main]\nbase_url = \"http://127.0.0.1:1/v1\"\n";
    config(&format!("{SERVER}{sections}\n{backend}{}", route("all", "\"main\"")))
}

#[test]
fn the_lines_to_paste_keep_the_budget() {
    // Nearly every request scores above this one.
    let low = with_minds("[minds.jailbreak]\nthreshold = 0.0001");
    let (code, answer) = thresholds(BENIGN, &["--budget", "2%", "--config", low.path().to_str().unwrap()]);
    assert_eq!((code, &answer["n"], &answer["mind"]), (Some(0), &json!(200), &json!("mom-jailbreak-flash")));
    assert!(answer["present"]["flagged"].as_u64().unwrap() > 100 && answer["change"] == "raise", "{answer}");
    let advised = &answer["advised"];
    assert!(advised["flagged"].as_u64().unwrap() <= 4 && advised["ci95"][1].as_f64().unwrap() > 0.02, "{answer}");

    let pasted = with_minds(answer["config"].as_str().unwrap());
    let lines = std::fs::read_to_string(BENIGN).unwrap();
    let path = pasted.path().to_str().unwrap();
    let output = mom(&["classify", "--mind", "mom-jailbreak-flash", "--config", path], &lines);
    let answers = String::from_utf8(output.stdout).unwrap();
    assert_eq!(answers.lines().count(), 200, "{answers}");
    let flagged = answers.lines().filter(|line| line.contains(r#""label":"jailbreak""#)).count();
    assert_eq!(json!(flagged), advised["flagged"]);
}

#[test]
fn the_second_question_has_a_threshold_of_its_own() {
    let low = with_minds("[minds.jailbreak]\nharm_threshold = 0.0001");
    let (code, answer) = thresholds(BENIGN, &["--budget", "2%", "--harm", "--config", low.path().to_str().unwrap()]);
    assert_eq!((code, &answer["key"], &answer["n"]), (Some(0), &json!("harm_threshold"), &json!(200)), "{answer}");
    assert!(answer["present"]["flagged"].as_u64().unwrap() > 100 && answer["change"] == "raise", "{answer}");
    let pasted = answer["config"].as_str().unwrap();
    assert!(pasted.starts_with("[minds.jailbreak]\nharm_threshold = "), "{pasted}");
    let pasted = with_minds(pasted);
    let (_, again) = thresholds(BENIGN, &["--budget", "2%", "--harm", "--config", pasted.path().to_str().unwrap()]);
    let kept = ["threshold", "flagged"].map(|key| (again["present"][key].clone(), answer["advised"][key].clone()));
    assert!(kept.iter().all(|(now, then)| now == then) && again["change"] == "keep", "{again}");
}

#[test]
fn what_does_not_count_is_told() {
    let lines = format!(
        "{}\n{}\n{}\nno json\n{}\n",
        json!({"id": "a", "text": "Where can I buy a bicycle?"}),
        json!({"id": "b", "text": "Where can I buy a bicycle?"}),
        json!({"messages": [{"role": "user", "content": "And how do I repair one?"}]}),
        json!({"id": "c", "text": "我想知道今天的天气怎么样以及明天会不会下雨"}),
    );
    let plain = file(&lines);
    let path = plain.path().to_str().unwrap();
    let (code, answer) = thresholds(path, &["--budget", "0.5%"]);
    let counts = ["n", "repeated", "bad_rows", "n_needed"].map(|key| answer[key].as_f64());
    assert_eq!((code, counts), (Some(1), [Some(2.0), Some(1.0), Some(1.0), Some(736.0)]));
    assert_eq!((&answer["change"], &answer["unavailable"]), (&json!("keep"), &json!({"unreadable_language": 1})));
    let highest = answer["highest"].as_array().unwrap();
    assert!(highest.iter().any(|one| one["id"] == "a") && highest.iter().all(|one| one.get("text").is_none()));
    assert!(highest.iter().any(|one| one["id"] == json!(format!("{path}:3"))), "an id of its own: {answer}");

    let zipped = tempfile::Builder::new().suffix(".jsonl.gz").tempfile().unwrap();
    let mut encoder = GzEncoder::new(zipped.as_file(), Compression::fast());
    encoder.write_all(lines.as_bytes()).unwrap();
    encoder.finish().unwrap();
    let (_, again) = thresholds(zipped.path().to_str().unwrap(), &["--budget", "0.5%", "--show"]);
    assert_eq!((&again["present"], &again["n"]), (&answer["present"], &answer["n"]));
    assert!(again["highest"][0]["text"].is_string(), "{again}");
}

#[test]
fn personal_data_counts_by_its_surest_span() {
    let lines = format!(
        "{}\n{}\n",
        json!({"id": 1, "text": "Please write to jane.doe@example.com about it."}),
        json!({"id": 2, "text": "What is the boiling point of water?"}),
    );
    let benign = file(&lines);
    let path = benign.path().to_str().unwrap();
    let (code, answer) = thresholds(path, &["--budget", "50%", "--mind", "mom-pii-flash"]);
    assert_eq!((code, &answer["role"], &answer["present"]["flagged"]), (Some(0), &json!("pii"), &json!(1)), "{answer}");
    let highest: Vec<(i64, f64)> = answer["highest"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["id"].as_i64().unwrap(), one["score"].as_f64().unwrap()))
        .collect();
    assert!(highest[0].0 == 1 && highest[0].1 >= 0.9 && highest[1].1 < highest[0].1, "{highest:?}");
    let (_, strict) = thresholds(path, &["--budget", "1%", "--mind", "mom-pii-flash"]);
    assert!(strict["change"] == "raise" && strict["advised"]["flagged"] == 0, "{strict}");
    let again = &strict["judged_again"];
    assert_eq!((&again["present"]["flagged"], &again["present"]["labels"]), (&json!(1), &json!({"EMAIL_ADDRESS": 1})));
    assert_eq!((&again["advised"]["flagged"], &again["advised"]["labels"]), (&json!(0), &json!({})), "{strict}");
    assert!(!again["silenced"].as_array().unwrap().is_empty(), "{strict}");
}

#[test]
fn mistakes_are_told_in_one_line() {
    let empty = file("\n");
    for (arguments, code, word) in [
        (vec!["--benign", empty.path().to_str().unwrap(), "--budget", "1%"], 1, empty.path().to_str().unwrap()),
        (vec!["--benign", "nowhere.jsonl", "--budget", "1%"], 1, "nowhere.jsonl"),
        (vec!["--benign", BENIGN, "--budget", "0%"], 2, "above 0%"),
        (vec!["--benign", BENIGN, "--budget", "0.005"], 2, "percentage"),
        (vec!["--benign", BENIGN, "--budget", "1%", "--mind", "mom-brain-flash"], 1, "no guard"),
        (vec!["--benign", BENIGN, "--budget", "1%", "--mind", "mom-pii-flash", "--harm"], 1, "harmful"),
        (vec!["--benign", BENIGN, "--budget", "1%", "--mind", "mom-nothing-flash"], 78, "mom-nothing-flash"),
    ] {
        let output = mom(&[&["calibrate", "thresholds"], &arguments[..]].concat(), "");
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(word) && output.stdout.is_empty(), "{arguments:?}: {said}");
    }
}
