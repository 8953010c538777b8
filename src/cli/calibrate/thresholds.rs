//! `mom calibrate thresholds`: reads benign requests, has the mind score them, asks
//! [`crate::learn::thresholds`] what that means.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use sha2::{Digest, Sha256};
use tokio::runtime::Runtime;

use super::super::judging::{self, Choice};
use super::super::{Failure, rows};
use super::again::{Again, Seen};
use super::answer::{Answer, Scored};
use super::question::Question;
use crate::gateway::classify::Line;
use crate::learn::thresholds::{Budget, advise};
use crate::minds::Input;

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
    /// Calibrate `harm_threshold`: whether the person asks for something harmful.
    #[arg(long)]
    harm: bool,
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

Personal data is judged again at the threshold in use and at the advised one. Patterns score alike wherever they
match, so a higher threshold may silence whole kinds of data: the answer names them. `[guard] pii.labels` leaves out
one kind and no other.

Examples:
  mom calibrate thresholds --benign monday.jsonl --budget 0.5%
  mom calibrate thresholds --benign monday.jsonl.gz --budget 1% --mind mom-pii-flash --show
  mom calibrate thresholds --benign monday.jsonl --budget 0.5% --harm
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
    let role = choice.minds.keys().next().cloned().unwrap_or_default();
    let manifest = choice.manifest(&role)?;
    let question = Question::of(&manifest, args.harm)?;
    let present = question.present(choice.minds.get(&role), &manifest);
    let labels = choice.pii_labels.take();
    let (requests, repeated, bad) = read(&args.benign)?;
    let runtime = judging::runtime()?;
    let (scored, unavailable) = score(question, choice.clone(), labels.as_deref(), requests, &runtime)?;
    let (requests, mut scores): (Vec<Request>, Vec<f32>) = scored.into_iter().unzip();
    let mut advice = advise(&scores, present, args.budget).ok_or_else(|| {
        let silent: usize = unavailable.values().sum();
        let files: Vec<String> = args.benign.iter().map(|file| file.display().to_string()).collect();
        let files = files.join(", ");
        Failure::new(format!("{files}: no request to go by: {bad} could not be read, {silent} got no verdict"))
    })?;
    let again = match question {
        Question::Pii => Again::settle(&mut advice, &mut scores, args.budget, |threshold| {
            let inputs = requests.iter().map(|request| &request.input);
            Seen::at(threshold, choice.clone(), labels.as_deref(), inputs, &runtime)
        })?,
        Question::Jailbreak | Question::Harm => None,
    };
    let mut top: Vec<(Request, f32)> = requests.into_iter().zip(scores).collect();
    top.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    top.truncate(args.top);
    let answer = Answer {
        mind: manifest.name.to_string(),
        role,
        question,
        budget: args.budget,
        advice,
        again,
        roc: question.roc(manifest),
        repeated,
        bad,
        unavailable,
        top: top.into_iter().map(|(request, score)| Scored::new(score, request.id, &request.input)).collect(),
    };
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

/// Requests with their scores, and how many have none, by reason.
type Scores = (Vec<(Request, f32)>, BTreeMap<String, usize>);

fn score(
    question: Question,
    mut choice: Choice,
    labels: Option<&[String]>,
    requests: Vec<Request>,
    runtime: &Runtime,
) -> Result<Scores, Failure> {
    if question == Question::Pii {
        // Only spans that reach the threshold are reported, and all of them are wanted.
        choice.minds.values_mut().for_each(|mind| mind.threshold = Some(0.0));
    }
    let minds = choice.load()?;
    let score = async |request: &Request| question.score(&minds.judge(request.input.clone()).await, labels);
    let judged = runtime.block_on(judging::each(&requests, "requests", score));
    let (mut scored, mut unavailable) = (Vec::new(), BTreeMap::new());
    for (request, score) in requests.into_iter().zip(judged) {
        match score {
            Ok(score) => scored.push((request, score)),
            Err(why) => *unavailable.entry(why).or_default() += 1,
        }
    }
    Ok((scored, unavailable))
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
