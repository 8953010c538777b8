//! `mom classify`: what the minds say about texts, JSONL to JSONL.
//!
//! Input order is kept and a bounded number of lines is in flight, so that the minds can
//! batch. A bad line yields an error line; the run goes on and exits 1.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use tokio::sync::mpsc;

use super::Failure;
use super::judging::{self, Choice, IN_FLIGHT};
use super::lines::{self, Line};
use super::progress::Progress;
use crate::config::Explain;
use crate::gateway::classify;
use crate::minds::Minds;

/// Longest line; a request body is limited to less.
const LONGEST_LINE: usize = 64 * 1024 * 1024;

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Ask only this mind, for example mom-pii-flash; may be repeated.
    #[arg(long = "mind", value_name = "NAME")]
    minds: Vec<String>,
    /// Take minds, thresholds and exemplars from this configuration instead of the models' own.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Verdicts only: decoders named by --mind do not write reasons.
    #[arg(long)]
    no_reasons: bool,
}

const EXAMPLES: &str = "\
Each line of stdin is {\"id\", \"text\"} or {\"id\", \"messages\": [...]}; each line of stdout answers one,
in the same order. Spans count Unicode code points of the text as given, end exclusive. A verdict that
cannot be given is {\"unavailable\": reason}. A bad line is answered {\"id\", \"error\"} and the exit code is 1.

Examples:
  echo '{\"id\":1,\"text\":\"What is 2+2?\"}' | mom classify
  mom classify --mind mom-pii-flash < texts.jsonl > spans.jsonl
  mom classify --mind mom-brain-pro --no-reasons < texts.jsonl
  mom classify --config config.toml < chats.jsonl | jq -c '{id, category: .\"mom-brain-flash\".label}'";

pub(super) fn run(args: Args) -> Result<ExitCode, Failure> {
    let mut choice = Choice::with_reasons(args.config.as_deref())?;
    if !args.minds.is_empty() {
        choice.only(&args.minds)?;
    }
    let unconfigured = args.config.is_none();
    choice.explain(|configured| match configured {
        _ if args.no_reasons => Explain::Off,
        // Nobody reads a log here.
        Explain::Log => Explain::Inline,
        Explain::Off if unconfigured => Explain::Inline,
        configured => configured,
    });
    let minds = choice.load()?;
    let all_good = judging::runtime()?.block_on(work(minds))?;
    Ok(if all_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Works through stdin; true when every line was good.
async fn work(minds: Minds) -> Result<bool, Failure> {
    let mut incoming = read_stdin();
    let mut progress = Progress::new("lines");
    let mut out = BufWriter::new(io::stdout().lock());
    let mut running = FuturesOrdered::new();
    let (mut open, mut all_good) = (true, true);
    while open || !running.is_empty() {
        tokio::select! {
            biased;
            Some((line, good)) = running.next() => {
                all_good &= good;
                writeln!(out, "{line}")?;
                progress.step();
            }
            line = incoming.recv(), if open && running.len() < IN_FLIGHT => match line {
                None => open = false,
                Some(Ok(line)) => running.push_back(answer(minds.clone(), line)),
                Some(Err(error)) => return Err(Failure::new(format!("reading stdin: {error}"))),
            },
        }
        if running.is_empty() || incoming.is_empty() {
            // Someone may be waiting for the answer before sending the next line.
            out.flush()?;
        }
    }
    progress.finish();
    Ok(all_good)
}

/// Stdin is read on a thread of its own: it cannot be polled when it is a file.
fn read_stdin() -> mpsc::Receiver<io::Result<Line>> {
    let (send, receive) = mpsc::channel(IN_FLIGHT);
    std::thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        loop {
            let line = match lines::next(&mut stdin, LONGEST_LINE) {
                Ok(None) => return,
                Ok(Some(Line::Bytes(bytes))) if bytes.trim_ascii().is_empty() => continue,
                Ok(Some(line)) => Ok(line),
                Err(error) => Err(error),
            };
            let failed = line.is_err();
            if send.blocking_send(line).is_err() || failed {
                return;
            }
        }
    });
    receive
}

/// One line of output, and whether its input was good.
async fn answer(minds: Minds, line: Line) -> (String, bool) {
    let parsed = match &line {
        Line::Bytes(bytes) => classify::Line::parse(bytes),
        Line::TooLong => Err(classify::BadLine::unreadable(format!("the line is longer than {LONGEST_LINE} bytes"))),
    };
    let (answer, good) = match parsed {
        Ok(line) => (line.judge(&minds).await, true),
        Err(bad) => (bad.into_answer(), false),
    };
    // JSON values always serialise.
    (serde_json::to_string(&answer).unwrap_or_default(), good)
}
