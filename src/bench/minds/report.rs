//! What was measured, against its target and the naive stack; as a table and as JSON.

use std::fmt;

use serde_json::{Value, json};

use super::load::Sample;
use crate::bench::host::Host;
use crate::config::Provider;
use crate::minds::MindStatus;

/// All that was measured.
#[derive(Debug)]
pub struct Report {
    pub(super) host: Host,
    /// Path and build of ONNX Runtime.
    pub(super) library: Option<String>,
    pub(super) wanted: Provider,
    pub(super) minds: Vec<MindStatus>,
    /// As configured; 0 is one for each core.
    pub(super) threads: usize,
    pub(super) clients: usize,
    pub(super) measures: Vec<Measure>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Milliseconds,
    PerSecond,
    Megabytes,
}

/// One number.
#[derive(Clone, Debug)]
pub(super) struct Measure {
    /// Stable; scripts look it up.
    pub(super) key: String,
    pub(super) title: String,
    pub(super) unit: Unit,
    /// Not a number where it could not be had.
    pub(super) value: f64,
    pub(super) target: Option<f64>,
    pub(super) naive: Option<f64>,
    /// Requests behind `value`, their mean tokens, and how many lack a verdict.
    pub(super) requests: usize,
    pub(super) tokens: f64,
    pub(super) incomplete: usize,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::PerSecond => "/s",
            Self::Megabytes => "MB",
        }
    }

    /// How much better `value` is than `other`: above 1 is better.
    fn gain(self, value: f64, other: f64) -> f64 {
        if self == Self::PerSecond { value / other } else { other / value }
    }
}

impl Measure {
    pub(super) fn new(key: impl Into<String>, title: impl Into<String>, unit: Unit, value: f64) -> Self {
        let (key, title) = (key.into(), title.into());
        Self { key, title, unit, value, target: None, naive: None, requests: 0, tokens: f64::NAN, incomplete: 0 }
    }

    pub(super) fn of(mut self, sample: &Sample) -> Self {
        self.requests = sample.times.len();
        self.tokens = sample.tokens as f64 / self.requests as f64;
        self.incomplete = sample.incomplete;
        self
    }

    /// At most for times and memory, at least for rates.
    pub(super) fn target(mut self, target: f64) -> Self {
        self.target = Some(target);
        self
    }

    pub(super) fn naive(mut self, naive: f64) -> Self {
        self.naive = Some(naive);
        self
    }

    /// A request without its verdicts is no success, however fast.
    fn met(&self) -> Option<bool> {
        self.target.map(|target| self.incomplete == 0 && self.unit.gain(self.value, target) >= 1.0)
    }

    fn gain(&self) -> Option<f64> {
        self.naive.map(|naive| self.unit.gain(self.value, naive))
    }

    fn to_json(&self) -> Value {
        json!({
            "key": self.key, "title": self.title, "unit": self.unit.name(), "value": rounded(self.value),
            "target": self.target, "met": self.met(), "naive": self.naive.and_then(rounded),
            "gain": self.gain().and_then(rounded), "requests": self.requests, "tokens": rounded(self.tokens),
            "incomplete": self.incomplete,
        })
    }
}

impl Report {
    /// The provider that ran: where minds differ, one that was not wanted.
    fn provider(&self) -> Provider {
        let mut ran = self.minds.iter().map(|mind| mind.provider);
        ran.find(|provider| *provider != self.wanted).unwrap_or(self.wanted)
    }

    fn fell_back(&self) -> bool {
        self.provider() != self.wanted
    }

    pub fn to_json(&self) -> Value {
        let minds = self.minds.iter().map(
            |mind| json!({"role": mind.role, "name": &*mind.name, "provider": mind.provider, "refused": mind.refused}),
        );
        json!({
            "provider_wanted": self.wanted, "provider": self.provider(), "fell_back": self.fell_back(),
            "verdicts": self.minds.len(), "minds": minds.collect::<Vec<_>>(),
            "host": {"cpu": self.host.cpu, "cores": self.host.cores, "onnx_runtime": self.library},
            "threads": self.threads, "clients": self.clients,
            "rows": self.measures.iter().map(Measure::to_json).collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let provider = self.provider();
        if self.fell_back() {
            writeln!(f, "NOT ON {}: it cannot be used here, everything below ran on {provider}.", self.wanted)?;
            let refused = self.minds.first().map_or(&[][..], |mind| &mind.refused);
            refused.iter().try_for_each(|refusal| writeln!(f, "  {}: {}", refusal.provider, refusal.why))?;
            writeln!(f)?;
        }
        writeln!(f, "{} verdicts a request, on {provider}", self.minds.len())?;
        let cpu = self.host.cpu.as_deref().unwrap_or("unknown processor");
        let cores = self.host.cores.map_or_else(|| "?".to_owned(), |cores| cores.to_string());
        let threads = if self.threads == 0 { "one a core".to_owned() } else { self.threads.to_string() };
        writeln!(f, "{cpu}, {cores} cores; threads: {threads}")?;
        writeln!(f, "ONNX Runtime: {}\n", self.library.as_deref().unwrap_or("unknown"))?;
        let head = ["measured", "target", "met", "naive", "gain"];
        write!(f, "{:<47}", "")?;
        head.iter().try_for_each(|column| write!(f, "{column:>13}"))?;
        writeln!(f)?;
        for measure in &self.measures {
            writeln!(f, "{measure}")?;
        }
        writeln!(
            f,
            "\nnaive: the same graph once for each mind, asked one after the other, a window a pass. Texts are English, \
             distinct, and counted by the minds' own tokenizer; times include tokenisation. Targets are those of two \
             cores, and for distinct requests those of a graphics card where one ran."
        )
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = self.unit.name();
        let number = |value: f64| if value.is_finite() { format!("{} {unit}", short(value)) } else { "-".to_owned() };
        let sign = if self.unit == Unit::PerSecond { '≥' } else { '≤' };
        let target = self.target.map_or(String::new(), |target| format!("{sign} {} {unit}", short(target)));
        let met = self.met().map_or("", |met| if met { "yes" } else { "NO" });
        let naive = self.naive.map_or(String::new(), number);
        let gain = self.gain().filter(|gain| gain.is_finite()).map_or(String::new(), |gain| format!("x{gain:.2}"));
        write!(f, "{:<47}{:>13}{target:>13}{met:>13}{naive:>13}{gain:>13}", self.title, number(self.value))?;
        if self.incomplete > 0 {
            write!(f, "  {} of {} lack a verdict", self.incomplete, self.requests)?;
        }
        Ok(())
    }
}

/// Three digits or all before the point.
fn short(value: f64) -> String {
    match value {
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

fn rounded(value: f64) -> Option<f64> {
    value.is_finite().then(|| (value * 1e3).round() / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(unit: Unit, value: f64) -> Measure {
        Measure::new("key", "title", unit, value)
    }

    #[test]
    fn better_is_less_time_and_memory_and_a_higher_rate() {
        let time = measure(Unit::Milliseconds, 2.0).target(3.0).naive(8.0);
        assert_eq!((time.met(), time.gain()), (Some(true), Some(4.0)));
        assert_eq!(time.clone().target(1.9).met(), Some(false));
        let rate = measure(Unit::PerSecond, 900.0).target(600.0).naive(300.0);
        assert_eq!((rate.met(), rate.gain()), (Some(true), Some(3.0)));
        assert_eq!(rate.target(901.0).met(), Some(false));
        assert_eq!(measure(Unit::Megabytes, 250.0).target(250.0).met(), Some(true));
        assert_eq!((measure(Unit::Megabytes, 1.0).met(), measure(Unit::Megabytes, 1.0).gain()), (None, None));
    }

    #[test]
    fn what_was_not_judged_or_not_measured_meets_no_target() {
        let mut fast = measure(Unit::Milliseconds, 0.1).target(3.0);
        fast.incomplete = 1;
        assert_eq!(fast.met(), Some(false));
        let unknown = measure(Unit::Megabytes, f64::NAN).target(250.0);
        assert_eq!((unknown.met(), &unknown.to_json()["value"]), (Some(false), &Value::Null));
    }

    #[test]
    fn a_fallback_is_told_first() {
        let mind = |provider| MindStatus {
            role: "jailbreak".into(),
            name: "mom-jailbreak-flash".into(),
            provider,
            refused: Vec::new(),
            ready: true,
            warm_up: std::time::Duration::ZERO,
        };
        let mut report = Report {
            host: Host { cpu: None, cores: None },
            library: None,
            wanted: Provider::Cuda,
            minds: vec![mind(Provider::Cuda), mind(Provider::Cpu)],
            threads: 0,
            clients: 1,
            measures: Vec::new(),
        };
        let json = report.to_json();
        assert_eq!(
            (&json["provider_wanted"], &json["provider"], &json["fell_back"]),
            (&"cuda".into(), &"cpu".into(), &true.into())
        );
        assert!(report.to_string().starts_with("NOT ON cuda"), "{report}");
        report.minds.truncate(1);
        assert_eq!((&report.to_json()["provider"], &report.to_json()["fell_back"]), (&"cuda".into(), &false.into()));
        assert!(!report.to_string().contains("NOT ON"), "{report}");
    }
}
