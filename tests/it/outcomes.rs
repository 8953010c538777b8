//! From outcomes to a mind that foresees them, to the floor that saves: `mom calibrate train`, `mom calibrate knob`,
//! `mom eval routing`, with the real flash minds.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::cli::{mom, stderr};

/// Prompts of two kinds: the small model can spell, and cannot do sums that are long.
fn prompts() -> Vec<Value> {
    let words = ["lantern", "copper", "meadow", "ridge", "harbour", "violet", "walnut", "ember", "saddle", "quartz"];
    (0..240)
        .map(|index| {
            let (word, n) = (words[index % 10], index / 2);
            let (prompt, small) = if index % 2 == 0 {
                (format!("How do you spell the word {word}, and what does it mean? ({n})"), 1.0)
            } else {
                let sum: Vec<String> = (0..(n % 12) + 2).map(|at| (at * 17 + n).to_string()).collect();
                (format!("Work out {} without a calculator.", sum.join(" + ")), f64::from(n % 12 < 2))
            };
            json!({"id": index, "prompt": prompt, "outcomes": {"small": small, "Vendor/Large": 1.0},
                   "output_tokens": {"small": 20, "large": 80}, "group": if index % 2 == 0 { "words" } else { "sums" }})
        })
        .collect()
}

/// A models folder of its own with the flash minds in it, rows, and a configuration.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let models = folder.path().join("models");
        std::fs::create_dir(&models).unwrap();
        for mind in ["flash-trunk", "mom-brain-flash", "mom-similarity-flash", "mom-jailbreak-flash", "mom-pii-flash"] {
            symlink(Path::new("models/onnx").join(mind).canonicalize().unwrap(), models.join(mind)).unwrap();
        }
        let place = Self { folder };
        place.write("rows.jsonl", &prompts());
        std::fs::write(place.path("plain.toml"), place.config("")).unwrap();
        std::fs::write(place.path("config.toml"), place.config("[minds.quality]\nmodel = \"mom-quality-pro\"\n"))
            .unwrap();
        place
    }

    fn config(&self, minds: &str) -> String {
        let models = self.path("models");
        format!(
            "models_dir = \"{}\"\n{minds}\
             [backends.cheap]\nbase_url = \"http://127.0.0.1:1/v1\"\nmodel = \"small\"\nprice = {{ input = 0.1, output = 0.4 }}\n\
             [backends.premium]\nbase_url = \"http://127.0.0.1:2/v1\"\nmodel = \"large\"\nprice = {{ input = 2.0, output = 8.0 }}\n\
             [[routes]]\nname = \"all\"\ncandidates = [\"cheap\", \"premium\"]\n",
            models.display()
        )
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, rows: &[Value]) {
        let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Runs a command with `rows` and a configuration of this place; what it printed, or its complaint and exit code.
    fn run(&self, command: &[&str], rows: &str, config: &str) -> Result<String, (i32, String)> {
        let (rows, config) = (self.path(rows), self.path(config));
        let more = ["--data", rows.to_str().unwrap(), "--config", config.to_str().unwrap()];
        let output = mom(&[command, &more[..]].concat(), "");
        if output.status.success() {
            return Ok(String::from_utf8(output.stdout).unwrap());
        }
        Err((output.status.code().unwrap(), stderr(&output)))
    }

    fn train(&self, rows: &str, more: &[&str]) -> Result<String, (i32, String)> {
        self.run(&[&["calibrate", "train", "--as", "mom-quality-pro"], more].concat(), rows, "plain.toml")
    }
}

#[test]
fn outcomes_become_a_mind_that_routes_and_a_floor_that_saves() {
    let place = Place::new();
    let said = place.train("rows.jsonl", &[]).unwrap();
    assert!(said.contains("large") && said.contains("240 prompts, 0 unreadable"), "{said}");
    // It is a mind like any other.
    let config = place.path("config.toml");
    let listed = mom(&["models", "verify", "--config", config.to_str().unwrap()], "");
    assert!(listed.status.success(), "{listed:?}");
    assert_eq!(place.train("rows.jsonl", &[]).unwrap_err().0, 1, "it is there already");

    let pair = ["eval", "routing", "--mind", "mom-quality-pro", "--weak", "small", "--strong", "large"];
    let report: Value = serde_json::from_str(&place.run(&pair, "rows.jsonl", "plain.toml").unwrap()).unwrap();
    assert_eq!((&report["n"], &report["known_models"]), (&240.into(), &json!(["small", "large"])));
    assert!(report["apgr"].as_f64().unwrap() > 0.7, "{report}");
    for key in ["apgr_ci95", "cpt50", "cpt80", "length_apgr", "dropped"] {
        assert!(!report[key].is_null(), "{key} is missing: {report}");
    }

    let knob = ["calibrate", "knob", "--quality-of", "premium=0.95"];
    let picture = place.path("curve.svg");
    let drawn = [&knob[..], &["--json", "--picture", picture.to_str().unwrap()]].concat();
    let advice: Value = serde_json::from_str(&place.run(&drawn, "rows.jsonl", "config.toml").unwrap()).unwrap();
    assert!(advice["saving"]["value"].as_f64().unwrap() > 0.2, "{advice}");
    assert!(advice["of_premium_quality"]["value"].as_f64().unwrap() > 0.9, "{advice}");
    assert!(std::fs::read_to_string(picture).unwrap().contains("always premium"));
    let told = place.run(&knob, "rows.jsonl", "config.toml").unwrap();
    let policy = advice["policy"].as_str().unwrap();
    assert!(told.contains(&format!("policy = {policy}\n")), "{told}");

    let unpriced = std::fs::read_to_string(place.path("config.toml")).unwrap();
    let unpriced =
        unpriced.replace("0.1, output = 0.4", "0.0, output = 0.0").replace("2.0, output = 8.0", "0.0, output = 0.0");
    std::fs::write(place.path("free.toml"), unpriced).unwrap();
    let (code, said) = place.run(&knob, "rows.jsonl", "free.toml").unwrap_err();
    assert!(code == 1 && said.contains("premium costs nothing on these prompts"), "{said}");

    // What it printed routes as it said.
    let pasted = place.config("[minds.quality]\nmodel = \"mom-quality-pro\"\n") + &format!("policy = {policy}\n");
    std::fs::write(place.path("pasted.toml"), pasted).unwrap();
    let ask = |text: &str| {
        let body = json!({"messages": [{"role": "user", "content": text}]}).to_string() + "\n";
        let output = mom(&["route", "--config", place.path("pasted.toml").to_str().unwrap()], &body);
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let easy = ask("How do you spell the word lantern, and what does it mean? (3)");
    assert_eq!(easy["choice"]["backend"], "cheap", "{easy}");
    assert!(easy["reasons"].as_array().unwrap().contains(&"foreseen_quality".into()), "{easy}");
    let hard = ask("Work out 17 + 34 + 51 + 68 + 85 + 102 + 119 + 136 + 153 + 170 + 187 without a calculator.");
    assert_eq!(hard["choice"]["backend"], "premium", "{hard}");
    let far = ask("Please write a toast for my grandparents, who have been married for fifty years and love sailing.");
    assert!(far["reasons"].as_array().unwrap().contains(&"far_from_outcomes".into()), "{far}");
}

#[test]
fn faulty_outcomes_write_nothing_and_say_why() {
    let place = Place::new();
    let row = |id: u32, outcomes: Value| json!({"id": id, "prompt": "What is two and two?", "outcomes": outcomes});
    let cases = [
        ("beyond 1", row(1, json!({"a": 1.5})), "the outcome of a is 1.5, not a number from 0 to 1"),
        ("no model", row(1, json!({})), "`outcomes` names no model"),
        (
            "another prompt",
            json!({"id": 7, "prompt": "other", "outcomes": {"a": 1}}),
            "the id 7 contradicts itself: two prompts",
        ),
        ("another outcome", row(7, json!({"a": 0})), "the id 7 contradicts itself: two outcomes of a"),
        (
            "a cost below 0",
            json!({"id": 1, "prompt": "x", "outcomes": {"a": 1}, "cost_usd": {"a": -1}}),
            "the cost of a is -1",
        ),
    ];
    for (case, faulty, wanted) in cases {
        place.write("faulty.jsonl", &[row(7, json!({"a": 1})), faulty]);
        let (code, said) = place.train("faulty.jsonl", &[]).unwrap_err();
        assert!(code == 1 && said.contains(wanted) && said.contains("nothing was written"), "{case}: {said}");
    }
    place.write("few.jsonl", &[row(7, json!({"a": 1}))]);
    let (_, said) = place.train("few.jsonl", &[]).unwrap_err();
    assert!(said.contains("1 prompts are too few") || said.contains("too few"), "{said}");
    place.write("empty.jsonl", &[]);
    assert!(place.train("empty.jsonl", &[]).unwrap_err().1.contains("no outcomes there"));
    assert!(!place.path("models/mom-quality-pro").exists());
    let leftovers: Vec<_> =
        std::fs::read_dir(place.path("models")).unwrap().map(|found| found.unwrap().file_name()).collect();
    assert_eq!(leftovers.len(), 5, "{leftovers:?}");
}

#[test]
fn a_mind_that_reads_others_needs_them() {
    let place = Place::new();
    place.train("rows.jsonl", &[]).unwrap();
    let off = place.config("[minds.quality]\nmodel = \"mom-quality-pro\"\n[minds.similarity]\nenabled = false\n");
    std::fs::write(place.path("off.toml"), off).unwrap();
    let checked = mom(&["check", "--config", place.path("off.toml").to_str().unwrap()], "");
    let said = String::from_utf8_lossy(&checked.stdout).into_owned() + &stderr(&checked);
    assert_eq!(checked.status.code(), Some(78), "{said}");
    assert!(said.contains("reads what mom-similarity-flash says, and [minds.similarity] is off"), "{said}");
}

#[test]
fn several_models_are_told_beside_blind_mixes() {
    let place = Place::new();
    place.train("rows.jsonl", &[]).unwrap();
    let priced: Vec<Value> = prompts()
        .into_iter()
        .map(|mut row| {
            row["cost_usd"] = json!({"small": 0.001, "vendor/large": 0.02});
            row
        })
        .collect();
    place.write("priced.jsonl", &priced);
    let models = ["eval", "routing", "--mind", "mom-quality-pro", "--models", "small,large"];
    let report: Value = serde_json::from_str(&place.run(&models, "priced.jsonl", "plain.toml").unwrap()).unwrap();
    assert_eq!((&report["n"], &report["dropped"]), (&240.into(), &0.into()));
    let best = report["frontier"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|at| at["over_blind_mix"].as_f64())
        .fold(0.0, f64::max);
    assert!(best > 0.1, "{report}");
    let (code, said) = place.run(&models, "rows.jsonl", "plain.toml").unwrap_err();
    assert!(code == 1 && said.contains("lack an outcome or a cost"), "{said}");
}
