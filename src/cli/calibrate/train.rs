//! `mom calibrate train`: outcomes in, a mind out that foresees who answers a prompt well.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::super::Failure;
use super::super::judging::{self, Choice};
use super::super::outcomes::{Prompt, prompts};
use super::super::progress::Progress;
use crate::config::shipped;
use crate::learn::outcomes::{self, Measured, Row, Score};
use crate::minds::quality::{About, Features, Predictor, ROLE};
use crate::minds::{Input, Kind, MindName, Part};

/// The minds that a predictor reads.
const READS: [&str; 2] = ["brain", "similarity"];

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Outcomes: JSON lines, `.gz` too. Difficulty is learnt from all files together, and what models are good at
    /// from each on its own: give a file to each kind of prompts.
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    data: Vec<PathBuf>,
    /// The name of the mind to make, for example mom-quality-flash.
    #[arg(long = "as", value_name = "NAME")]
    name: MindName,
    /// Add to what this mind knows: its difficulty and its models stay as they are.
    #[arg(long, value_name = "NAME")]
    start: Option<String>,
    /// Replace a mind of that name.
    #[arg(long)]
    force: bool,
    /// Take `models_dir` and the minds that are read from this configuration.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Each line of FILE is {\"id\", \"prompt\", \"outcomes\": {MODEL: 0..1}}; `output_tokens` or `output_chars`
({MODEL: n}) teach how long answers are, `group` (or `subject`, `src`, `source`) names prompts of one kind. A model with
fewer than 100 outcomes is left out. Names of models are compared without case, `meta-` and what stands before a `/`.
A faulty line is told and nothing is written.

The table measures each model on prompts that it was not fitted on (five folds). Switch the mind on with
[minds.quality] model = \"NAME\"; backends are found by `measured_as`, else by `model`.

Examples:
  mom calibrate train --data outcomes.jsonl --as mom-quality-pro
  mom calibrate train --data ours.jsonl --start mom-quality-flash --as mom-quality-pro";

pub(super) fn run(args: Args) -> Result<ExitCode, Failure> {
    let mut choice = Choice::new(args.config.as_deref())?;
    let models_dir = choice.folders.models_dir.clone();
    let place = models_dir.join(args.name.to_string());
    if place.exists() && !args.force {
        return Err(Failure::new(format!("{} is there already; --force replaces it", place.display())));
    }
    let start = args.start.as_deref().map(|name| known(&choice, name)).transpose()?;
    let files: Vec<Vec<Prompt>> = args.data.iter().map(prompts).collect::<Result<_, _>>()?;
    let names: Vec<String> = READS
        .iter()
        .map(|role| choice.minds.get(*role).map_or_else(|| shipped(role), |mind| mind.model.clone()))
        .collect();
    choice.only(&names)?;
    let reads: Result<BTreeMap<_, _>, Failure> =
        READS.iter().zip(&names).map(|(role, name)| Ok(((*role).to_owned(), choice.named(name)?.name))).collect();
    let (files, unread) = featured(choice, files)?;
    let refused = |error: outcomes::OutcomesError| Failure::new(error.to_string());
    let base = start.as_ref().map(|start| start.difficulty.clone());
    let all: Vec<&Row> = files.iter().flatten().collect();
    let rows = all.len();
    let (mut scores, mut groups) = (Scores::new(), start.map(|start| start.groups).unwrap_or_default());
    let difficulty = base.clone().map_or_else(|| outcomes::difficulty(&all), Ok).map_err(refused)?;
    let mut progress = Progress::new("files fitted");
    for (file, path) in files.iter().zip(&args.data) {
        let file: Vec<&Row> = file.iter().collect();
        let refused = |error: outcomes::OutcomesError| Failure::new(format!("{}: {error}", path.display()));
        let Measured { scores: of_file, carries } = outcomes::measure(&file, base.as_ref()).map_err(refused)?;
        let group = outcomes::group(&file, &difficulty, &carries).map_err(refused)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        scores.extend(of_file.into_iter().map(|(model, score)| ((name.to_string(), model), score)));
        groups.push(group);
        progress.step();
    }
    progress.finish();
    let files: Vec<String> = args.data.iter().map(|file| file.display().to_string()).collect();
    let start = args.start.map(|name| format!(" --start {name}")).unwrap_or_default();
    let command = format!("mom calibrate train --data {}{start} --as {}", files.join(" "), args.name);
    let about = About {
        reads: reads?,
        training: json!({"command": command, "rows": rows, "unread": unread}),
        metrics: metrics(&scores),
        name: args.name,
    };
    let predictor = Predictor { difficulty, groups };
    let place = predictor.publish(&models_dir, &about, args.force).map_err(|error| Failure::new(error.to_string()))?;
    let mut out = io::stdout().lock();
    if args.json {
        let report = json!({"place": place, "rows": rows, "unread": unread, "files": about.metrics["files"]});
        writeln!(out, "{report}")?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "{:<36} {:>6} {:>8} {:>6} {:>6} {:>6}", "MODEL", "N", "QUALITY", "AUC", "BRIER", "ECE")?;
    for ((_, model), score) in &scores {
        let auc = score.auc.map_or_else(|| "-".to_owned(), |auc| format!("{auc:.3}"));
        let Score { n, quality, brier, ece, .. } = score;
        writeln!(out, "{model:<36} {n:>6} {quality:>8.3} {auc:>6} {brier:>6.3} {ece:>6.3}")?;
    }
    writeln!(
        out,
        "\n{}: {} prompts, {unread} unreadable; measured on prompts it was not fitted on",
        place.display(),
        rows
    )?;
    Ok(ExitCode::SUCCESS)
}

/// What a mind already foresees.
fn known(choice: &Choice, name: &str) -> Result<Predictor, Failure> {
    let folder = crate::minds::Folder::open(&choice.folders.models_dir, name)
        .map_err(|error| Failure::config(error.to_string()))?;
    if folder.manifest.kind != Kind::Predictor {
        return Err(Failure::new(format!("{name} is no mind of the role {ROLE}")));
    }
    folder.verify(&mut BTreeMap::new()).map_err(|error| Failure::config(error.to_string()))?;
    let path = folder.graph();
    Predictor::read(&path).map_err(|error| Failure::config(format!("{}: {error}", path.display())))
}

/// What the minds make of the prompts; beside it how many they could not read.
fn featured(choice: Choice, files: Vec<Vec<Prompt>>) -> Result<(Vec<Vec<Row>>, usize), Failure> {
    let minds = choice.load()?;
    let sizes: Vec<usize> = files.iter().map(Vec::len).collect();
    let feature = |prompt: Prompt| {
        let minds = &minds;
        async move {
            let input = std::sync::Arc::new(Input { parts: vec![Part::alone(prompt.text)], not_text: false });
            let judgement = minds.judge(std::sync::Arc::clone(&input)).await;
            let features = Features::of(&input, &judgement)?;
            let Prompt { outcomes, tokens, group, seen, .. } = prompt;
            Some(Row { features, outcomes, tokens, group, seen })
        }
    };
    let prompts = files.into_iter().flatten();
    let mut rows = judging::runtime()?.block_on(judging::each(prompts, "prompts", feature)).into_iter();
    let files: Vec<Vec<Row>> = sizes.iter().map(|size| rows.by_ref().take(*size).flatten().collect()).collect();
    let unread = sizes.iter().sum::<usize>() - files.iter().map(Vec::len).sum::<usize>();
    Ok((files, unread))
}

/// By file and model.
type Scores = BTreeMap<(String, String), Score>;

fn metrics(scores: &Scores) -> Value {
    let round = |value: f64| (value * 1e4).round() / 1e4;
    let mut files: Map<String, Value> = Map::new();
    for ((file, model), score) in scores {
        let auc = score.auc.map(round);
        let (quality, brier, ece) = (round(score.quality), round(score.brier), round(score.ece));
        let measured = json!({"n": score.n, "quality": quality, "auc": auc, "brier": brier, "ece": ece});
        let models = files.entry(file.clone()).or_insert_with(|| json!({}));
        models[model.as_str()] = measured;
    }
    json!({"on": "prompts held out, five folds", "files": files})
}
