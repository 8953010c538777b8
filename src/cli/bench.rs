//! `mom bench`: measuring this machine.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::Failure;
use crate::bench::proxy;
use crate::config::parse_duration;
use crate::shutdown;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Latency added to going direct, requests per second, memory and cold start.
    ///
    /// Starts a loopback upstream and the gateway (a child process of this binary, minds off
    /// and on), and Envoy where its binary is given. Short slices take turns, so that a noisy
    /// machine is equally unkind to all.
    Proxy(Proxy),
}

#[derive(Debug, clap::Args)]
struct Proxy {
    /// Envoy's binary: measured beside the gateway, with one worker.
    #[arg(long, value_name = "PATH")]
    envoy: Option<PathBuf>,
    /// Leave the minds out.
    #[arg(long)]
    without_minds: bool,
    /// Connections of the many-connections scenarios.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// Turns each target gets.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// How long a turn lasts.
    #[arg(long, default_value = "150ms", value_parser = parse_duration)]
    slice: Duration,
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> Result<ExitCode, Failure> {
    let What::Proxy(args) = args.what;
    let plan = proxy::Plan {
        mom: std::env::current_exe()?,
        envoy: args.envoy,
        minds: !args.without_minds,
        connections: args.connections.into(),
        rounds: args.rounds.into(),
        slice: args.slice,
    };
    let mut progress = |step: &str| {
        // Nowhere is left to report a failing stderr.
        let _ = writeln!(io::stderr().lock(), "bench: {step}");
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let report = runtime.block_on(async {
        // Giving up ends the processes that are measured.
        tokio::select! {
            report = proxy::run(&plan, &mut progress) => report.map_err(|error| Failure::new(error.to_string())),
            asked = shutdown::signal() => Err(asked.map_or_else(Failure::from, |()| Failure::new("stopped early"))),
        }
    })?;
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", report.to_json())?
    } else {
        write!(out, "{report}")?
    }
    Ok(ExitCode::SUCCESS)
}
