//! Category and complexity.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::stats::{Ranked, calibration_error, f1, ratio};
use super::{Report, binomial};

/// One labelled text and what was said of it.
#[derive(Clone, Debug)]
pub struct Row {
    /// The category, where the row has one.
    pub truth: Option<String>,
    pub predicted: String,
    /// Probability of `predicted`.
    pub confidence: f64,
    /// Where the row has a complexity and the mind says one.
    pub complexity: Option<Complexity>,
    /// What the mind says that this one is weighed with, where there is one.
    pub beside: Option<Beside>,
    pub source: Option<String>,
    pub domain: Option<String>,
}

/// Another mind's word on the same text.
#[derive(Clone, Debug)]
pub struct Beside {
    pub mind: String,
    /// The category.
    pub predicted: String,
    /// Where the row has a complexity and the mind says one.
    pub complexity_right: Option<bool>,
}

/// A labelled complexity and what was said of it.
#[derive(Clone, Debug)]
pub struct Complexity {
    /// `simple`, `medium` or `hard`.
    pub truth: String,
    pub right: bool,
    /// P(hard) - P(simple).
    pub hardness: f64,
}

/// A row's category, the predicted one and its probability.
type Category<'a> = (&'a str, &'a str, f64);

/// `accuracy, macro_f1, ece, recall, confusion, complexity_accuracy, easy_hard_auc`, `gain_over` the mind
/// beside, then by group.
pub fn report(rows: &[Row]) -> Report {
    let all: Vec<&Row> = rows.iter().collect();
    let mut report = measure(&all);
    let categories = categories(&all);
    if !categories.is_empty() {
        report.set("recall", recall(&categories));
        report.set("recall_exact_ci95", recall_intervals(&categories));
        report.set("confusion", confusion(&categories));
    }
    report.by("by_source", rows, |row| row.source.as_deref(), measure);
    report.by("by_domain", rows, |row| row.domain.as_deref(), measure);
    report
}

fn measure(rows: &[&Row]) -> Report {
    let mut report = Report::default();
    report.set("n", rows.len());
    let categories = categories(rows);
    if !categories.is_empty() {
        report.set("category_n", categories.len());
        report.metric("accuracy", categories.len(), |weights| share(&categories, weights, |row| row.0 == row.1));
        report.metric("macro_f1", categories.len(), |weights| macro_f1(&categories, weights));
        report.metric("ece", categories.len(), |weights| {
            let right = |row: &Category<'_>| f64::from(u8::from(row.0 == row.1));
            calibration_error(categories.iter().zip(weights).map(|(row, weight)| (row.2, right(row), *weight)))
        });
    }
    let known: Vec<&Complexity> = rows.iter().filter_map(|row| row.complexity.as_ref()).collect();
    if !known.is_empty() {
        report.set("complexity_n", known.len());
        report.metric("complexity_accuracy", known.len(), |weights| share(&known, weights, |row| row.right));
    }
    let ends: Vec<&Complexity> = known.into_iter().filter(|row| row.truth != "medium").collect();
    let ranked = Ranked::new(ends.iter().map(|row| (row.hardness, row.truth == "hard")));
    if ranked.auc(&vec![1.0; ends.len()]).is_some() {
        report.metric("easy_hard_auc", ends.len(), |weights| ranked.auc(weights));
    }
    if let Some(gain) = gain(rows) {
        report.set("gain_over", gain.into_json());
    }
    report
}

/// What the mind gets right more often than the one beside it, on the same rows.
fn gain(rows: &[&Row]) -> Option<Report> {
    let mut report = Report::default();
    report.set("mind", rows.iter().find_map(|row| row.beside.as_ref())?.mind.as_str());
    let category = |row: &&Row| {
        let (truth, beside) = (row.truth.as_ref()?, row.beside.as_ref()?);
        Some((*truth == row.predicted, *truth == beside.predicted))
    };
    let complexity = |row: &&Row| Some((row.complexity.as_ref()?.right, row.beside.as_ref()?.complexity_right?));
    let categories: Vec<(bool, bool)> = rows.iter().filter_map(category).collect();
    let complexities: Vec<(bool, bool)> = rows.iter().filter_map(complexity).collect();
    for (key, pairs) in [("accuracy", categories), ("complexity_accuracy", complexities)] {
        if !pairs.is_empty() {
            report.metric(key, pairs.len(), |weights| {
                Some(share(&pairs, weights, |pair| pair.0)? - share(&pairs, weights, |pair| pair.1)?)
            });
        }
    }
    Some(report)
}

fn categories<'a>(rows: &[&'a Row]) -> Vec<Category<'a>> {
    let category = |row: &&'a Row| Some((row.truth.as_deref()?, row.predicted.as_str(), row.confidence));
    rows.iter().filter_map(category).collect()
}

fn share<R>(rows: &[R], weights: &[f64], right: impl Fn(&R) -> bool) -> Option<f64> {
    let right = rows.iter().zip(weights).filter(|(row, _)| right(row));
    ratio(right.map(|(_, weight)| weight).sum(), weights.iter().sum())
}

/// Mean F1 over the labels that occur.
fn macro_f1(rows: &[Category<'_>], weights: &[f64]) -> Option<f64> {
    // Right, predicted, true, by label.
    let mut counts: BTreeMap<&str, [f64; 3]> = BTreeMap::new();
    for ((truth, predicted, _), weight) in rows.iter().zip(weights) {
        counts.entry(predicted).or_default()[1] += weight;
        let count = counts.entry(truth).or_default();
        count[2] += weight;
        count[0] += if truth == predicted { *weight } else { 0.0 };
    }
    let scores: Vec<f64> = counts
        .into_values()
        .filter(|[_, _, truth]| *truth > 0.0)
        .filter_map(|[right, predicted, truth]| f1(right, predicted - right, truth - right))
        .collect();
    ratio(scores.iter().sum(), scores.len() as f64)
}

fn recall(rows: &[Category<'_>]) -> Value {
    let share = |[right, all]: [usize; 2]| super::rounded(ratio(right as f64, all as f64));
    Value::Object(right_of(rows).into_iter().map(|(label, counts)| (label.to_owned(), share(counts))).collect())
}

/// Exact: many labels have few rows.
fn recall_intervals(rows: &[Category<'_>]) -> Value {
    let ends = |[right, all]: [usize; 2]| {
        binomial::interval(right, all).map(|(low, high)| [super::rounded(Some(low)), super::rounded(Some(high))])
    };
    Value::Object(right_of(rows).into_iter().map(|(label, counts)| (label.to_owned(), json!(ends(counts)))).collect())
}

/// Right ones and all, by label.
fn right_of<'a>(rows: &[Category<'a>]) -> BTreeMap<&'a str, [usize; 2]> {
    let mut counts: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for (truth, predicted, _) in rows {
        let count = counts.entry(truth).or_default();
        count[0] += usize::from(truth == predicted);
        count[1] += 1;
    }
    counts
}

fn confusion(rows: &[Category<'_>]) -> Value {
    let mut counts: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    for (truth, predicted, _) in rows {
        *counts.entry(truth).or_default().entry(predicted).or_default() += 1;
    }
    json!(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(truth: &str, predicted: &str, confidence: f64) -> Row {
        Row {
            truth: Some(truth.into()),
            predicted: predicted.into(),
            confidence,
            complexity: None,
            beside: None,
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
        assert_eq!(json["recall_exact_ci95"]["b"], json!([0.025, 1.0]));
        assert!(json["ece_ci95"][0].as_f64() <= json["ece_ci95"][1].as_f64(), "{json}");
        assert_eq!(json["confusion"]["c"]["b"], 1);
        assert_eq!(json["by_source"]["s"]["n"], 4);
        assert!(json.get("complexity_accuracy").is_none() && json.get("by_domain").is_none());
        assert!(json.get("gain_over").is_none());
    }

    #[test]
    fn the_gain_is_paired() {
        let beside = |predicted: &str, complexity_right| {
            Some(Beside { mind: "flash".into(), predicted: predicted.into(), complexity_right })
        };
        let hard = || Some(Complexity { truth: "hard".into(), right: true, hardness: 0.9 });
        let rows = [
            Row { beside: beside("b", Some(false)), complexity: hard(), ..row("a", "a", 0.9) },
            Row { beside: beside("a", None), complexity: hard(), ..row("a", "a", 0.9) },
            Row { beside: beside("a", None), ..row("a", "b", 0.9) },
            Row { beside: beside("b", None), ..row("a", "a", 0.9) },
            // The other mind was silent: no pair.
            row("a", "b", 0.9),
        ];
        let gain = &report(&rows).into_json()["gain_over"];
        assert_eq!((&gain["mind"], &gain["accuracy"]), (&"flash".into(), &0.25.into()), "{gain}");
        assert_eq!(gain["complexity_accuracy"], 1.0);
        assert!(gain["accuracy_ci95"][0].as_f64() < Some(0.0) && gain["accuracy_ci95"][1].as_f64() > Some(0.25));
    }

    #[test]
    fn complexity_counts_without_a_category() {
        let of = |truth: &str, right, hardness| {
            let complexity = Some(Complexity { truth: truth.into(), right, hardness });
            Row { truth: None, complexity, ..row("", "a", 0.9) }
        };
        let rows = [of("simple", true, -0.9), of("simple", false, 0.3), of("medium", true, 0.9), of("hard", true, 0.2)];
        let json = report(&rows).into_json();
        assert_eq!(
            (&json["n"], &json["complexity_n"], &json["complexity_accuracy"]),
            (&4.into(), &4.into(), &0.75.into())
        );
        assert_eq!(json["easy_hard_auc"], 0.5);
        assert!(json["easy_hard_auc_ci95"].is_array() && json.get("accuracy").is_none());
        let mixed = report(&[row("a", "a", 0.9), of("hard", true, 0.2)]).into_json();
        assert_eq!((&mixed["n"], &mixed["category_n"], &mixed["accuracy"]), (&2.into(), &1.into(), &1.0.into()));
        assert!(mixed.get("easy_hard_auc").is_none());
    }
}
