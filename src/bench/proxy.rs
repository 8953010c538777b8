//! What the gateway costs: latency against going direct, requests per second, memory, cold
//! start; beside Envoy where its binary is given. And how many known texts it judges a second.
//!
//! Everything is measured in one run, in short slices that take turns, so that a noisy
//! machine is equally unkind to all. The gateway and Envoy are processes of their own; load
//! and upstream are this process. It measures loopback, not a network.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

mod load;
mod process;
mod report;
mod upstream;

pub use report::Report;

use load::{Call, Connection, Slice};
use process::Process;
use report::{Repeated, Scenario, Target};

/// What to measure and for how long.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The `mom` binary to start as the gateway.
    pub mom: PathBuf,
    /// Envoy's binary, started with one worker.
    pub envoy: Option<PathBuf>,
    /// Also measure with the four minds on.
    pub minds: bool,
    /// Connections of the many-connections scenarios.
    pub connections: usize,
    /// How often each target gets its turn.
    pub rounds: usize,
    /// How long a turn lasts.
    pub slice: Duration,
}

#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{target} did not come up: {why}")]
    Start { target: &'static str, why: String },
    #[error("{target}: {error}")]
    Exchange { target: &'static str, error: io::Error },
}

const STARTS: usize = 5;

/// Runs the plan; says on `progress` what it is doing.
pub async fn run(plan: &Plan, progress: &mut dyn FnMut(&str)) -> Result<Report, BenchError> {
    let upstream = upstream::Upstream::start().await?;
    let mut report = Report { connections: plan.connections, ..Report::default() };
    let mut processes = Vec::new();
    for name in names(plan) {
        progress(&format!("starting {name}, {STARTS} times"));
        let mut cold_starts = Vec::new();
        let mut started = start(plan, name, upstream.addr).await?;
        cold_starts.push(started.cold_start);
        while cold_starts.len() < STARTS {
            drop(started);
            started = start(plan, name, upstream.addr).await?;
            cold_starts.push(started.cold_start);
        }
        cold_starts.sort();
        report.cold_start.push((name, cold_starts[STARTS / 2]));
        processes.push((name, started));
    }
    let mut targets = vec![("direct", upstream.addr)];
    targets.extend(processes.iter().map(|(name, process)| (*name, process.addr)));
    let many = plan.connections;
    for (call, connections) in [(Call::Whole, 1), (Call::Streamed, 1), (Call::Whole, many), (Call::Streamed, many)] {
        let scenario = Scenario::new(call, connections);
        progress(&format!("measuring {}", scenario.title()));
        report.scenarios.push(measure(plan, scenario, &targets).await?);
    }
    if let Some((name, process)) = processes.iter().find(|(name, _)| *name == report::MOM_WITH_MINDS) {
        progress("measuring repeated /v1/classify");
        report.repeated = Some(repeated(plan, name, process.addr).await?);
    }
    report.memory = processes.iter().map(|(name, process)| (*name, process.resident())).collect();
    Ok(report)
}

fn names(plan: &Plan) -> Vec<&'static str> {
    let mut names = vec![report::MOM];
    names.extend(plan.minds.then_some(report::MOM_WITH_MINDS));
    names.extend(plan.envoy.as_ref().map(|_| report::ENVOY));
    names
}

async fn start(plan: &Plan, name: &'static str, upstream: SocketAddr) -> Result<Process, BenchError> {
    match &plan.envoy {
        Some(envoy) if name == report::ENVOY => Process::envoy(envoy, upstream).await,
        _ => Process::mom(&plan.mom, name, name == report::MOM_WITH_MINDS, upstream).await,
    }
}

/// One scenario: every target gets a slice per round, in an order that rotates.
async fn measure(
    plan: &Plan,
    mut scenario: Scenario,
    targets: &[(&'static str, SocketAddr)],
) -> Result<Scenario, BenchError> {
    let mut connections = Vec::new();
    for (name, addr) in targets {
        let mut pool = open(name, *addr, scenario.connections).await?;
        // A warm-up: connections upstream, code paths, the minds' buffers.
        slice(&mut pool, name, scenario.call, plan.slice).await?;
        connections.push(pool);
        scenario.targets.push(Target::new(name));
    }
    for round in 0..plan.rounds {
        for turn in 0..targets.len() {
            let index = (round + turn) % targets.len();
            let slice = slice(&mut connections[index], targets[index].0, scenario.call, plan.slice).await?;
            scenario.targets[index].add(slice);
        }
    }
    Ok(scenario)
}

/// The same texts again and again. Each has been judged before.
async fn repeated(plan: &Plan, name: &'static str, addr: SocketAddr) -> Result<Repeated, BenchError> {
    let failed = |error| BenchError::Exchange { target: name, error };
    let mut pool = open(name, addr, plan.connections).await?;
    for _ in 0..load::REPEATED {
        pool[0].ask(Call::Classify).await.map_err(failed)?;
        if pool[0].said(b"\"unavailable\"") {
            return Err(failed(io::Error::other("a verdict is unavailable: nothing to remember")));
        }
    }
    slice(&mut pool, name, Call::Classify, plan.slice).await?;
    let mut slices = Vec::new();
    for _ in 0..plan.rounds {
        slices.push(slice(&mut pool, name, Call::Classify, plan.slice).await?);
    }
    Ok(Repeated { connections: plan.connections, slices })
}

async fn open(name: &'static str, addr: SocketAddr, connections: usize) -> Result<Vec<Connection>, BenchError> {
    let mut pool = Vec::new();
    for _ in 0..connections {
        pool.push(Connection::open(addr).await.map_err(|error| BenchError::Exchange { target: name, error })?);
    }
    Ok(pool)
}

/// All connections of one target, each asking again and again until the time is over.
async fn slice(pool: &mut [Connection], target: &'static str, call: Call, time: Duration) -> Result<Slice, BenchError> {
    load::slice(pool, call, time).await.map_err(|error| BenchError::Exchange { target, error })
}
