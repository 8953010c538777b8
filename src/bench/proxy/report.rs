//! From slices to numbers: percentiles, what a proxy adds, ratios; as a table and as JSON.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::load::{Call, REPEATED, Slice};
use crate::bench::percentile;

pub(super) const MOM: &str = "mom, minds off";
pub(super) const MOM_WITH_MINDS: &str = "mom, minds on";
pub(super) const ENVOY: &str = "envoy";

/// Repeated requests a second to reach, on two cores.
const TARGET: f64 = 10_000.0;

/// All that was measured.
#[derive(Debug, Default)]
pub struct Report {
    pub(super) connections: usize,
    pub(super) scenarios: Vec<Scenario>,
    /// Where the minds are on.
    pub(super) repeated: Option<Repeated>,
    /// Start of the process to the first relayed answer, median of several.
    pub(super) cold_start: Vec<(&'static str, Duration)>,
    /// Resident bytes after the load.
    pub(super) memory: Vec<(&'static str, Option<u64>)>,
}

/// One kind of load on every target; the first target is the direct way.
#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) call: Call,
    pub(super) connections: usize,
    pub(super) targets: Vec<Target>,
}

/// Texts that were judged before, over HTTP.
#[derive(Debug)]
pub(super) struct Repeated {
    pub(super) connections: usize,
    pub(super) slices: Vec<Slice>,
}

#[derive(Debug)]
pub(super) struct Target {
    name: &'static str,
    slices: Vec<Slice>,
}

/// Microseconds and requests per second of one target.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    requests: usize,
    p50: f64,
    p99: f64,
    added_p50: f64,
    added_p99: f64,
    /// Streams: until the first event.
    first_added_p50: f64,
    per_second: f64,
}

impl Scenario {
    pub(super) fn new(call: Call, connections: usize) -> Self {
        Self { call, connections, targets: Vec::new() }
    }

    pub(super) fn title(&self) -> String {
        let kind = if self.call == Call::Streamed { "streamed" } else { "whole" };
        let plural = if self.connections == 1 { "" } else { "s" };
        format!("{kind} answers, {} connection{plural}", self.connections)
    }

    fn numbers(&self, target: &Target) -> Numbers {
        let direct = &self.targets[0];
        let mut whole: Vec<Duration> = target.slices.iter().flat_map(|slice| slice.whole.iter().copied()).collect();
        let mut base: Vec<Duration> = direct.slices.iter().flat_map(|slice| slice.whole.iter().copied()).collect();
        let elapsed: Duration = target.slices.iter().map(|slice| slice.elapsed).sum();
        let p99 = percentile(&mut whole, 0.99);
        Numbers {
            requests: whole.len(),
            p50: middle(target.slices.iter().map(|slice| percentile(&mut slice.whole.clone(), 0.5)).collect()),
            p99,
            added_p50: paired(target, direct, |slice| &slice.whole),
            added_p99: p99 - percentile(&mut base, 0.99),
            first_added_p50: paired(target, direct, |slice| &slice.first),
            per_second: whole.len() as f64 / elapsed.as_secs_f64(),
        }
    }
}

impl Repeated {
    fn times(&self) -> Vec<Duration> {
        self.slices.iter().flat_map(|slice| slice.whole.iter().copied()).collect()
    }

    fn per_second(&self) -> f64 {
        let elapsed: Duration = self.slices.iter().map(|slice| slice.elapsed).sum();
        self.times().len() as f64 / elapsed.as_secs_f64()
    }

    fn met(&self) -> bool {
        self.per_second() >= TARGET
    }

    fn to_json(&self) -> Value {
        let mut times = self.times();
        json!({
            "connections": self.connections, "texts": REPEATED, "requests": times.len(),
            "p50_us": round(percentile(&mut times, 0.5)), "p99_us": round(percentile(&mut times, 0.99)),
            "requests_per_second": round(self.per_second()), "target": TARGET, "met": self.met(),
        })
    }
}

impl Target {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, slices: Vec::new() }
    }

    pub(super) fn add(&mut self, slice: Slice) {
        self.slices.push(slice);
    }
}

/// The median, over rounds, of the difference of the two medians of one round: what drifts
/// from round to round cancels out.
fn paired(target: &Target, direct: &Target, times: fn(&Slice) -> &Vec<Duration>) -> f64 {
    let differences = target
        .slices
        .iter()
        .zip(&direct.slices)
        .map(|(one, other)| percentile(&mut times(one).clone(), 0.5) - percentile(&mut times(other).clone(), 0.5))
        .collect();
    middle(differences)
}

/// The median over rounds: a slow round has no less to say than a fast one with its many requests.
fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

impl Report {
    /// Everything, with units in the key names.
    pub fn to_json(&self) -> Value {
        let scenarios: Vec<Value> = self.scenarios.iter().map(Scenario::to_json).collect();
        let start: serde_json::Map<String, Value> = self
            .cold_start
            .iter()
            .map(|(name, time)| ((*name).to_owned(), json!(round(time.as_secs_f64() * 1e3))))
            .collect();
        let memory: serde_json::Map<String, Value> =
            self.memory.iter().map(|(name, bytes)| ((*name).to_owned(), json!(bytes.map(megabytes)))).collect();
        json!({
            "connections": self.connections, "scenarios": scenarios,
            "repeated_classify": self.repeated.as_ref().map(Repeated::to_json), "cold_start_ms": start, "resident_mb": memory,
            "cores": std::thread::available_parallelism().map(usize::from).ok(),
        })
    }
}

impl Scenario {
    fn to_json(&self) -> Value {
        let numbers: Vec<(&str, Numbers)> =
            self.targets.iter().map(|target| (target.name, self.numbers(target))).collect();
        let targets: Vec<Value> = numbers
            .iter()
            .map(|(name, numbers)| {
                json!({
                    "name": name, "requests": numbers.requests, "p50_us": round(numbers.p50), "p99_us": round(numbers.p99),
                    "added_p50_us": round(numbers.added_p50), "added_p99_us": round(numbers.added_p99),
                    "first_byte_added_p50_us": round(numbers.first_added_p50),
                    "requests_per_second": round(numbers.per_second),
                })
            })
            .collect();
        let ratio = against_envoy(&numbers).map(|(p50, per_second)| {
            json!({"added_p50": (p50 * 100.0).round() / 100.0, "requests_per_second": (per_second * 100.0).round() / 100.0})
        });
        json!({
            "stream": self.call == Call::Streamed, "connections": self.connections, "targets": targets, "mom_to_envoy": ratio
        })
    }
}

/// The gateway (minds off) divided by Envoy: added p50 and requests per second.
fn against_envoy(numbers: &[(&str, Numbers)]) -> Option<(f64, f64)> {
    let find = |wanted| numbers.iter().find(|(name, _)| *name == wanted).map(|(_, numbers)| numbers);
    let (mom, envoy) = (find(MOM)?, find(ENVOY)?);
    Some((mom.added_p50 / envoy.added_p50, mom.per_second / envoy.per_second))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for scenario in &self.scenarios {
            writeln!(f, "{}", scenario.title())?;
            let columns = ["p50 ms", "p99 ms", "added p50", "added p99", "first byte", "req/s", "requests"];
            write!(f, "  {:<16}", "")?;
            columns.iter().try_for_each(|column| write!(f, "{column:>11}"))?;
            writeln!(f)?;
            let mut all = Vec::new();
            for target in &scenario.targets {
                let numbers = scenario.numbers(target);
                write!(f, "  {:<16}{:>11.3}{:>11.3}", target.name, numbers.p50 / 1e3, numbers.p99 / 1e3)?;
                for added in [numbers.added_p50, numbers.added_p99, numbers.first_added_p50] {
                    write!(f, "{:>+11.3}", added / 1e3)?;
                }
                writeln!(f, "{:>11.0}{:>11}", numbers.per_second, numbers.requests)?;
                all.push((target.name, numbers));
            }
            if let Some((p50, per_second)) = against_envoy(&all) {
                writeln!(f, "  mom (minds off) / envoy: added p50 x{p50:.2}, requests per second x{per_second:.2}")?;
            }
            writeln!(f)?;
        }
        if let Some(repeated) = &self.repeated {
            let met = if repeated.met() { "yes" } else { "NO" };
            let (connections, per_second) = (repeated.connections, repeated.per_second());
            writeln!(f, "POST /v1/classify, {REPEATED} texts again and again, {connections} connections, minds on")?;
            writeln!(f, "  {per_second:.0} requests a second; target, two cores: ≥ {TARGET:.0}, met: {met}\n")?;
        }
        writeln!(f, "  {:<16}{:>13}{:>13}", "", "cold start ms", "resident MB")?;
        for ((name, start), (_, memory)) in self.cold_start.iter().zip(&self.memory) {
            let memory = memory.map_or("unknown".to_owned(), |bytes| format!("{:.1}", megabytes(bytes)));
            writeln!(f, "  {name:<16}{:>13.1}{memory:>13}", start.as_secs_f64() * 1e3)?;
        }
        Ok(())
    }
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn megabytes(bytes: u64) -> f64 {
    round(bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(millis: &[u64]) -> Slice {
        let times: Vec<Duration> = millis.iter().copied().map(Duration::from_millis).collect();
        Slice { first: times.clone(), whole: times, elapsed: Duration::from_secs(1) }
    }

    #[test]
    fn a_drifting_machine_cancels_out() {
        let (mut direct, mut through) = (Target::new("direct"), Target::new(MOM));
        for drift in [0, 10, 100, 20, 3] {
            direct.add(slice(&[1 + drift, 1 + drift, 9 + drift]));
            through.add(slice(&[3 + drift, 3 + drift, 12 + drift]));
        }
        let scenario = Scenario { call: Call::Whole, connections: 1, targets: vec![direct, through] };
        let numbers = scenario.numbers(&scenario.targets[1]);
        assert!((numbers.added_p50 - 2000.0).abs() < 0.1, "{numbers:?}");
        assert_eq!((numbers.requests, numbers.per_second), (15, 3.0));
        assert_eq!(scenario.numbers(&scenario.targets[0]).added_p50, 0.0);
    }

    #[test]
    fn a_rate_is_held_against_its_target() {
        let of = |requests: usize| {
            let slices = (0..2).map(|_| slice(&vec![1; requests])).collect();
            Repeated { connections: 16, slices }.to_json()
        };
        let (fast, slow) = (of(10_000), of(9_999));
        assert_eq!(
            (&fast["requests"], &fast["requests_per_second"], &fast["met"]),
            (&20_000.into(), &10_000.0.into(), &true.into())
        );
        assert_eq!((&slow["met"], &slow["target"]), (&false.into(), &10_000.0.into()));
    }
}
