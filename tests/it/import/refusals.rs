//! What cannot be imported: the reason, exit code 1, and a models folder as it was.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{Place, data, text};

/// A copy of an export, to be spoilt.
struct Export(tempfile::TempDir);

impl Export {
    fn of(folder: &str) -> Self {
        let copy = tempfile::tempdir().unwrap();
        let mut folders = vec![(data(folder), copy.path().to_owned())];
        while let Some((from, to)) = folders.pop() {
            fs::create_dir_all(&to).unwrap();
            for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()) {
                let to = to.join(entry.file_name().unwrap());
                match entry.is_dir() {
                    true => folders.push((entry, to)),
                    false => drop(fs::copy(entry, to).unwrap()),
                }
            }
        }
        Self(copy)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn without(self, file: &str) -> Self {
        fs::remove_file(self.path().join(file)).unwrap();
        self
    }

    fn with(self, file: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.path().join(file), content).unwrap();
        self
    }

    fn edited(self, file: &str, edit: impl FnOnce(&mut Value)) -> Self {
        let mut content = serde_json::from_slice(&fs::read(self.path().join(file)).unwrap()).unwrap();
        edit(&mut content);
        self.with(file, content.to_string())
    }

    /// Gives a name inside a graph another one of the same length.
    fn renamed(self, graph: &str, from: &str, to: &str) -> Self {
        assert_eq!(from.len(), to.len());
        let mut bytes = fs::read(self.path().join(graph)).unwrap();
        let places: Vec<usize> =
            (0..bytes.len() - from.len()).filter(|&at| bytes[at..].starts_with(from.as_bytes())).collect();
        assert!(!places.is_empty(), "{from} in {graph}");
        for at in places {
            bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        }
        self.with(graph, bytes)
    }

    /// The reason why it is refused under `name`.
    fn refusal(&self, name: &str, options: &[&str]) -> String {
        let place = Place::new();
        let output = place.import(self.path(), name, options);
        let reason = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{reason}{}", text(&output.stdout));
        assert_eq!(place.entries(), [""; 0], "left behind after: {reason}");
        reason
    }

    fn refused(&self, name: &str, options: &[&str], reasons: &[&str]) {
        let reason = self.refusal(name, options);
        assert!(reason.starts_with("mom: nothing imported: ") && reason.lines().count() == 1, "{reason}");
        for expected in reasons {
            assert!(reason.contains(expected), "no `{expected}` in: {reason}");
        }
    }
}

fn texts() -> Export {
    Export::of("modernbert-sequence")
}

fn tokens() -> Export {
    Export::of("modernbert-token")
}

const BRAIN: &str = "mom-brain-modern-flash";
const PII: &str = "mom-pii-modern-flash";

#[test]
fn a_missing_file_is_named() {
    texts().without("config.json").refused(BRAIN, &[], &["config.json", "missing"]);
    texts().without("tokenizer.json").refused(BRAIN, &[], &["tokenizer.json", "missing"]);
    tokens().without("model.onnx").refused(PII, &[], &["no .onnx file"]);
    texts().refused(BRAIN, &["--graph", "other.onnx"], &["other.onnx"]);
    Export::of("modernbert-embedding").without("model.onnx_data").refused(
        "mom-similarity-modern-flash",
        &[],
        &["model.onnx", "model.onnx_data"],
    );
    let graph = fs::read(data("modernbert-token/model.onnx")).unwrap();
    let two = tokens().without("model.onnx").with("a.onnx", &graph).with("b.onnx", &graph);
    two.refused(PII, &[], &["--graph", "a.onnx, b.onnx"]);
}

#[test]
fn labels_that_would_misname_an_answer_are_refused() {
    let mapping = "category_mapping.json";
    let with = |labels: Value| texts().with(mapping, json!({"category_to_idx": labels}).to_string());
    with(json!({"a": 0, "b": 1, "c": 2, "d": 3, "e": 4})).refused(BRAIN, &[], &[mapping, "5 labels", "with 6"]);
    let gap = json!({"a": 0, "b": 1, "c": 2, "d": 3, "e": 4, "f": 6});
    with(gap).refused(BRAIN, &[], &[mapping, "not contiguous", "index 5"]);
    texts().with(mapping, "{").refused(BRAIN, &[], &[mapping, "JSON"]);
    let two = texts().with("jailbreak_mapping.json", r#"{"label_to_id": {"benign": 0, "jailbreak": 1}}"#);
    two.refused("mom-tone-flash", &[], &["category_mapping.json", "jailbreak_mapping.json", "--task"]);
    let unnamed = |export: Export| {
        export.edited("config.json", |config| {
            config.as_object_mut().unwrap().retain(|key, _| !key.contains("label"));
        })
    };
    unnamed(texts().without(mapping)).refused(BRAIN, &[], &["nothing names its labels"]);
    let unclear = Export::of("bert-sequence").edited("config.json", |config| {
        config["id2label"] = json!({"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"});
        config["label2id"] = json!({"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2});
    });
    unclear.refused("mom-jailbreak-bert-flash", &[], &["benign", "LABEL_0", "jailbreak_mapping.json"]);
    let inside = tokens().edited("pii_type_mapping.json", |mapping| {
        *mapping = json!({"label_to_idx": {"A": 0, "B": 1, "C": 2, "D": 3, "E": 4, "F": 5, "G": 6}});
    });
    inside.refused(PII, &[], &["pii_type_mapping.json", "`O`"]);
}

#[test]
fn a_model_of_another_kind_is_refused() {
    texts().refused(PII, &["--task", "pii"], &["token classifier"]);
    texts().refused(PII, &[], &["pii", "intent", "--task"]);
    tokens().refused(BRAIN, &["--task", "intent"], &["each token"]);
    let moods = json!({"label_to_id": {"sad": 0, "glad": 1, "calm": 2, "cross": 3, "tired": 4, "keen": 5}});
    let moods = texts().without("category_mapping.json").with("label_mapping.json", moods.to_string());
    moods.refused("mom-tone-flash", &[], &["--task"]);
    let config = |edit: fn(&mut Value)| texts().edited("config.json", edit);
    config(|config| config["model_type"] = json!("qwen3")).refused(BRAIN, &[], &["config.json", "decoder"]);
    config(|config| config["architectures"] = json!(["ModernBertForMaskedLM"])).refused(BRAIN, &[], &["ForMaskedLM"]);
}

#[test]
fn a_graph_that_cannot_run_is_refused() {
    let graph = "onnx/model.onnx";
    let bytes = fs::read(data("modernbert-sequence").join(graph)).unwrap();
    texts().with(graph, &bytes[..bytes.len() / 2]).refused(BRAIN, &[], &[graph]);
    texts().with(graph, "no graph").refused(BRAIN, &[], &[graph]);
    texts().renamed(graph, "attention_mask", "token_type_ids").refused(BRAIN, &[], &["no input `attention_mask`"]);
    texts().renamed(graph, "attention_mask", "attention_bias").refused(BRAIN, &[], &["input `attention_bias`"]);
    texts().renamed(graph, "input_ids", "inputs_id").refused(BRAIN, &[], &["input `inputs_id`"]);
    texts().refused(BRAIN, &["--max-tokens", "257"], &["--max-tokens", "256 positions"]);
    let lies = Export::of("bert-sequence").edited("config.json", |c| c["max_position_embeddings"] = json!(4096));
    lies.refused("mom-jailbreak-bert-flash", &[], &["self-test", "512 tokens", "--max-tokens"]);
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let frameless = texts().edited("tokenizer.json", |tokenizer| tokenizer["post_processor"] = Value::Null);
    frameless.refused(BRAIN, &[], &["tokenizer.json", "[CLS]"]);
    let more = |tokenizer: &mut Value| tokenizer["model"]["vocab"]["zzzz"] = json!(320);
    texts().edited("tokenizer.json", more).refused(BRAIN, &[], &["up to 320", "320 tokens"]);
    let unsaid =
        texts().edited("tokenizer.json", more).edited("config.json", |config| config["vocab_size"] = Value::Null);
    unsaid.refused(BRAIN, &[], &["self-test", "token 320"]);
    texts().with("tokenizer.json", "{}").refused(BRAIN, &[], &["tokenizer.json"]);
    texts().refused(BRAIN, &["--scripts", "Klingon"], &["--scripts", "Klingon"]);
    texts().refused("my-brain", &[], &["my-brain", "mom-CATEGORY-SIZE"]);
    tokens().refused(PII, &["--threshold", "1.5"], &["--threshold"]);
}
