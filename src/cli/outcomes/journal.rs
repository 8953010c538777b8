//! The outcome file as it grows: one line for each graded answer, written the moment it is graded. What is there is
//! not asked again, so a run that was interrupted goes on where it stopped.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

use super::prompts::Asked;
use crate::cli::Failure;
use crate::minds::spelled;

/// One answer's outcome.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Outcome {
    pub(super) score: f64,
    pub(super) tokens: Option<f64>,
    pub(super) usd: Option<f64>,
}

/// What is known of a prompt.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) text: String,
    /// By model, as [`spelled`] has it.
    pub(super) outcomes: BTreeMap<String, Outcome>,
    /// How it was graded and asked; `None` where another program wrote it.
    graded: Option<String>,
    asked: Option<String>,
}

/// What is written down at once: all outcomes of a prompt that belong together.
pub(super) struct Entry<'a> {
    pub(super) asked: &'a Asked,
    /// Model and outcome.
    pub(super) outcomes: Vec<(String, Outcome)>,
    pub(super) graded: &'a str,
    pub(super) settings: &'a str,
    pub(super) judge_usd: f64,
}

#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: Option<File>,
    pub(super) known: BTreeMap<String, Known>,
    /// All that the file says was paid for by this command, judges included.
    pub(super) spent: f64,
}

#[derive(Deserialize)]
struct Line {
    id: Value,
    #[serde(alias = "text")]
    prompt: String,
    outcomes: BTreeMap<String, Option<f64>>,
    #[serde(default)]
    output_tokens: BTreeMap<String, f64>,
    #[serde(default)]
    cost_usd: BTreeMap<String, f64>,
    #[serde(default)]
    graded: Option<String>,
    #[serde(default)]
    asked: Option<String>,
    #[serde(default)]
    judge_usd: f64,
}

impl Journal {
    /// What is in a file, which need not be there; the file is left alone.
    pub(super) fn peek(path: &Path) -> Result<Self, Failure> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(fault(path, &error)),
        };
        let mut journal = Self::new(path);
        journal.read(&bytes)?;
        Ok(journal)
    }

    /// Opens a file for more outcomes, and for this process alone. What a process that died wrote half is cut off.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        if path.extension().is_some_and(|extension| extension == "gz") {
            return Err(Failure::new(format!(
                "{}: outcomes are appended, which a gzipped file cannot have",
                path.display()
            )));
        }
        let failed = |error: io::Error| fault(path, &error);
        if path.metadata().is_ok_and(|there| !there.is_file()) {
            return Err(Failure::new(format!("{}: outcomes need a file that can be read again", path.display())));
        }
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Failure::new(format!("{}: another run is writing to it", path.display())));
            }
            // Some file systems know no locks.
            Err(TryLockError::Error(_)) => {}
        }
        let mut bytes = Vec::new();
        file.rewind().and_then(|()| file.read_to_end(&mut bytes)).map_err(failed)?;
        let mut journal = Self::new(path);
        let whole = journal.read(&bytes)?;
        if whole < bytes.len() {
            let _ = writeln!(
                io::stderr().lock(),
                "note: {}: the last line was written half ({} bytes) and is cut off",
                path.display(),
                bytes.len() - whole
            );
            file.set_len(whole as u64).map_err(failed)?;
        } else if bytes.last().is_some_and(|last| *last != b'\n') {
            file.write_all(b"\n").map_err(failed)?;
        }
        journal.file = Some(file);
        Ok(journal)
    }

    fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), file: None, known: BTreeMap::new(), spent: 0.0 }
    }

    /// Takes in whole lines; how many bytes they are.
    fn read(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        let mut whole = 0;
        for (number, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let ended = line.last() == Some(&b'\n');
            if !line.trim_ascii().is_empty() {
                let read = serde_json::from_slice::<Line>(line).map_err(|error| error.to_string());
                match read.and_then(|line| self.add(line)) {
                    Ok(()) => {}
                    Err(_) if !ended => return Ok(whole),
                    Err(error) => {
                        let place = format!("{}:{}", self.path.display(), number + 1);
                        return Err(Failure::new(format!(
                            "{place}: {error}; this is no file of outcomes to go on with"
                        )));
                    }
                }
            }
            whole += line.len();
        }
        Ok(whole)
    }

    fn add(&mut self, line: Line) -> Result<(), String> {
        let key = line.id.to_string();
        let known =
            self.known.entry(key.clone()).or_insert_with(|| Known { text: line.prompt.clone(), ..Known::default() });
        if known.text != line.prompt {
            return Err(format!("the id {key} stands for two prompts"));
        }
        let of = |values: &BTreeMap<String, f64>, model: &str| values.get(model).copied();
        for (model, score) in line.outcomes {
            let Some(score) = score else { continue };
            let (tokens, usd) = (of(&line.output_tokens, &model), of(&line.cost_usd, &model));
            if line.graded.is_some() {
                self.spent += usd.unwrap_or_default();
            }
            known.outcomes.insert(spelled(&model), Outcome { score, tokens, usd });
        }
        self.spent += line.judge_usd;
        known.graded = line.graded.or_else(|| known.graded.take());
        known.asked = line.asked.or_else(|| known.asked.take());
        Ok(())
    }

    /// Why outcomes of a prompt that were written before cannot stand beside new ones.
    pub(super) fn conflict(&self, asked: &Asked, graded: &str, settings: &str) -> Option<String> {
        let known = self.known.get(&asked.key)?;
        let differs = |before: &Option<String>, now: &str| before.as_ref().filter(|before| *before != now).cloned();
        let what = if known.text != asked.text {
            "is another prompt there".to_owned()
        } else if let Some(before) = differs(&known.graded, graded) {
            format!("was graded by {before} there, and would be by {graded} now")
        } else if let Some(before) = differs(&known.asked, settings) {
            format!("was asked with {before} there, and would be with {settings} now")
        } else {
            return None;
        };
        Some(format!("{}: the id {} {what}; take another --out", self.path.display(), asked.key))
    }

    pub(super) fn outcome(&self, key: &str, model: &str) -> Option<Outcome> {
        self.known.get(key)?.outcomes.get(model).copied()
    }

    /// Writes an entry down, so that it survives whatever comes next. Where it cannot be written, nothing of it stays.
    pub(super) fn append(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        let line = entry.line();
        if let Some(file) = &mut self.file {
            let length = file.metadata()?.len();
            let written = file.write_all(format!("{line}\n").as_bytes()).and_then(|()| file.sync_data());
            if let Err(error) = written {
                // Left half, it would be cut off by the next run.
                let _ = file.set_len(length);
                return Err(error);
            }
        }
        let read = serde_json::from_value(line).map_err(|error| error.to_string());
        read.and_then(|line| self.add(line)).map_err(io::Error::other)
    }
}

impl Entry<'_> {
    fn line(&self) -> Value {
        let by_model = |value: fn(&Outcome) -> Option<Value>| {
            let of = |(model, outcome): &(String, Outcome)| Some((model.clone(), value(outcome)?));
            self.outcomes.iter().filter_map(of).collect::<serde_json::Map<_, _>>()
        };
        let mut line = json!({
            "id": self.asked.id, "prompt": self.asked.text,
            "outcomes": by_model(|outcome| Some(outcome.score.into())),
            "output_tokens": by_model(|outcome| Some(json!(outcome.tokens?.round() as u64))),
        });
        let costs = by_model(|outcome| Some(plain(outcome.usd?).into()));
        if !costs.is_empty() {
            line["cost_usd"] = costs.into();
        }
        if let Some(group) = &self.asked.group {
            line["group"] = group.as_str().into();
        }
        line["graded"] = self.graded.into();
        line["asked"] = self.settings.into();
        if self.judge_usd > 0.0 {
            line["judge_usd"] = plain(self.judge_usd).into();
        }
        line
    }
}

/// USD without the dust of binary fractions.
fn plain(usd: f64) -> f64 {
    (usd * 1e12).round() / 1e12
}

fn fault(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(id: u32, text: &str) -> Asked {
        Asked {
            id: id.into(),
            key: id.to_string(),
            messages: Vec::new(),
            text: text.to_owned(),
            answer: None,
            choices: Vec::new(),
            group: Some("g".to_owned()),
        }
    }

    fn entry<'a>(asked: &'a Asked, model: &str, score: f64) -> Entry<'a> {
        let outcome = Outcome { score, tokens: Some(5.0), usd: Some(0.25) };
        Entry {
            asked,
            outcomes: vec![(model.to_owned(), outcome)],
            graded: "exact",
            settings: "max_tokens=9",
            judge_usd: 0.5,
        }
    }

    #[test]
    fn what_is_written_is_known_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        let (one, two) = (asked(1, "Why?"), asked(2, "How?"));
        let mut journal = Journal::open(&path).unwrap();
        assert!(Journal::open(&path).unwrap_err().to_string().contains("another run"));
        journal.append(&entry(&one, "Vendor/Large", 1.0)).unwrap();
        journal.append(&entry(&one, "small", 0.0)).unwrap();
        journal.append(&entry(&two, "small", 1.0)).unwrap();
        drop(journal);
        let again = Journal::open(&path).unwrap();
        assert_eq!(again.outcome("1", "large").unwrap().score, 1.0);
        assert_eq!((again.outcome("2", "large"), again.spent), (None, 2.25));
        assert_eq!(again.conflict(&one, "exact", "max_tokens=9"), None);
        for (other, graded, settings, said) in [
            (asked(1, "What?"), "exact", "max_tokens=9", "another prompt"),
            (asked(1, "Why?"), "number", "max_tokens=9", "graded by exact"),
            (asked(1, "Why?"), "exact", "max_tokens=10", "asked with max_tokens=9"),
        ] {
            assert!(again.conflict(&other, graded, settings).unwrap().contains(said), "{said}");
        }
    }

    #[test]
    fn a_torn_line_is_cut_off_and_a_foreign_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        let one = asked(1, "Why?");
        Journal::open(&path).unwrap().append(&entry(&one, "small", 1.0)).unwrap();
        let whole = std::fs::read_to_string(&path).unwrap();
        let line = whole.trim_end();
        for cut in [1, line.len() / 2, line.len() - 1] {
            std::fs::write(&path, format!("{whole}{}", &line.replace("\"id\":1", "\"id\":2")[..cut])).unwrap();
            let journal = Journal::open(&path).unwrap();
            assert_eq!((journal.known.len(), std::fs::read_to_string(&path).unwrap()), (1, whole.clone()), "{cut}");
        }
        // Whole, but for the end of the line.
        std::fs::write(&path, line).unwrap();
        Journal::open(&path).unwrap().append(&entry(&one, "large", 1.0)).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
        for foreign in ["[server]\nlisten = 1\n", "{\"id\": 1}\n", "x\n{}"] {
            std::fs::write(&path, foreign).unwrap();
            assert!(Journal::open(&path).unwrap_err().to_string().contains("no file of outcomes"), "{foreign}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), foreign);
        }
        assert!(Journal::open(Path::new("/nonexistent/out.jsonl")).is_err());
        assert!(Journal::open(&folder.path().join("out.jsonl.gz")).is_err());
        assert!(Journal::peek(&folder.path().join("none.jsonl")).unwrap().known.is_empty());
    }
}
