//! Category and complexity.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::stats::{f1, ratio};
use super::{Report, groups};

/// Bins of the calibration error.
const BINS: usize = 15;

/// One labelled text and what was said of it.
#[derive(Clone, Debug)]
pub struct Row {
    pub truth: String,
    pub predicted: String,
    /// Probability of `predicted`.
    pub confidence: f64,
    /// Whether the complexity was right, where the row has one.
    pub complexity_right: Option<bool>,
    pub source: Option<String>,
    pub domain: Option<String>,
}

/// `accuracy, macro_f1, ece, recall, confusion, complexity_accuracy`, then by group.
pub fn report(rows: &[Row]) -> Report {
    let all: Vec<&Row> = rows.iter().collect();
    let mut report = measure(&all);
    report.set("recall", recall(&all));
    report.set("confusion", confusion(&all));
    for (key, by) in [
        ("by_source", groups(rows, |row| row.source.as_deref())),
        ("by_domain", groups(rows, |row| row.domain.as_deref())),
    ] {
        if !by.is_empty() {
            let parts = by.into_iter().map(|(name, rows)| (name.to_owned(), measure(&rows).into_json()));
            report.set(key, parts.collect::<serde_json::Map<_, _>>());
        }
    }
    report
}

fn measure(rows: &[&Row]) -> Report {
    let mut report = Report::default();
    report.set("n", rows.len());
    report.metric("accuracy", rows.len(), |weights| {
        let right = rows.iter().zip(weights).filter(|(row, _)| row.truth == row.predicted);
        ratio(right.map(|(_, weight)| weight).sum(), weights.iter().sum())
    });
    report.metric("macro_f1", rows.len(), |weights| macro_f1(rows, weights));
    report.number("ece", calibration_error(rows));
    let known: Vec<bool> = rows.iter().filter_map(|row| row.complexity_right).collect();
    if !known.is_empty() {
        report.set("complexity_n", known.len());
        report.metric("complexity_accuracy", known.len(), |weights| {
            let right = known.iter().zip(weights).filter(|(right, _)| **right);
            ratio(right.map(|(_, weight)| weight).sum(), weights.iter().sum())
        });
    }
    report
}

/// Mean F1 over the labels that occur.
fn macro_f1(rows: &[&Row], weights: &[f64]) -> Option<f64> {
    // Right, predicted, true, by label.
    let mut counts: BTreeMap<&str, [f64; 3]> = BTreeMap::new();
    for (row, weight) in rows.iter().zip(weights) {
        counts.entry(&row.predicted).or_default()[1] += weight;
        let truth = counts.entry(&row.truth).or_default();
        truth[2] += weight;
        truth[0] += if row.truth == row.predicted { *weight } else { 0.0 };
    }
    let scores: Vec<f64> = counts
        .into_values()
        .filter(|[_, _, truth]| *truth > 0.0)
        .filter_map(|[right, predicted, truth]| f1(right, predicted - right, truth - right))
        .collect();
    ratio(scores.iter().sum(), scores.len() as f64)
}

/// Expected calibration error of the winning label, equal-width bins.
fn calibration_error(rows: &[&Row]) -> Option<f64> {
    let mut bins = [[0.0_f64; 2]; BINS];
    for row in rows {
        let bin = ((row.confidence * BINS as f64) as usize).min(BINS - 1);
        bins[bin][0] += row.confidence;
        bins[bin][1] += f64::from(u8::from(row.truth == row.predicted));
    }
    ratio(bins.iter().map(|[confidence, right]| (confidence - right).abs()).sum(), rows.len() as f64)
}

fn recall(rows: &[&Row]) -> Value {
    let mut counts: BTreeMap<&str, [f64; 2]> = BTreeMap::new();
    for row in rows {
        let count = counts.entry(&row.truth).or_default();
        count[0] += f64::from(u8::from(row.truth == row.predicted));
        count[1] += 1.0;
    }
    let shares = counts.into_iter().map(|(label, [right, all])| (label.to_owned(), super::rounded(ratio(right, all))));
    Value::Object(shares.collect())
}

fn confusion(rows: &[&Row]) -> Value {
    let mut counts: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    for row in rows {
        *counts.entry(&row.truth).or_default().entry(&row.predicted).or_default() += 1;
    }
    json!(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(truth: &str, predicted: &str, confidence: f64) -> Row {
        Row {
            truth: truth.into(),
            predicted: predicted.into(),
            confidence,
            complexity_right: None,
            source: Some("s".into()),
            domain: None,
        }
    }

    #[test]
    fn known_values() {
        let rows = [row("a", "a", 0.9), row("a", "b", 0.6), row("b", "b", 0.9), row("c", "b", 0.9)];
        let json = report(&rows).into_json();
        assert_eq!(json["accuracy"], 0.5);
        // a: P 1, R 0.5; b: P 1/3, R 1; c: 0.
        assert_eq!(json["macro_f1"], ((2.0 / 3.0 + 0.5) / 3.0 * 1e6_f64).round() / 1e6);
        // Bin of 0.9: three rows, 2 of them right; bin of 0.6: one, wrong.
        assert_eq!(json["ece"], (((2.7_f64 - 2.0) + 0.6) / 4.0 * 1e6).round() / 1e6);
        assert_eq!(json["recall"]["a"], 0.5);
        assert_eq!(json["confusion"]["c"]["b"], 1);
        assert_eq!(json["by_source"]["s"]["n"], 4);
        assert!(json.get("complexity_accuracy").is_none() && json.get("by_domain").is_none());
    }
}
