//! `mom bench`: measuring this machine.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::judging::Choice;
use super::{Failure, named};
use crate::bench::{minds, proxy};
use crate::config::{Mind, Provider, ROLES, parse_duration};
use crate::minds::registry;
use crate::shutdown;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// What judging costs: times by length, requests per second, memory, each against its target.
    ///
    /// Beside the minds runs a naive stack, one session for each mind, so that the gain reads as
    /// a ratio: a noisy machine is equally unkind to both.
    Minds(MindsArgs),
    /// Latency added to going direct, requests per second, memory and cold start; with the minds
    /// on also how many known texts `/v1/classify` judges a second.
    ///
    /// Starts a loopback upstream and the gateway (a child process of this binary, minds off
    /// and on), and Envoy where its binary is given. Short slices take turns, so that a noisy
    /// machine is equally unkind to all.
    Proxy(Proxy),
}

#[derive(Debug, clap::Args)]
struct MindsArgs {
    /// Run on this execution provider: cpu, cuda or tensorrt. One that cannot be used is told, and
    /// the next is measured.
    #[arg(long, value_name = "PROVIDER", value_parser = named::<Provider>)]
    provider: Option<Provider>,
    /// How long a row takes, in seconds; long requests may need more.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=600))]
    seconds: u16,
    /// Requests in flight where many are [default: 32; 512 for a graphics card].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=4096))]
    clients: Option<u16>,
    /// Leave out requests of 8,000 tokens, which take most of the time.
    #[arg(long)]
    without_long: bool,
    /// Take the minds and their settings from this configuration instead of the models' own.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
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
    match args.what {
        What::Minds(args) => minds(args),
        What::Proxy(args) => proxy(args),
    }
}

fn minds(args: MindsArgs) -> Result<ExitCode, Failure> {
    let mut choice = Choice::new(args.config.as_deref())?;
    let clients = args.clients.map(usize::from);
    choice.be_patient(clients.unwrap_or(minds::MOST_CLIENTS));
    if let Some(provider) = args.provider {
        // What cannot be used, the next takes over.
        let mut providers = vec![Provider::Tensorrt, Provider::Cuda, Provider::Cpu];
        providers.drain(..providers.iter().position(|one| *one == provider).unwrap_or(0));
        choice.minds.values_mut().for_each(|mind| mind.execution_providers.clone_from(&providers));
    }
    if choice.names().next().is_none() {
        return Err(Failure::config("the configuration switches every mind off"));
    }
    let decoders = decoders(&mut choice)?;
    let plan = minds::Plan {
        folders: choice.folders,
        minds: choice.minds,
        decoders,
        exemplars: choice.exemplars,
        cache_bytes: choice.cache_bytes,
        row: Duration::from_secs(args.seconds.into()),
        clients,
        long: !args.without_long,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build()?;
    let report = runtime.block_on(minds::run(&plan, &mut tell)).map_err(|error| Failure::config(error.to_string()))?;
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", report.to_json())?
    } else {
        write!(out, "{report}")?
    }
    Ok(ExitCode::SUCCESS)
}

/// Takes the decoders out of the choice; where it has none, those on disk whose base is there.
fn decoders(choice: &mut Choice) -> Result<BTreeMap<String, Mind>, Failure> {
    let configured: Vec<String> = choice.minds.keys().filter(|role| !ROLES.contains(&role.as_str())).cloned().collect();
    let mut found: BTreeMap<String, Mind> = configured
        .into_iter()
        .filter_map(|role| choice.minds.remove_entry(&role))
        .filter(|(_, mind)| mind.enabled)
        .collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let entries = registry::scan(&choice.folders.models_dir, []).map_err(|error| Failure::new(error.to_string()))?;
    for folder in entries.into_iter().filter_map(|entry| entry.folder.ok()) {
        let Some(stand) = &folder.manifest.decoder else { continue };
        let name = folder.manifest.name.to_string();
        if !choice.folders.bases_dir.join(&stand.base).is_dir() {
            tell(&format!("{name} is left out: its base {} is not there (`make models`)", stand.base));
            continue;
        }
        let like = choice.minds.values().next().cloned().unwrap_or_default();
        found.insert(folder.manifest.role(), Mind { model: name, ..like });
    }
    Ok(found)
}

/// Says on stderr what is being measured.
fn tell(step: &str) {
    // Nowhere is left to report a failing stderr.
    let _ = writeln!(io::stderr().lock(), "bench: {step}");
}

fn proxy(args: Proxy) -> Result<ExitCode, Failure> {
    let plan = proxy::Plan {
        mom: std::env::current_exe()?,
        envoy: args.envoy,
        minds: !args.without_minds,
        connections: args.connections.into(),
        rounds: args.rounds.into(),
        slice: args.slice,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut progress = tell;
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
