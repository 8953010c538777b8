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
    refused(&["eval", "intent", "--mind", "mom-pii-flash"], "made for the task pii");
}
