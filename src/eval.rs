//! Metrics of labelled data. Pure: outcomes in, numbers out; nothing is fitted here.
//!
//! Every metric is a function of a weight per row, so that the same code gives the value
//! (all weights 1) and its 95 % bootstrap interval (weights from resampling).

pub mod binomial;
pub mod frontier;
pub mod intent;
pub mod jailbreak;
pub mod math;
pub mod pii;
pub mod routing;
pub mod similarity;
pub mod stats;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A metrics object under construction.
#[derive(Debug, Default)]
pub struct Report(Map<String, Value>);

impl Report {
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_owned(), value.into());
    }

    /// A number, rounded; `null` where it is not defined.
    pub fn number(&mut self, key: &str, value: Option<f64>) {
        self.set(key, rounded(value));
    }

    /// A metric over `rows` rows and its interval, as `key` and `key_ci95`.
    pub fn metric(&mut self, key: &str, rows: usize, metric: impl Fn(&[f64]) -> Option<f64>) {
        self.stratified(key, &[rows], metric);
    }

    /// The same over groups of rows, each resampled on its own.
    pub fn stratified(&mut self, key: &str, groups: &[usize], metric: impl Fn(&[f64]) -> Option<f64>) {
        self.number(key, metric(&vec![1.0; groups.iter().sum()]));
        let interval = stats::stratified(groups, metric);
        self.set(&format!("{key}_ci95"), interval.map(|(low, high)| vec![rounded(Some(low)), rounded(Some(high))]));
    }

    /// The exact 95 % interval of a share of `trials`, as `key_exact_ci95`: where next to nothing was
    /// counted, a bootstrap knows nothing.
    pub fn exact(&mut self, key: &str, hits: usize, trials: usize) {
        let interval = binomial::interval(hits, trials);
        let ends = interval.map(|(low, high)| vec![rounded(Some(low)), rounded(Some(high))]);
        self.set(&format!("{key}_exact_ci95"), ends);
    }

    /// What `measure` says of the rows with each value of a field, as `key`; nothing where no row
    /// has the field.
    pub fn by<'a, R>(
        &mut self,
        key: &str,
        rows: &'a [R],
        field: impl Fn(&'a R) -> Option<&'a str>,
        measure: impl Fn(&[&'a R]) -> Self,
    ) {
        let mut groups: BTreeMap<&str, Vec<&R>> = BTreeMap::new();
        for row in rows {
            if let Some(name) = field(row) {
                groups.entry(name).or_default().push(row);
            }
        }
        if !groups.is_empty() {
            let parts = groups.into_iter().map(|(name, rows)| (name.to_owned(), measure(&rows).into_json()));
            self.set(key, parts.collect::<Map<_, _>>());
        }
    }

    /// Adds everything `other` says.
    pub fn append(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub fn into_json(self) -> Value {
        self.0.into()
    }
}

fn rounded(value: Option<f64>) -> Value {
    value.filter(|value| value.is_finite()).map_or(Value::Null, |value| ((value * 1e6).round() / 1e6 + 0.0).into())
}
