//! `mom replay`: logged requests under another configuration, before anyone deploys it.

use std::io::{self, Write as _};
use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, SystemTime};

use clap::ValueEnum;

use super::progress::{self, LOADING, Progress};
use super::{Failure, judging};
use crate::config::{Config, parse_duration};
use crate::gateway::replay::{Replay, Unfit};
use crate::learn::replay::{Tally, Weighed};
use crate::ledger::{By, Logged, Store, Window};

mod report;

/// Decides logged requests again under another configuration, and tells what would change: costs, foreseen quality, and
/// which traffic moves. Calls no backend and reads no text.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    /// The configuration to try.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The ledger whose requests are decided again [default: that of the configuration].
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
    /// How far back: 24h, 7d, ….
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    since: Option<Duration>,
    /// Up to so long ago.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    until: Option<Duration>,
    /// The newest so many only.
    #[arg(long, value_name = "N")]
    limit: Option<NonZero<usize>>,
    /// One more table, by what requests had then.
    #[arg(long, value_enum)]
    by: Option<Group>,
    /// Name so many requests of each move.
    #[arg(long, value_name = "N", default_value_t = 0)]
    show: usize,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

const HELP: &str = "\
A ledger keeps what the minds said of each request (`ledger.features`, on unless switched off), and no text. Under the
configuration given here that is weighed again: routes, floors, prices, guards and their thresholds, exemplars (read
again where a rule has `similar_to`), [quality] and [minds.quality]. What minds said stays as it was: a request that
another mind would read is left out, as is one that asks for a backend that is gone. Spans below the PII threshold of the
time were not kept, so a lower one finds no more. All backends count as ready.

COST THEN is what was booked. COST NOW is the same tokens at the new prices; an answer of a backend that a request moves
to is as long as [minds.quality] foresees for it, where it does. QUALITY is what the new configuration foresees, of the
choice then and of the choice now. Intervals hold 95 %, by bootstrap (beyond 20,000 requests by the normal
distribution). FEEDBACK is what clients said of answers that would have come from elsewhere.

Replaying under the configuration that is in force moves nothing, unless a backend could not be called at the time or a choice was made by lot.

Examples:
  mom replay --config new.toml                               the ledger that new.toml names, all of it
  mom replay --config new.toml --ledger ledger.db --since 7d
  mom replay --config new.toml --since 7d --by category --show 3";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Group {
    Route,
    Backend,
    Category,
}

impl From<Group> for By {
    fn from(group: Group) -> Self {
        match group {
            Group::Route => Self::Route,
            Group::Backend => Self::Backend,
            Group::Category => Self::Category,
        }
    }
}

/// Requests that are in memory at once.
const TOGETHER: usize = 4096;

pub(super) fn run(args: Args) -> Result<ExitCode, Failure> {
    let config = Config::load(&args.config).map_err(|faults| Failure::config(faults.to_string()))?;
    let path = match (&args.ledger, &config.ledger) {
        (Some(path), _) => path.clone(),
        (None, Some(ledger)) => ledger.path.clone(),
        (None, None) => {
            let config = args.config.display();
            return Err(Failure::config(format!("{config} has no [ledger]: name one with --ledger")));
        }
    };
    let store = Store::open_existing(&path)?;
    let runtime = judging::runtime()?;
    let opened = progress::during(LOADING, || runtime.block_on(Replay::open(config)));
    let replay = opened.map_err(|error| Failure::config(error.to_string()))?;
    let window = window(args.since, args.until, args.limit);
    let by = args.by.map(By::from);
    let mut tally = Tally { show: args.show, ..Tally::default() };
    let mut progress = Progress::new("requests");
    store.logged(&window, TOGETHER, |requests| {
        for weighed in side_by_side(&replay, &requests, by) {
            match weighed {
                Ok(weighed) => tally.add(&weighed),
                Err(unfit) => tally.leave_out(unfit.to_string()),
            }
            progress.step();
        }
    })?;
    progress.finish();
    if tally.all.requests == 0 {
        return Err(Failure::new(nothing(&path, &tally)));
    }
    let report = report::Report { name: args.config.display().to_string(), replay: &replay, tally: &tally };
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", report.json())?;
    } else {
        report.write(&mut out)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// From arguments that count back from now.
pub(super) fn window(since: Option<Duration>, until: Option<Duration>, limit: Option<NonZero<usize>>) -> Window {
    let now = SystemTime::now();
    Window {
        since: since.and_then(|since| now.checked_sub(since)).unwrap_or(SystemTime::UNIX_EPOCH),
        until: until.and_then(|until| now.checked_sub(until)),
        limit: limit.map(NonZero::get),
    }
}

fn nothing(path: &std::path::Path, tally: &Tally) -> String {
    let path = path.display();
    if tally.left_out() == 0 {
        return format!("{path}: no request was logged in that time");
    }
    let whys: Vec<String> = tally.unfit.iter().map(|(why, count)| format!("{count} {why}")).collect();
    format!("{path}: none of {} requests can be decided again: {}", tally.left_out(), whys.join(", "))
}

/// On all cores, in order.
fn side_by_side(replay: &Replay, requests: &[Logged], by: Option<By>) -> Vec<Result<Weighed, Unfit>> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let share = requests.len().div_ceil(cores).max(1);
    let weigh = |requests: &[Logged]| -> Vec<_> { requests.iter().map(|request| replay.weigh(request, by)).collect() };
    thread::scope(|scope| {
        let weigh = &weigh;
        let working = requests.chunks(share).map(|part| (part.len(), scope.spawn(move || weigh(part))));
        let working: Vec<_> = working.collect();
        // A thread that panics has told so; it could make nothing of what it was given.
        let lost = |count| vec![Err(Unfit::Unreadable); count];
        working.into_iter().flat_map(|(count, thread)| thread.join().unwrap_or_else(|_| lost(count))).collect()
    })
}
