//! What judging costs: times, rates and memory of all minds together, beside a naive stack in
//! the same run, taking turns with it, so that the gain reads as a ratio.
//!
//! In process: no HTTP is measured here (see [`super::proxy`]).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

mod decoders;
mod load;
mod report;
mod texts;

pub use report::Report;

use super::host::{Host, Memory};
use crate::config::{Exemplar, Folders, Mind, Provider};
use crate::minds::{LoadError, Minds, library};
use load::{Sample, Stack};
use report::{Measure, Unit};
use texts::Texts;

/// Tokens of a request.
const SHORT: usize = 32;
const MEDIUM: usize = 512;
const LONG: usize = 8000;

/// Turns that each stack gets in a row.
const ROUNDS: u32 = 5;

/// Long requests that are judged, however short the row.
const LEAST_LONG: usize = 3;

/// Texts that are asked again and again.
const REPEATED: usize = 64;

/// What to measure and for how long.
#[derive(Clone, Debug)]
pub struct Plan {
    pub folders: Folders,
    /// By role; those switched off are left out.
    pub minds: BTreeMap<String, Mind>,
    /// Decoder minds, by role; each base is measured by itself.
    pub decoders: BTreeMap<String, Mind>,
    pub exemplars: BTreeMap<String, Exemplar>,
    /// What the minds may remember; the naive stack remembers nothing.
    pub cache_bytes: usize,
    /// How long a row takes, both stacks together. Long requests may need more.
    pub row: Duration,
    /// Requests in flight where many are; left out, as many as suit what runs.
    pub clients: Option<usize>,
    /// Also measure requests of 8,000 tokens, which take most of the time.
    pub long: bool,
}

/// What differs between two cores and a graphics card: distinct short requests a second to
/// reach, and how many are in flight.
const ON_CPU: (f64, usize) = (600.0, 32);
const ON_CARD: (f64, usize) = (10_000.0, 512);

/// Requests in flight, at most, where the plan leaves them out.
pub const MOST_CLIENTS: usize = ON_CARD.1;

/// The minds, the naive stack, and what they are asked.
struct Bench<'a> {
    plan: &'a Plan,
    /// The target for distinct requests a second.
    rate: f64,
    clients: usize,
    ours: Stack,
    naive: Stack,
    texts: Arc<Mutex<Texts>>,
}

/// Runs the plan; says on `progress` what it is doing.
pub async fn run(plan: &Plan, progress: &mut dyn FnMut(&str)) -> Result<Report, LoadError> {
    progress("loading the minds");
    let before = Memory::of("self");
    let started = Instant::now();
    let minds = Minds::open_with_cache(&plan.folders, &plan.minds, &plan.exemplars, plan.cache_bytes)?;
    let load_time = started.elapsed();
    let texts = Arc::new(Mutex::new(Texts::new(&minds).await));
    let status = minds.status();
    let on_card = status.iter().all(|mind| mind.provider != Provider::Cpu);
    let (rate, clients) = if on_card { ON_CARD } else { ON_CPU };
    let clients = plan.clients.unwrap_or(clients);
    let ours = Stack([minds].into());
    ours.warm_up(&texts, clients).await;
    let loaded = Memory::of("self");

    progress("loading the naive stack");
    let started = Instant::now();
    // A session for each mind and no more; for speed it gets all the threads.
    let naive = one_by_one(plan, Some(1))?;
    let naive_load_time = started.elapsed();
    naive.warm_up(&texts, 1).await;
    let naive_loaded = Memory::of("self");
    drop(naive);
    let naive = one_by_one(plan, None)?;
    naive.warm_up(&texts, 1).await;

    let bench = Bench { plan, rate, clients, ours, naive, texts };
    let mut measures = bench.rows(progress).await;
    let decoders = decoders::rows(plan, &bench.ours, &bench.texts, progress).await?;
    measures.extend(memory(before, loaded, naive_loaded));
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    measures.push(
        Measure::new("load_ms", "load time", Unit::Milliseconds, milliseconds(load_time))
            .naive(milliseconds(naive_load_time)),
    );
    measures.extend(decoders);
    let on = || plan.minds.values().filter(|mind| mind.enabled);
    Ok(Report {
        host: Host::here(),
        library: library(),
        wanted: on().find_map(|mind| mind.execution_providers.first().copied()).unwrap_or(Provider::Cpu),
        minds: status,
        threads: on().map(|mind| mind.threads).max().unwrap_or(0),
        clients,
        measures,
    })
}

/// Each mind by itself and without a memory: what a stack with one classifier for each question does.
fn one_by_one(plan: &Plan, threads: Option<usize>) -> Result<Stack, LoadError> {
    let on = plan.minds.iter().filter(|(_, mind)| mind.enabled);
    let alone = on.map(|(role, mind)| {
        let mind = Mind { batch: Some(1), threads: threads.unwrap_or(mind.threads), ..mind.clone() };
        let alone = BTreeMap::from([(role.clone(), mind)]);
        Minds::open_with_cache(&plan.folders, &alone, &plan.exemplars, 0)
    });
    Ok(Stack(alone.collect::<Result<_, _>>()?))
}

impl Stack {
    /// Every length once, and many at once: buffers grow to what they need.
    async fn warm_up(&self, texts: &Arc<Mutex<Texts>>, clients: usize) {
        for tokens in [SHORT, MEDIUM] {
            self.in_turn(texts, tokens, Instant::now(), 2).await;
        }
        self.at_once(texts, SHORT, clients, Instant::now() + Duration::from_millis(300)).await;
    }
}

impl Bench<'_> {
    async fn rows(&self, progress: &mut dyn FnMut(&str)) -> Vec<Measure> {
        let mut measures = Vec::new();
        progress("one request after the other");
        let (ours, naive) = self.in_turn(SHORT, 1).await;
        for (key, share, title, target) in [
            ("short_p50_ms", 0.5, "32 tokens, one request, p50", 3.0),
            ("short_p99_ms", 0.99, "32 tokens, one request, p99", 8.0),
        ] {
            measures.push(timed(key, title, share, &ours, &naive).target(target));
        }
        let (ours, naive) = self.in_turn(MEDIUM, 1).await;
        measures.push(timed("medium_p50_ms", "512 tokens, one request, p50", 0.5, &ours, &naive).target(60.0));
        if self.plan.long {
            progress("long requests");
            measures.extend(self.long().await);
        }
        progress("many requests at once");
        measures.extend(self.rates().await);
        measures
    }

    /// Long requests alone, and with short ones beside them.
    async fn long(&self) -> [Measure; 4] {
        let (ours, naive) = self.in_turn(LONG, LEAST_LONG).await;
        let alone = timed("long_p50_ms", "8,000 tokens, one request, p50", 0.5, &ours, &naive);
        let (time, pair) = (self.plan.row / 2, (LONG, SHORT));
        let ours = self.ours.beside(&self.texts, pair, Instant::now() + time, LEAST_LONG).await;
        let naive = self.naive.beside(&self.texts, pair, Instant::now() + time, 1).await;
        // Not starved: a short request waits for a pass or two, not for the long one.
        let starved = timed("short_beside_p99_ms", "32 tokens beside 8,000, p99", 0.99, &ours.1, &naive.1);
        [
            alone.target(1000.0),
            timed("long_beside_p50_ms", "8,000 tokens beside short ones, p50", 0.5, &ours.0, &naive.0),
            timed("short_beside_p50_ms", "32 tokens beside 8,000, p50", 0.5, &ours.1, &naive.1),
            starved.target(100.0),
        ]
    }

    /// Both stacks in turn, one request after the other.
    async fn in_turn(&self, tokens: usize, least: usize) -> (Sample, Sample) {
        let (mut ours, mut naive) = (Sample::default(), Sample::default());
        let (started, turn) = (Instant::now(), self.plan.row / (2 * ROUNDS));
        while ours.times.is_empty() || started.elapsed() < self.plan.row {
            ours.add(self.ours.in_turn(&self.texts, tokens, Instant::now() + turn, least).await);
            naive.add(self.naive.in_turn(&self.texts, tokens, Instant::now() + turn, 1).await);
        }
        (ours, naive)
    }

    async fn rates(&self) -> [Measure; 2] {
        let (clients, turn) = (self.clients, self.plan.row / (2 * ROUNDS));
        let (mut ours, mut naive) = (Sample::default(), Sample::default());
        for _ in 0..ROUNDS {
            ours.add(self.ours.at_once(&self.texts, SHORT, clients, Instant::now() + turn).await);
            naive.add(self.naive.at_once(&self.texts, SHORT, clients, Instant::now() + turn).await);
        }
        let known: Arc<[String]> = load::several(&self.texts, SHORT, REPEATED);
        // Once, so that each of them has been judged before.
        self.ours.once(&known).await;
        let again = self.ours.again(&known, clients, Instant::now() + self.plan.row / 2).await;
        // A stack without a memory judges again what it judged before.
        let forgetful = naive.per_second();
        let title = format!("distinct, 32 tokens, {clients} at once");
        [
            Measure::new("distinct_per_second", title, Unit::PerSecond, ours.per_second())
                .of(&ours)
                .naive(naive.per_second())
                .target(self.rate),
            Measure::new("repeated_per_second", "repeated, 32 tokens, in process", Unit::PerSecond, again.per_second())
                .of(&again)
                .naive(forgetful),
        ]
    }
}

fn timed(key: &'static str, title: &str, share: f64, ours: &Sample, naive: &Sample) -> Measure {
    timed_alone(key, title, share, ours).naive(naive.percentile(share))
}

fn timed_alone(key: impl Into<String>, title: &str, share: f64, sample: &Sample) -> Measure {
    Measure::new(key, title, Unit::Milliseconds, sample.percentile(share)).of(sample)
}

/// `before` the minds were loaded, with them, and with the naive stack on top.
fn memory(before: Option<Memory>, loaded: Option<Memory>, naive: Option<Memory>) -> [Measure; 2] {
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let resident = loaded.map_or(f64::NAN, |loaded| megabytes(loaded.resident));
    let peak = loaded.map_or(f64::NAN, |loaded| megabytes(loaded.peak));
    let naive = before.zip(loaded).zip(naive).map_or(f64::NAN, |((before, loaded), naive)| {
        megabytes(before.resident + naive.resident.saturating_sub(loaded.resident))
    });
    [
        Measure::new("resident_mb", "memory, minds loaded, resident", Unit::Megabytes, resident)
            .naive(naive)
            .target(250.0),
        Measure::new("peak_mb", "memory, minds loaded, peak", Unit::Megabytes, peak),
    ]
}
