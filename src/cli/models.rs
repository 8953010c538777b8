//! `mom models`: the minds on disk.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::Subcommand;
use serde_json::{Value, json};

use super::Failure;
use super::judging::{self, Choice};
use crate::minds::registry::{self, Entry, NO_BASE};
use crate::minds::{Input, Kind, Part};

mod import;

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
A mind is a folder with a manifest.json in models/onnx, or in `models_dir` of a configuration.

Examples:
  mom models list             what is there, and is it what its manifest says?
  mom models list --json
  mom models verify           hash every file, load every mind, run a real inference
  mom models import DIR --as mom-brain-modern-flash";

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a mind of a model from elsewhere: a ModernBERT or mmBERT classifier, for example.
    Import(import::Args),
    /// Show every mind: task, state, size, window length.
    List {
        /// One JSON array instead of a table.
        #[arg(long)]
        json: bool,
        /// Take `models_dir` from this configuration.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Hash every file, load every mind, run a self-test; exit 1 on any fault, naming the file.
    ///
    /// A mind that is configured and not there is a fault too.
    Verify {
        /// Take `models_dir` from this configuration.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

pub(super) fn run(args: Args) -> Result<ExitCode, Failure> {
    match args.command {
        Command::Import(args) => import::run(args),
        Command::List { json, config } => list(&Choice::new(config.as_deref())?, json),
        Command::Verify { config } => verify(&Choice::new(config.as_deref())?),
    }
}

fn scan(choice: &Choice) -> Result<Vec<Entry>, Failure> {
    let entries = registry::scan(&choice.folders.models_dir, choice.names());
    let entries = entries.map_err(|error| Failure::new(error.to_string()))?;
    if entries.is_empty() {
        return Err(Failure::new(format!("{}: no mind there", choice.folders.models_dir.display())));
    }
    Ok(entries)
}

fn list(choice: &Choice, as_json: bool) -> Result<ExitCode, Failure> {
    let mut hashes = BTreeMap::new();
    let rows: Vec<Value> = scan(choice)?.iter().map(|entry| row(choice, entry, &mut hashes)).collect();
    let mut out = io::stdout().lock();
    if as_json {
        writeln!(out, "{:#}", Value::from(rows))?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "{:<28} {:<11} {:<7} {:>9} {:>7}", "MIND", "TASK", "STATE", "SIZE", "TOKENS")?;
    for row in rows {
        let text = |key: &str| row[key].as_str().unwrap_or("-").to_owned();
        let size = format!("{:.1} MB", row["size_bytes"].as_f64().unwrap_or(0.0) / 1e6);
        let (name, task, state, tokens) = (text("name"), text("task"), text("state"), &row["max_tokens"]);
        writeln!(out, "{name:<28} {task:<11} {state:<7} {size:>9} {tokens:>7}")?;
        if let Some(fault) = row["fault"].as_str() {
            writeln!(out, "  {fault}")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn row(choice: &Choice, entry: &Entry, hashes: &mut BTreeMap<PathBuf, String>) -> Value {
    let manifest = entry.folder.as_ref().ok().map(|folder| &folder.manifest);
    let fault = entry.verify(&choice.folders.bases_dir, hashes).err();
    json!({
        "name": entry.name,
        "task": manifest.map(|manifest| manifest.task.to_string()),
        "state": fault.as_ref().map_or("ok", |fault| fault.state),
        "size_bytes": entry.size(),
        "max_tokens": manifest.map(|manifest| manifest.max_tokens),
        "fault": fault.map(|fault| fault.message),
    })
}

fn verify(choice: &Choice) -> Result<ExitCode, Failure> {
    let runtime = judging::runtime()?;
    let (mut hashes, mut faults) = (BTreeMap::new(), 0);
    for entry in scan(choice)? {
        let wanted = choice.names().any(|name| name == entry.name);
        let verified = entry.verify(&choice.folders.bases_dir, &mut hashes);
        let absent = verified.as_ref().is_err_and(|fault| fault.state == NO_BASE) && !wanted;
        let verified = verified.map_err(|fault| fault.message).and_then(|()| self_test(choice, &entry, &runtime));
        let mut out = io::stdout().lock();
        match verified {
            Ok(how) => writeln!(out, "ok     {:<28} {how}", entry.name)?,
            // Nobody asked for it: it is an offer, not a fault.
            Err(why) if absent => writeln!(out, "-      {:<28} {why}", entry.name)?,
            Err(fault) => {
                faults += 1;
                writeln!(out, "FAULT  {:<28} {fault}", entry.name)?;
            }
        }
    }
    Ok(if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Loads the mind alone and asks it one question.
fn self_test(choice: &Choice, entry: &Entry, runtime: &tokio::runtime::Runtime) -> Result<String, String> {
    let folder = entry.folder.as_ref().map_err(ToString::to_string)?;
    let alone = choice.alone(&entry.name).map_err(|failure| failure.to_string())?;
    let minds = alone.load().map_err(|failure| failure.to_string())?;
    let text = "Who wrote the novel, and in which year?".to_owned();
    let part = Part::alone(text);
    let input = Arc::new(Input { parts: vec![part], not_text: false });
    let role = folder.manifest.role();
    let (silent, took) = runtime.block_on(async {
        let judgement = minds.judge(Arc::clone(&input)).await;
        match folder.manifest.kind {
            Kind::Encoder => return (judgement.silent(folder.manifest.task), judgement.timings.total),
            Kind::Predictor => {
                let silent = judgement.foresight.is_none().then(|| "nothing foreseen".to_owned());
                return (silent, judgement.timings.total);
            }
            Kind::Decoder => {}
        }
        let started = Instant::now();
        let said = minds.consult(&[&role], &input, &judgement).await;
        (said.first().and_then(|opinion| opinion.said.known().err()), started.elapsed())
    });
    if let Some(why) = silent {
        return Err(format!("{}: the self-test got no verdict: {why}", folder.graph().display()));
    }
    let status = minds.status().pop().ok_or("the mind is not loaded")?;
    let (provider, first) = (status.provider, status.warm_up.as_secs_f64() * 1e3);
    let usual = took.as_secs_f64() * 1e3;
    Ok(format!("on {provider}, first inference {first:.1} ms, next {usual:.1} ms"))
}
