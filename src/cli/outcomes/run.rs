//! `mom outcomes run`: from prompts to graded answers in a file that `mom calibrate` takes.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use serde_json::json;

use super::ask::{Desk, Settings};
use super::grade::{Grade, Grading};
use super::journal::Journal;
use super::plan::{self, Job, Named, Prompt};
use super::prompts::{self, Asked, digest};
use super::purse::Purse;
use super::report::{Report, Shown};
use super::work::{Tally, Work};
use crate::cli::Failure;
use crate::config::{Config, parse_duration};
use crate::learn::grade::Grader;

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The configuration with the backends.
    #[arg(long, default_value = "config.toml", value_name = "FILE")]
    config: PathBuf,
    /// The prompts: JSON lines, `.gz` too.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["report", "ledger"])]
    prompts: Option<PathBuf>,
    /// Take them from a ledger that keeps text instead: what chats asked.
    #[arg(long, value_name = "FILE", conflicts_with = "prompts")]
    ledger: Option<PathBuf>,
    /// How far back, with --ledger: 24h, 7d, ….
    #[arg(long, value_name = "TIME", requires = "ledger", value_parser = parse_duration)]
    since: Option<Duration>,
    /// The backends to ask and compare, by their names in the configuration.
    #[arg(long, required = true, value_name = "NAME,NAME,…", value_delimiter = ',')]
    backends: Vec<String>,
    /// Where outcomes are kept. What is in it already is not asked again.
    #[arg(long, value_name = "OUT.jsonl")]
    out: PathBuf,
    /// What all of OUT may cost, judges and earlier runs included, but for answers of earlier runs that got no grade.
    #[arg(long, value_name = "USD", value_parser = usd)]
    max_usd: Option<f64>,
    /// Backends without a price cost nothing.
    #[arg(long)]
    unpriced: bool,
    /// exact, number, choice, command=PROGRAM or judge=BACKEND [default: what suits each prompt's `answer`].
    #[arg(long, value_name = "HOW")]
    grade: Option<Grade>,
    /// How long a grading command may take for an answer.
    #[arg(long, default_value = "60s", value_name = "TIME", value_parser = parse_duration)]
    command_timeout: Duration,
    /// Answers under way at once.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: u16,
    /// Tokens that an answer may have, thoughts included.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..))]
    max_tokens: u32,
    /// Sent with every question [default: nothing is, and the backend decides].
    #[arg(long, value_name = "T")]
    temperature: Option<f64>,
    /// A system prompt for prompts that have none.
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Ask nothing; say how many answers are missing and what they may cost.
    #[arg(long, conflicts_with = "report")]
    dry_run: bool,
    /// Ask nothing; say what is in OUT.
    #[arg(long)]
    report: bool,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Each line of FILE is {\"prompt\": \"…\"} (or `text`, or `messages`) with, as far as known, `id`,
`answer`, `choices` (their texts, in order; the prompt has to show them) and `group`. Prompts are
sent as they are.

How answers are graded (--grade):
  exact             the text of `answer`, but for case, spaces and quotes
  number            the last number is that of `answer`: 1,234 or 3/4 or 50 % or \\frac{3}{4}
  choice            the letter, \"(B)\", \"the answer is B\", or the choice's text
  command=PROGRAM   `sh -c PROGRAM` gets one JSON object on stdin (prompt, answer, reference,
                    choices, model); exit 0: right, 1: wrong; or it prints a number from 0 to 1
  judge=BACKEND     holds an answer against `answer`; without one it compares the backends'
                    answers in both orders, and only a word that survives the swap counts

A call starts only where its worst case (a token for each byte of the prompt, and --max-tokens)
fits under --max-usd. Ctrl-C, a crash or the cap end a run; the same command goes on and asks
nothing twice. Calls that fail are no outcomes and are asked again by the next run. Exit code 1
says that answers are missing.

Examples (ARGS stands for: --backends cheap,premium --out outcomes.jsonl):
  mom outcomes run --prompts ours.jsonl ARGS --dry-run
  mom outcomes run --prompts ours.jsonl ARGS --max-usd 5
  mom outcomes run --prompts ours.jsonl ARGS --max-usd 5 --grade judge=strong
  mom outcomes run --prompts ours.jsonl ARGS --max-usd 5 --grade command=./grade.py
  mom outcomes run --ledger ledger.db --since 7d ARGS --max-usd 5 --grade judge=strong
  mom outcomes run ARGS --report
  mom calibrate knob --config config.toml --data outcomes.jsonl --quality-of premium=0.95";

fn usd(text: &str) -> Result<f64, String> {
    let usd = text.parse().ok().filter(|usd: &f64| usd.is_finite() && *usd > 0.0);
    usd.ok_or_else(|| "expected an amount of USD above 0".to_owned())
}

pub(super) fn run(args: Args) -> Result<ExitCode, Failure> {
    let config = Config::load(&args.config).map_err(|faults| Failure::config(faults.to_string()))?;
    let backends = plan::backends(&config, &args.backends)?;
    if args.report {
        let journal = Journal::peek(&args.out)?;
        return tell(&args, &backends, &journal, None);
    }
    let judge = match &args.grade {
        Some(Grade::Judge(name)) => plan::backends(&config, std::slice::from_ref(name))?.pop(),
        _ => None,
    };
    priced(&args, backends.iter().chain(&judge))?;
    if let Some(judge) = judge.as_ref().filter(|judge| backends.iter().any(|one| one.backend == judge.backend)) {
        note(&format!("{} judges its own answers, which it may favour", judge.backend));
    }
    let rules = Grader::new().map_err(|error| Failure::new(error.to_string()))?;
    let prompts = planned(&args, &rules, &backends)?;
    let settings = args.settings();
    let mut journal = if args.dry_run { Journal::peek(&args.out) } else { Journal::open(&args.out) }?;
    let written_with = settings.spelled();
    plan::fits(&prompts, &written_with, &journal)?;
    let jobs = plan::jobs(&prompts, &backends, &journal);
    let desk = Desk::new(config, settings)?;
    let command = match &args.grade {
        Some(Grade::Command(command)) => Some((&**command, args.command_timeout)),
        _ => None,
    };
    let purse = Purse::new(args.max_usd, journal.spent);
    let work = Work {
        prompts: &prompts,
        backends: &backends,
        desk: &desk,
        grading: Grading { desk: &desk, rules: &rules, command, judge: judge.as_ref().map(|judge| &*judge.backend) },
        purse: &purse,
        max_usd: args.max_usd,
        max_tokens: args.max_tokens,
        settings: &written_with,
        concurrency: args.concurrency.into(),
    };
    if args.dry_run {
        return dry_run(&args, &work, &jobs, &journal);
    }
    let before = purse.spent();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tally = runtime.block_on(work.run(jobs, &mut journal));
    // A grading command may still be at work on an answer that nobody waits for.
    runtime.shutdown_background();
    tell(&args, &backends, &journal, Some((tally?, purse.spent() - before)))
}

impl Args {
    fn settings(&self) -> Settings {
        Settings { max_tokens: self.max_tokens, temperature: self.temperature, system: self.system.clone() }
    }
}

impl Settings {
    /// As the outcome file has them.
    fn spelled(&self) -> String {
        let mut spelled = format!("max_tokens={}", self.max_tokens);
        if let Some(temperature) = self.temperature {
            spelled += &format!(" temperature={temperature}");
        }
        if let Some(system) = &self.system {
            spelled += &format!(" system={}", digest(system));
        }
        spelled
    }
}

fn note(text: &str) {
    // A note that cannot be shown is no reason to stop.
    let _ = writeln!(io::stderr().lock(), "note: {text}");
}

/// A cap means nothing where prices are missing.
fn priced<'a>(args: &Args, mut called: impl Iterator<Item = &'a Named> + Clone) -> Result<(), Failure> {
    if let Some(free) = called.clone().find(|named| named.unpriced && !args.unpriced) {
        let name = &free.backend;
        return Err(Failure::new(format!(
            "{name} has no price, so nothing could be capped: set backends.{name}.price, or say --unpriced if it costs nothing"
        )));
    }
    if args.max_usd.is_none() && !args.dry_run && called.any(|named| !named.unpriced) {
        return Err(Failure::new("say with --max-usd what the answers may cost (--dry-run tells the most they can)"));
    }
    Ok(())
}

/// The prompts as they were found.
fn source(args: &Args) -> Result<Vec<Asked>, Failure> {
    if let Some(file) = &args.prompts {
        let (asked, repeated) = prompts::from_file(file)?;
        if repeated > 0 {
            note(&format!("{repeated} prompts without an id are there more than once and are asked once"));
        }
        return Ok(asked);
    }
    let since = args.since.and_then(|since| SystemTime::now().checked_sub(since)).unwrap_or(SystemTime::UNIX_EPOCH);
    let (asked, unfit) = prompts::from_ledger(args.ledger.as_deref().unwrap_or_else(|| Path::new("")), since)?;
    if unfit > 0 {
        note(&format!("{unfit} chats carry more than text, or none, and are left out"));
    }
    Ok(asked)
}

/// The prompts, with how each is graded.
fn planned(args: &Args, rules: &Grader, backends: &[Named]) -> Result<Vec<Prompt>, Failure> {
    let mut asked = source(args)?;
    let hidden = |asked: &&Asked| {
        let shown = asked.conversation();
        !asked.choices.is_empty() && !asked.choices.iter().any(|choice| shown.contains(choice.trim()))
    };
    let hidden = asked.iter().filter(hidden).count();
    if hidden > 0 {
        note(&format!("{hidden} prompts show none of their choices: they are sent as they are"));
    }
    if let Some(system) = &args.system {
        asked.iter_mut().for_each(|asked| asked.with_system(system));
    }
    plan::prompts(asked, args.grade.as_ref(), rules, backends)
}

fn dry_run(args: &Args, work: &Work<'_>, jobs: &[Job], journal: &Journal) -> Result<ExitCode, Failure> {
    let worst: f64 = jobs.iter().map(|job| work.worst(*job)).sum();
    let (answers, judgements) =
        jobs.iter().map(|job| work.calls(*job)).fold((0, 0), |sum, calls| (sum.0 + calls.0, sum.1 + calls.1));
    let (prompts, before) = (work.prompts.len(), journal.spent);
    let mut out = io::stdout().lock();
    if args.json {
        let told = json!({"prompts": prompts, "answers": answers, "judgements": judgements, "worst_usd": worst, "spent_usd": before});
        writeln!(out, "{told}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let there = prompts * work.backends.len() - answers;
    writeln!(
        out,
        "{prompts} prompts, {} backends: {answers} answers to ask for, {there} there already",
        work.backends.len()
    )?;
    if judgements > 0 {
        writeln!(out, "{judgements} calls of the judge")?;
    }
    writeln!(
        out,
        "at most {worst:.4} USD, with {} tokens for each answer; {before:.4} USD are spent",
        args.max_tokens
    )?;
    match args.max_usd {
        Some(cap) if before + worst > cap => writeln!(out, "--max-usd {cap} may end the run before all are asked")?,
        _ => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// What is in the file now, after a run of this tally and cost.
fn tell(args: &Args, backends: &[Named], journal: &Journal, run: Option<(Tally, f64)>) -> Result<ExitCode, Failure> {
    let report = Report::new(backends, journal);
    if run.is_none() && report.is_empty() {
        return Err(Failure::new(format!("{}: no outcomes of {} there", args.out.display(), args.backends.join(", "))));
    }
    let mut out = io::stdout().lock();
    let shown = Shown { out: &args.out, config: &args.config, spent: journal.spent, run: run.as_ref() };
    if args.json {
        writeln!(out, "{}", report.json(&shown))?;
    } else {
        report.write(&mut out, &shown)?;
    }
    let complete = run.is_none_or(|(tally, _)| tally.complete());
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
