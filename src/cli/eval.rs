//! `mom eval`: a mind against labelled data. Fits nothing.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use super::Failure;
use super::judging::{self, Choice};
use super::rows;
use crate::eval::Report;
use crate::minds::{self, Input, Judgement, Minds, Part};
use clap::Subcommand;

mod learning;
mod math;
mod routing;
mod tasks;

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    task: Task,
}

const EXAMPLES: &str = "\
Prints one JSON object. Numbers come with a 95 % bootstrap interval where one makes sense (KEY_ci95),
shares that may rest on next to nothing also with an exact one (KEY_exact_ci95), and all of it again by
`source` and `domain` where rows carry them; jailbreak also by the windows of a request (1, 2-8, 9+), and
`harm`, the guard's second question, over the rows that carry `harm`.
`n` counts the rows that got a verdict; `unavailable` counts, by reason, those that got none, `dropped`
those whose label the task does not know, `bad_rows` those that could not be read (they make the exit
code 1, and so does having no row to measure). Nothing is fitted on the data.

math asks the expert and mom-brain-flash about the text alone. `difficulty` ranks within each source of 25
rows or more; where a row has neither `difficulty` nor `level`, the share of 5 or more models that fail stands
in. Models count in lower case and without `meta-`. `routing` needs --weak and --strong; its costs are USD per
1M tokens, as if all questions were equally long. docs/decoders.md explains the keys.

Examples:
  mom eval intent --data academic.jsonl.gz
  mom eval intent --mind mom-brain-pro --data academic.jsonl.gz | jq .gain_over
  mom eval math --data math.jsonl --weak llama-3.1-8b-instruct --strong llama-3.1-70b-instruct
  mom eval routing --data mmlu.jsonl.gz --weak mixtral-8x7b-instruct-v0.1 --strong gpt-4-1106-preview
  mom eval learning --data ours.jsonl --models small,large --worth-usd 0.05 --worse large@0.5
  mom eval jailbreak --data attacks.jsonl.gz benign.jsonl.gz | jq .recall
  mom eval pii --data presidio_synth.jsonl --config config.toml";

#[derive(Debug, Subcommand)]
enum Task {
    /// Category and complexity: rows of `text` and `label`, `complexity` or both.
    Intent {
        #[command(flatten)]
        data: Data,
        /// Measure this mind, for example mom-brain-pro; a decoder also against the mind it is weighed with.
        #[arg(long, value_name = "NAME")]
        mind: Option<String>,
    },
    /// Jailbreak and prompt injection: rows of `text` and `attack` (0/1), or `label`; `harm` (0/1)
    /// where it is known whether the person asks for something harmful.
    Jailbreak(Data),
    /// Personal data: rows of `text`, `spans` [{start, end, label}] in code points; scored strictly.
    Pii(Data),
    /// A math expert beside mom-brain-flash and the question's length: rows of `text` or `prompt` and
    /// any of `domain`, `difficulty` (0..1), `level` (a number), `outcomes` {model: 0..1}.
    Math(math::Args),
    /// Which prompts need the strong one of two models, or what a choice among several costs and wins: rows of
    /// `prompt` and `outcomes` {model: 0..1}.
    Routing(routing::Args),
    /// What a bandit that sees only the chosen model's outcome would have come to, beside the best fixed model: rows
    /// of `prompt` and `outcomes` {model: 0..1}, and `cost_usd` where no price is told.
    Learning(learning::Args),
    /// Sentence pairs: rows of `a`, `b`, `score`.
    Similarity(Data),
}

#[derive(Debug, clap::Args)]
struct Data {
    /// JSON lines, `.gz` too; several are measured together.
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    data: Vec<PathBuf>,
    /// Take the mind and its threshold from this configuration instead of the model's own.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(args: Args) -> Result<ExitCode, Failure> {
    match args.task {
        Task::Intent { data, mind } => code(measure(&tasks::Intent, &data, mind.as_slice())),
        Task::Jailbreak(data) => code(measure(&tasks::Jailbreak, &data, &[])),
        Task::Math(args) => math::run(args),
        Task::Routing(args) => routing::run(args),
        Task::Learning(args) => learning::run(args),
        Task::Pii(data) => code(measure(&tasks::Pii, &data, &[])),
        Task::Similarity(data) => code(measure(&tasks::Similarity, &data, &[])),
    }
}

/// What differs between the tasks.
trait Measured {
    /// A line of the data.
    type Row: serde::de::DeserializeOwned;
    /// A row with its verdict.
    type Outcome;
    const NAME: &'static str;
    const ROLE: &'static str;

    /// Whether the row's label means something to this task.
    fn usable(row: &Self::Row, labels: &[String]) -> bool;
    /// Takes the texts to judge, in the order [`Measured::outcome`] gets the judgements.
    fn texts(row: &Self::Row) -> Vec<String>;
    /// `Err` says why there was no verdict.
    fn outcome(row: Self::Row, judgements: &[Judgement]) -> Result<Self::Outcome, String>;
    fn report(&self, outcomes: &[Self::Outcome], labels: &[String]) -> Report;
}

fn code<T>(measured: Result<(T, ExitCode), Failure>) -> Result<ExitCode, Failure> {
    Ok(measured?.1)
}

/// Measures the first of `names`, with the others beside it; without any, the mind that plays the role.
fn measure<T: Measured>(task: &T, data: &Data, names: &[String]) -> Result<(Vec<T::Outcome>, ExitCode), Failure> {
    let mut choice = Choice::new(data.config.as_deref())?;
    let manifest = match names.first() {
        Some(name) => {
            choice.only(names)?;
            choice.named(name)?
        }
        None => {
            choice.keep_role(T::ROLE)?;
            choice.manifest(T::ROLE)?
        }
    };
    if manifest.task.role() != T::ROLE {
        return Err(Failure::config(format!(
            "{} is made for the task {}, not for this one",
            manifest.name, manifest.task
        )));
    }
    let threshold = choice.minds.get(T::ROLE).and_then(|mind| mind.threshold).unwrap_or_else(|| manifest.threshold());
    let minds = choice.load()?;
    let rows::Rows { rows, bad } = rows::read::<T::Row>(&data.data)?;
    let total = rows.len();
    let rows: Vec<T::Row> = rows.into_iter().filter(|row| T::usable(row, &manifest.labels)).collect();
    let dropped = total - rows.len();
    let outcomes = judging::runtime()?.block_on(judge::<T>(&minds, rows));
    let mut unavailable: BTreeMap<String, usize> = BTreeMap::new();
    let given: Vec<T::Outcome> = outcomes
        .into_iter()
        .filter_map(|outcome| outcome.map_err(|why| *unavailable.entry(why).or_default() += 1).ok())
        .collect();
    let mut report = Report::default();
    report.set("task", T::NAME);
    report.set("mind", manifest.name.to_string());
    if !matches!(manifest.task, minds::Task::Intent | minds::Task::Expert | minds::Task::Quality) {
        report.number("threshold", Some(f64::from(threshold)));
    }
    report.set("dropped", dropped);
    report.set("bad_rows", bad);
    report.set("unavailable", serde_json::json!(unavailable));
    report.append(task.report(&given, &manifest.labels));
    writeln!(io::stdout().lock(), "{}", report.into_json())?;
    if given.is_empty() {
        let silent: usize = unavailable.values().sum();
        return Err(Failure::new(format!(
            "no row could be measured: {bad} could not be read, {dropped} have no label that {} knows, {silent} got no verdict",
            T::NAME
        )));
    }
    Ok((given, if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }))
}

async fn judge<T: Measured>(minds: &Minds, rows: Vec<T::Row>) -> Vec<Result<T::Outcome, String>> {
    let outcome = |row| async move {
        let mut judgements = Vec::new();
        for text in T::texts(&row) {
            let part = Part::alone(text);
            judgements.push(minds.judge_and_consult(Input { parts: vec![part], not_text: false }).await);
        }
        T::outcome(row, &judgements)
    };
    judging::each(rows, "rows", outcome).await
}
