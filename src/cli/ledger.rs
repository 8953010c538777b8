//! `mom ledger`: what requests cost, and what they would have cost.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::ValueEnum;
use serde_json::{Value, json};

use super::Failure;
use crate::config::{Config, parse_duration};
use crate::ledger::{By, LedgerError, Line, Store, Summary, csv, jsonl};

mod learning;
mod shadow;

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The configuration whose `[ledger]` is read.
    #[arg(long, default_value = "config.toml", value_name = "FILE")]
    config: PathBuf,
    /// Read this file instead.
    #[arg(long, value_name = "FILE")]
    path: Option<PathBuf>,
    /// One line for each of these.
    #[arg(long, value_enum)]
    by: Option<Group>,
    /// How far back: 24h, 7d, ….
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    since: Option<Duration>,
    /// One JSON object instead of a table.
    #[arg(long, conflicts_with = "export")]
    json: bool,
    /// Write every request into this file instead of adding them up: CSV, or JSON lines where its name ends in .jsonl.
    #[arg(long, value_name = "FILE", conflicts_with = "by")]
    export: Option<PathBuf>,
    /// What the policy of `[shadow]` would have done with the requests that both policies decided.
    #[arg(long, conflicts_with_all = ["by", "export"])]
    shadow: bool,
    /// What was heard of answers, what routes that learn have made of it, and whether they act on it.
    #[arg(long, conflicts_with_all = ["by", "export", "shadow"])]
    learning: bool,
}

const EXAMPLES: &str = "\
Costs are those of the backends' prices for the tokens that they reported; where one did not, the gateway counted
(ESTIMATED). PREMIUM is the same tokens at the prices of `ledger.premium`, or of the backend with the dearest output.
Reading does not disturb a gateway that writes.

Examples:
  mom ledger                          all of it
  mom ledger --by backend --since 7d
  mom ledger --by day --json
  mom ledger --since 30d --export requests.csv
  mom ledger --shadow --since 7d      what the candidate would have done
  mom ledger --learning               whether routes act on feedback, and why";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Group {
    Key,
    Route,
    Backend,
    Category,
    /// UTC.
    Day,
}

impl From<Group> for By {
    fn from(group: Group) -> Self {
        match group {
            Group::Key => Self::Key,
            Group::Route => Self::Route,
            Group::Backend => Self::Backend,
            Group::Category => Self::Category,
            Group::Day => Self::Day,
        }
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        Self::new(error.to_string())
    }
}

pub(super) fn run(args: Args) -> Result<ExitCode, Failure> {
    let path = match args.path {
        Some(path) => path,
        None => {
            let config = Config::load(&args.config).map_err(|faults| Failure::config(faults.to_string()))?;
            let none = || Failure::config(format!("{} has no [ledger]: nothing is kept", args.config.display()));
            config.ledger.ok_or_else(none)?.path
        }
    };
    let store = Store::open_existing(&path)?;
    let since = args.since.and_then(|since| SystemTime::now().checked_sub(since)).unwrap_or(SystemTime::UNIX_EPOCH);
    if let Some(file) = args.export {
        return export(&store, since, &file);
    }
    if args.shadow {
        return shadow::run(&store, since, args.json);
    }
    if args.learning {
        learning::run(&mut io::stdout().lock(), &store, since, args.json)?;
        return Ok(ExitCode::SUCCESS);
    }
    let summary = store.summary(args.by.map(By::from), since)?;
    let mut out = io::stdout().lock();
    if args.json {
        let lines: Vec<Value> = summary.lines.iter().map(Line::json).collect();
        writeln!(out, "{}", json!({"lines": lines, "lost": summary.lost}))?;
    } else {
        table(&mut out, &summary)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn table(out: &mut impl Write, summary: &Summary) -> io::Result<()> {
    let heads = ["REQUESTS", "TOKENS IN", "OUT", "USD", "PREMIUM", "SAVED", "ESTIMATED"];
    writeln!(
        out,
        "{:<24} {:>9} {:>11} {:>11} {:>12} {:>12} {:>8} {:>9}",
        "", heads[0], heads[1], heads[2], heads[3], heads[4], heads[5], heads[6]
    )?;
    for line in &summary.lines {
        let saved = match line.premium_usd > 0.0 {
            true => format!("{:.1} %", 100.0 * line.saved_usd() / line.premium_usd),
            false => "-".to_owned(),
        };
        let Line { name, requests, prompt_tokens, completion_tokens, cost_usd, premium_usd, estimated, .. } = line;
        writeln!(
            out,
            "{name:<24} {requests:>9} {prompt_tokens:>11} {completion_tokens:>11} {cost_usd:>12.6} {premium_usd:>12.6} {saved:>8} {estimated:>9}"
        )?;
    }
    let unpriced: u64 = summary.lines.iter().map(|line| line.unpriced).sum();
    if unpriced > 0 {
        writeln!(out, "{unpriced} answered requests have no known cost")?;
    }
    if summary.lost > 0 {
        writeln!(out, "{} requests or pieces of feedback could not be written and are missing", summary.lost)?;
    }
    Ok(())
}

fn export(store: &Store, since: SystemTime, path: &PathBuf) -> Result<ExitCode, Failure> {
    let fault = |error: io::Error| Failure::new(format!("{}: {error}", path.display()));
    let mut out = BufWriter::new(File::create(path).map_err(fault)?);
    let lines = path.extension().is_some_and(|extension| extension == "jsonl");
    let mut first = true;
    let written = store.each(since, |names, values| {
        if lines {
            return jsonl(&mut out, names, values);
        }
        if std::mem::take(&mut first) {
            csv(&mut out, &names.iter().map(|name| Value::from(*name)).collect::<Vec<_>>())?;
        }
        csv(&mut out, &values)
    })?;
    written.and_then(|()| out.flush()).map_err(fault)?;
    Ok(ExitCode::SUCCESS)
}
