use std::fs;

use serde_json::{Value, json};

use super::*;

fn sample() -> Value {
    json!({
        "name": "mom-jailbreak-flash", "kind": "encoder", "task": "jailbreak", "labels": ["benign", "jailbreak"],
        "graph": {"file": "../trunk/model.onnx", "outputs": {"jailbreak": "jailbreak_logits"}},
        "tokenizer": {"file": "tokenizer.json"}, "max_tokens": 256, "overlap_tokens": 64,
        "thresholds": {"jailbreak": 0.9}, "scripts": ["Latin"], "max_unknown_share": 0.3,
        "files": {
            "../trunk/model.onnx": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "tokenizer.json": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        },
        "metrics": {"anything": [1]}, "training": {"goes": true},
    })
}

fn opened(change: impl FnOnce(&mut Value)) -> (tempfile::TempDir, Result<Folder, ManifestError>) {
    let models = tempfile::tempdir().unwrap();
    let folder = models.path().join("mom-jailbreak-flash");
    fs::create_dir_all(&folder).unwrap();
    fs::create_dir_all(models.path().join("trunk")).unwrap();
    fs::write(models.path().join("trunk/model.onnx"), "abc").unwrap();
    fs::write(folder.join("tokenizer.json"), "abc").unwrap();
    let mut manifest = sample();
    change(&mut manifest);
    fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
    let opened = Folder::open(models.path(), "mom-jailbreak-flash");
    (models, opened)
}

fn fault(change: impl FnOnce(&mut Value)) -> String {
    opened(change).1.unwrap_err().to_string()
}

#[test]
fn a_sound_folder_verifies() {
    let (models, folder) = opened(|_| {});
    let folder = folder.unwrap();
    assert_eq!(folder.graph(), models.path().join("trunk/model.onnx"));
    folder.verify(&mut BTreeMap::new()).unwrap();
}

#[test]
fn a_changed_file_is_refused_by_name() {
    let (models, folder) = opened(|_| {});
    fs::write(models.path().join("trunk/model.onnx"), "abd").unwrap();
    let error = folder.unwrap().verify(&mut BTreeMap::new()).unwrap_err().to_string();
    assert!(error.contains("trunk/model.onnx") && error.contains("sha256"), "{error}");
}

#[test]
fn contradictions_are_named() {
    assert!(fault(|m| m["labels"] = json!(["benign"])).contains("labels"));
    assert!(fault(|m| m["graph"]["outputs"] = json!({})).contains("graph.outputs"));
    assert!(fault(|m| m["thresholds"] = json!({})).contains("thresholds"));
    assert!(fault(|m| m["thresholds"]["jailbreak"] = json!(1.5)).contains("thresholds.jailbreak"));
    assert!(fault(|m| m["roc"] = json!([[0.5, 0.9, 0.01], [0.6, 1.2, 0.0]])).contains("roc"));
    assert!(fault(|m| m["temperature"] = json!({"jailbreak": 0})).contains("temperature"));
    assert!(fault(|m| m["overlap_tokens"] = json!(200)).contains("overlap_tokens"));
    assert!(fault(|m| m["name"] = json!("mom-pii-flash")).contains("mom-pii-flash"));
    assert!(fault(|m| m["surprise"] = json!(1)).contains("surprise"));
    assert!(fault(|m| m["tokenizer"]["file"] = json!("other.json")).contains("other.json"));
}

#[test]
fn no_path_leads_outside() {
    for path in ["../../etc/passwd", "/etc/passwd", "../trunk/../../x"] {
        let error = fault(|m| m["files"][path] = json!("00"));
        assert!(error.contains("outside"), "{error}");
    }
}
