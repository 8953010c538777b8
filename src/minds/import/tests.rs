//! Real exports against what PyTorch answered, and what is chosen among outputs.

use serde_json::Value;

use super::{graph, trial};
use crate::minds::Task;
use crate::minds::disguise::Disguises;
use crate::minds::engine::{Options, Output, Runtime, Session};
use crate::minds::readable::Readable;
use crate::minds::reading::Reader;
use crate::minds::tokenizer::Tokenizer;
use crate::minds::{Input, Part};

use super::labels::Labels;
use super::trial::Shape;

const DATA: &str = "tests/data";

fn reader(folder: &str) -> Reader {
    let tokenizer = Tokenizer::load(format!("{DATA}/{folder}/tokenizer.json").as_ref()).unwrap();
    let readable = Readable::new(&["Any".to_owned()], 0.3).unwrap();
    let disguises = Disguises::new().unwrap();
    Reader { tokenizer, readable, disguises, max_tokens: 256, overlap: 64, patterns: None }
}

fn numbers(value: &Value, into: &mut Vec<f32>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| numbers(value, into)),
        other => into.push(other.as_f64().unwrap() as f32),
    }
}

/// Largest differences between the graph's values and the recorded ones, alone and batched.
fn apart(folder: &str, graph: &str, output: &str) -> f32 {
    let path = format!("{DATA}/{folder}/recorded.json");
    let recorded: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let reader = reader(folder);
    let later = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    let read = |text: &str| {
        let part = Part::alone(text);
        let reading = reader.read(&Input { parts: vec![part], not_text: false }, later).unwrap();
        reader.framed(&reading.streams[0].tokens)
    };
    let options = Options::one_core(vec![output.to_owned()]);
    let graph = format!("{DATA}/{folder}/{graph}");
    let mut session = Session::open(&Runtime::load().unwrap(), graph.as_ref(), &options).unwrap();
    let batch: Vec<Vec<i64>> = recorded.iter().map(|row| read(row["text"].as_str().unwrap())).collect();
    let together = session.run(&batch, i64::from(reader.tokenizer.padding)).unwrap();
    let mut worst = 0.0_f32;
    for ((row, ids), beside) in recorded.iter().zip(&batch).zip(together) {
        assert_eq!(serde_json::to_value(ids).unwrap(), row["ids"], "{folder}: {}", row["text"]);
        let mut expected = Vec::new();
        numbers(&row[output], &mut expected);
        let alone = session.run(std::slice::from_ref(ids), 0).unwrap().remove(0);
        for found in [&alone[0], &beside[0]] {
            assert_eq!(found.len(), expected.len());
            worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(worst, f32::max);
        }
    }
    worst
}

#[test]
fn graphs_answer_as_pytorch_did() {
    for (folder, graph, output) in [
        ("modernbert-sequence", "onnx/model.onnx", "logits"),
        ("modernbert-token", "model.onnx", "logits"),
        ("mmbert-token", "model.onnx", "logits"),
        ("bert-sequence", "model.onnx", "logits"),
        ("modernbert-embedding", "model.onnx", "last_hidden_state"),
    ] {
        let apart = apart(folder, graph, output);
        assert!(apart < 1e-3, "{folder}: {apart}");
    }
    let half = apart("modernbert-sequence", "onnx/model_fp16.onnx", "logits");
    assert!(half > 0.0 && half < 0.05, "16 bits: {half}");
}

#[test]
fn the_padded_pass_holds_short_texts_beside_a_full_window() {
    for (folder, output, shape) in [
        ("bert-sequence", "logits", Shape { width: 3, per_token: false }),
        ("modernbert-token", "logits", Shape { width: 7, per_token: true }),
    ] {
        let options = Options::one_core(vec![output.to_owned()]);
        let graph = format!("{DATA}/{folder}/model.onnx");
        let mut session = Session::open(&Runtime::load().unwrap(), graph.as_ref(), &options).unwrap();
        let reader = Reader { max_tokens: 64, overlap: 16, ..reader(folder) };
        let trial = trial::run(&mut session, &reader, shape).unwrap();
        // The empty text is its two special tokens.
        assert_eq!(trial.padded, (2, 64), "{folder}");
        assert!(trial.batch_invariant(), "{folder}: {trial:?}");
    }
}

fn output(name: &str, bits: Option<u8>, shape: &[i64]) -> Output {
    Output { name: name.to_owned(), bits, shape: shape.to_vec() }
}

#[test]
fn an_output_is_chosen_by_name_and_checked() {
    let logits = || output("logits", Some(32), &[-1, 14]);
    let hidden = || output("last_hidden_state", Some(16), &[-1, -1, 768]);
    let chosen = |outputs: &[Output], embeds| graph::output(outputs, embeds).map(|output| output.name);
    assert_eq!(chosen(&[hidden(), logits()], false).unwrap(), "logits");
    assert_eq!(chosen(&[hidden(), logits()], true).unwrap(), "last_hidden_state");
    assert!(chosen(&[logits()], true).unwrap_err().contains("classifies"));
    assert_eq!(chosen(&[output("output_0", Some(32), &[-1, 2])], false).unwrap(), "output_0");
    let fault = |outputs: &[Output]| chosen(outputs, false).unwrap_err();
    assert!(fault(&[output("a", Some(32), &[1, 2]), output("b", Some(32), &[1, 2])]).contains("`a`, `b`"));
    assert!(fault(&[output("logits", None, &[])]).contains("floats"));
    assert!(fault(&[output("logits", Some(32), &[-1, 2, 3, 4])]).contains("4 dimensions"));
}

#[test]
fn the_task_comes_from_name_files_and_graph() {
    let labels = |task, names: &[&str]| {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        Labels { names, file: "mapping.json".into(), task }
    };
    let (whole, tokens) = (Shape { width: 2, per_token: false }, Shape { width: 2, per_token: true });
    let logits = output("logits", Some(32), &[-1, 2]);
    let of = |named, labels: &Labels, shape| graph::task(None, named, Some(labels), &logits, shape);
    let moods = labels(None, &["sad", "glad"]);
    assert_eq!(of(Some(Task::Intent), &moods, whole), Ok(Task::Intent));
    assert_eq!(of(None, &labels(Some(Task::Intent), &["sad", "glad"]), whole), Ok(Task::Intent));
    assert_eq!(of(None, &labels(None, &["BENIGN", "INJECTION"]), whole), Ok(Task::Jailbreak));
    assert_eq!(of(None, &moods, tokens), Ok(Task::Pii));
    assert!(of(None, &moods, whole).unwrap_err().contains("--task"));
    assert!(of(Some(Task::Pii), &moods, whole).unwrap_err().contains("token classifier"));
    assert!(of(Some(Task::Intent), &moods, tokens).unwrap_err().contains("each token"));
    let guard = labels(Some(Task::Jailbreak), &["benign", "jailbreak"]);
    assert!(of(Some(Task::Intent), &guard, whole).unwrap_err().contains("the mapping file jailbreak"));
    assert_eq!(graph::task(Some(Task::Intent), Some(Task::Intent), Some(&guard), &logits, whole), Ok(Task::Intent));
    let hidden = output("last_hidden_state", Some(32), &[-1, -1, 2]);
    assert_eq!(graph::task(None, None, None, &hidden, tokens), Ok(Task::Similarity));
}
