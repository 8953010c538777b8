//! `mom calibrate thresholds`: reads benign requests, has the mind score them, asks
//! [`crate::learn::thresholds`] what that means.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use futures_util::{StreamExt, stream};
use sha2::{Digest, Sha256};

use super::super::judging::{self, Choice, IN_FLIGHT};
use super::super::progress::Progress;
use super::super::{Failure, rows};
use super::answer::{Answer, Scored};
use crate::gateway::classify::Line;
use crate::learn::thresholds::{Budget, advise};
use crate::minds::{Given, Input, Judgement, Manifest, Minds, Task};

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Benign requests: JSON lines as `mom classify` reads them, `.gz` too; several count together.
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    benign: Vec<PathBuf>,
    /// The share of benign requests that may be flagged, for example 0.5%.
    #[arg(long, value_name = "PERCENT")]
    budget: Budget,
    /// The guard to calibrate, for example mom-pii-flash [default: the jailbreak mind].
    #[arg(long, value_name = "NAME")]
    mind: Option<String>,
    /// Take the mind, its present threshold and the labels that count from this configuration.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How many of the highest scores to list, so that you can look for real attacks among them.
    #[arg(long, default_value_t = 10, value_name = "N")]
    top: usize,
    /// List them with their text, not only their ids.
    #[arg(long)]
    show: bool,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Each line of FILE is {\"id\", \"text\"} or {\"id\", \"messages\": [...]}. A request counts once, however often it
occurs and however long it is; it is flagged when any part of it reaches the threshold. Unreadable lines are
reported, left out, and make the exit code 1.

A file that breaks the budget raises the threshold until it keeps it. One that keeps it lowers the threshold
only as far as it proves the budget: the upper end of the exact 95 % interval must keep it too. So a small file
never lowers anything; the answer says how many requests it takes.

Examples:
  mom calibrate thresholds --benign monday.jsonl --budget 0.5%
  mom calibrate thresholds --benign monday.jsonl.gz --budget 1% --mind mom-pii-flash --show
  mom calibrate thresholds --benign monday.jsonl --budget 0.5% --config config.toml --json";

/// A request to be scored, and what to call it.
struct Request {
    id: String,
    input: Input,
}

pub(super) fn run(args: Args) -> Result<ExitCode, Failure> {
    let mut choice = Choice::new(args.config.as_deref())?;
    match &args.mind {
        Some(name) => choice.only(std::slice::from_ref(name))?,
        None => choice.keep_role("jailbreak")?,
    }
    let (role, manifest) = chosen(&choice)?;
    let present = choice.minds.get(&role).and_then(|mind| mind.threshold).unwrap_or_else(|| manifest.threshold());
    if manifest.task == Task::Pii {
        // Only spans that reach the threshold are reported, and all of them are wanted.
        choice.minds.values_mut().for_each(|mind| mind.threshold = Some(0.0));
    }
    let labels = choice.pii_labels.take();
    let (requests, repeated, bad) = read(&args.benign)?;
    let minds = choice.load()?;
    let judged = judging::runtime()?.block_on(judge(&minds, requests));
    let mut unavailable: BTreeMap<String, usize> = BTreeMap::new();
    let mut scored = Vec::new();
    for (request, judgement) in judged {
        match score(manifest.task, &judgement, labels.as_deref()) {
            Ok(score) => scored.push(Scored { id: request.id, score, text: text(request.input) }),
            Err(why) => *unavailable.entry(why).or_default() += 1,
        }
    }
    let scores: Vec<f32> = scored.iter().map(|scored| scored.score).collect();
    let advice = advise(&scores, present, args.budget).ok_or_else(|| {
        let silent: usize = unavailable.values().sum();
        Failure::new(format!("no request to go by: {bad} could not be read, {silent} got no verdict"))
    })?;
    scored.sort_by(|a, b| b.score.total_cmp(&a.score));
    scored.truncate(args.top);
    let mind = manifest.name.to_string();
    let answer =
        Answer { mind, role, budget: args.budget, advice, roc: manifest.roc, repeated, bad, unavailable, top: scored };
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", answer.to_json(args.show))?;
    } else {
        answer.write(&mut out, args.show)?;
    }
    if answer.advice.advised.is_none() {
        return Err(Failure::new(format!("no threshold keeps {} within the budget", answer.mind)));
    }
    Ok(if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The role to calibrate and its mind, which must be a guard.
fn chosen(choice: &Choice) -> Result<(String, Manifest), Failure> {
    let role = choice.minds.keys().next().cloned().unwrap_or_default();
    let manifest = choice.manifest(&role)?;
    match manifest.task {
        Task::Jailbreak | Task::Pii => Ok((role, manifest)),
        Task::Intent | Task::Similarity => Err(Failure::new(format!(
            "{} is no guard: benign requests say nothing about a threshold of it",
            manifest.name
        ))),
    }
}

/// The requests without repetitions, how many those were, and how many lines were bad.
fn read(files: &[PathBuf]) -> Result<(Vec<Request>, usize, usize), Failure> {
    let read = rows::read_with(files, |line, path, number| {
        let (id, input) = Line::parse(line).map_err(|bad| bad.to_string())?.into_parts();
        let id = if id.get() == "null" { format!("{}:{number}", path.display()) } else { id.get().to_owned() };
        Ok(Request { id, input })
    })?;
    let all = read.rows.len();
    let mut seen = HashSet::new();
    let requests: Vec<Request> = read.rows.into_iter().filter(|request| seen.insert(digest(&request.input))).collect();
    let repeated = all - requests.len();
    Ok((requests, repeated, read.bad))
}

/// Tells texts apart by what a guard reads, and where one part ends.
fn digest(input: &Input) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in input.parts.iter().filter(|part| part.guarded) {
        hasher.update(part.text.len().to_le_bytes());
        hasher.update(&part.text);
    }
    hasher.finalize().into()
}

async fn judge(minds: &Minds, requests: Vec<Request>) -> Vec<(Request, Judgement)> {
    let mut progress = Progress::new("requests");
    let judging = stream::iter(requests).map(|request| async move {
        let judgement = minds.judge(request.input.clone()).await;
        (request, judgement)
    });
    let mut judged = Vec::new();
    let mut judging = std::pin::pin!(judging.buffered(IN_FLIGHT));
    while let Some(one) = judging.next().await {
        judged.push(one);
        progress.step();
    }
    progress.finish();
    judged
}

/// The highest score of a request; `Err` says why there was no verdict.
fn score(task: Task, judgement: &Judgement, labels: Option<&[String]>) -> Result<f32, String> {
    let why = |why: Option<&crate::minds::Unavailable>| why.map_or_else(|| "off".to_owned(), ToString::to_string);
    if task == Task::Jailbreak {
        let Given::Verdict(verdict) = &judgement.jailbreak else { return Err(why(judgement.jailbreak.unavailable())) };
        return Ok(verdict.score);
    }
    let Given::Verdict(spans) = &judgement.pii else { return Err(why(judgement.pii.unavailable())) };
    let counts = |label: &str| labels.is_none_or(|labels| labels.iter().any(|known| known == label));
    Ok(spans.iter().filter(|span| counts(&span.label)).map(|span| span.score).fold(0.0, f32::max))
}

/// What the guard read.
fn text(input: Input) -> String {
    let parts: Vec<String> = input.parts.into_iter().filter(|part| part.guarded).map(|part| part.text).collect();
    parts.join("\n")
}
