//! Spans of personal data, strictly: start, end and label must all be right.
//!
//! What a source does not annotate is not held against the mind: predictions with a label
//! that its source never uses are left out, and so are those that touch a span of a type
//! the mind does not know. Neighbouring pieces of one address count as one, on both sides:
//! sources do not agree on whether town and postal code belong to the street.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Report;
use super::stats::{f1, ratio};

const ADDRESS: &str = "STREET_ADDRESS";
/// What may go on an address.
const PIECES: [&str; 3] = [ADDRESS, "GPE", "ZIP_CODE"];
/// Code points of punctuation and white space between two pieces of an address: a comma, a
/// line's end and an indent.
const MOST_BETWEEN: usize = 8;

/// Code points, end exclusive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    pub start: usize,
    pub end: usize,
    pub label: String,
}

/// One annotated text and what was found in it.
#[derive(Clone, Debug)]
pub struct Row {
    pub text: String,
    pub gold: Vec<Span>,
    pub found: Vec<Span>,
    pub source: Option<String>,
    pub domain: Option<String>,
}

/// Right, wrong and missed spans of one row, by label.
#[derive(Clone, Debug, Default)]
struct Counts(BTreeMap<String, [f64; 3]>);

const RIGHT: usize = 0;
const WRONG: usize = 1;
const MISSED: usize = 2;

/// A row after counting.
struct Counted<'a> {
    row: &'a Row,
    counts: Counts,
}

/// `precision, recall, f1` over all spans, then by label and group. `known`: the labels
/// that the mind can give.
pub fn report(rows: &[Row], known: &BTreeSet<String>) -> Report {
    let mut annotated: BTreeMap<Option<&str>, BTreeSet<&str>> = BTreeMap::new();
    for row in rows {
        annotated.entry(row.source.as_deref()).or_default().extend(row.gold.iter().map(|span| span.label.as_str()));
    }
    let counted: Vec<Counted<'_>> = rows
        .iter()
        .map(|row| {
            let used = annotated.get(&row.source.as_deref()).cloned().unwrap_or_default();
            Counted { row, counts: count(row, known, &used) }
        })
        .collect();
    let all: Vec<&Counted<'_>> = counted.iter().collect();
    let mut report = measure(&all);
    report.set("by_label", by_label(&all));
    report.by("by_source", &counted, |counted| counted.row.source.as_deref(), measure);
    report.by("by_domain", &counted, |counted| counted.row.domain.as_deref(), measure);
    report
}

fn count(row: &Row, known: &BTreeSet<String>, annotated: &BTreeSet<&str>) -> Counts {
    let text: Vec<char> = row.text.chars().collect();
    let (known_gold, other): (Vec<Span>, Vec<Span>) =
        row.gold.iter().cloned().partition(|span| known.contains(&span.label));
    let gold: BTreeSet<Span> = merged(outermost(known_gold), &text).into_iter().collect();
    let found: BTreeSet<Span> = merged(row.found.clone(), &text).into_iter().collect();
    let mut counts = Counts::default();
    let mut add = |span: &Span, kind: usize| counts.0.entry(span.label.clone()).or_default()[kind] += 1.0;
    for span in &gold {
        add(span, if found.contains(span) { RIGHT } else { MISSED });
    }
    let touches = |span: &Span| other.iter().any(|other| other.start < span.end && span.start < other.end);
    let counts_against = |span: &&Span| annotated.contains(span.label.as_str()) && !touches(span);
    found.difference(&gold).filter(counts_against).for_each(|span| add(span, WRONG));
    counts
}

/// Without spans that lie inside another: predictions do not nest either.
fn outermost(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_by_key(|span| (span.start, usize::MAX - span.end));
    let mut kept: Vec<Span> = Vec::new();
    for span in spans {
        if kept.last().is_none_or(|last| span.end > last.end) {
            kept.push(span);
        }
    }
    kept
}

/// A street address and what stands beside it (more of the street, a town or country, a postal
/// code) with nothing but punctuation and white space between are one.
fn merged(mut spans: Vec<Span>, text: &[char]) -> Vec<Span> {
    spans.sort();
    let mut merged: Vec<Span> = Vec::new();
    for span in spans {
        if let Some(last) = merged.last_mut()
            && last.label == ADDRESS
            && PIECES.contains(&span.label.as_str())
            && text
                .get(last.end..span.start)
                .is_some_and(|gap| gap.len() <= MOST_BETWEEN && !gap.iter().any(|c| c.is_alphanumeric()))
        {
            last.end = span.end;
        } else {
            merged.push(span);
        }
    }
    merged
}

fn measure(rows: &[&Counted<'_>]) -> Report {
    let mut report = Report::default();
    let sums: Vec<[f64; 3]> = rows
        .iter()
        .map(|row| row.counts.0.values().fold([0.0; 3], |sum, add| [sum[0] + add[0], sum[1] + add[1], sum[2] + add[2]]))
        .collect();
    let total = |weights: &[f64]| sum(&sums, weights);
    let all = total(&vec![1.0; rows.len()]);
    report.set("n", rows.len());
    report.set("gold_spans", (all[RIGHT] + all[MISSED]) as u64);
    report.set("found_spans", (all[RIGHT] + all[WRONG]) as u64);
    rates(&mut report, rows.len(), total);
    report
}

/// Precision, recall and F1 with their intervals: rows are resampled, as spans of one text go together.
fn rates(report: &mut Report, rows: usize, total: impl Fn(&[f64]) -> [f64; 3]) {
    report.metric("precision", rows, |weights| {
        let [right, wrong, _] = total(weights);
        ratio(right, right + wrong)
    });
    report.metric("recall", rows, |weights| {
        let [right, _, missed] = total(weights);
        ratio(right, right + missed)
    });
    report.metric("f1", rows, |weights| {
        let [right, wrong, missed] = total(weights);
        f1(right, wrong, missed)
    });
}

/// The weighted sum of the rows' counts.
fn sum(counts: &[[f64; 3]], weights: &[f64]) -> [f64; 3] {
    counts
        .iter()
        .zip(weights)
        .fold([0.0; 3], |sum, (add, w)| [sum[0] + w * add[0], sum[1] + w * add[1], sum[2] + w * add[2]])
}

fn by_label(rows: &[&Counted<'_>]) -> Value {
    // Only the rows in which a label occurs say anything about it.
    let mut labels: BTreeMap<&str, Vec<[f64; 3]>> = BTreeMap::new();
    for (label, counts) in rows.iter().flat_map(|row| &row.counts.0) {
        labels.entry(label).or_default().push(*counts);
    }
    let parts = labels.into_iter().map(|(label, counts)| {
        let [right, _, missed] = sum(&counts, &vec![1.0; counts.len()]);
        let mut part = Report::default();
        part.set("gold_spans", (right + missed) as u64);
        rates(&mut part, counts.len(), |weights| sum(&counts, weights));
        (label.to_owned(), part.into_json())
    });
    Value::Object(parts.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(spec: &[(usize, usize, &str)]) -> Vec<Span> {
        spec.iter().map(|&(start, end, label)| Span { start, end, label: label.into() }).collect()
    }

    fn row(text: &str, gold: &[(usize, usize, &str)], found: &[(usize, usize, &str)]) -> Row {
        Row { text: text.into(), gold: spans(gold), found: spans(found), source: None, domain: None }
    }

    fn measured(rows: &[Row]) -> Value {
        let known = ["PERSON", "GPE", ADDRESS, "SECRET"].map(str::to_owned).into();
        report(rows, &known).into_json()
    }

    #[test]
    fn strictly_start_end_and_label() {
        let rows = [row(
            "Ann met Bob in Rome",
            &[(0, 3, "PERSON"), (8, 11, "PERSON"), (15, 19, "GPE")],
            &[(0, 3, "PERSON"), (8, 12, "PERSON"), (15, 19, "PERSON")],
        )];
        let json = measured(&rows);
        assert_eq!((&json["gold_spans"], &json["found_spans"]), (&3.into(), &3.into()));
        assert_eq!(json["f1"], 0.333_333);
        assert_eq!(json["by_label"]["GPE"]["recall"], 0.0);
    }

    #[test]
    fn what_a_source_does_not_annotate_is_left_out() {
        let json = measured(&[row(
            "Ann 12345 key",
            &[(0, 3, "PERSON"), (4, 9, "MRN")],
            &[(0, 3, "PERSON"), (4, 9, "PERSON"), (10, 13, "SECRET")],
        )]);
        assert_eq!((&json["precision"], &json["recall"]), (&1.0.into(), &1.0.into()));
    }

    #[test]
    fn pieces_of_one_address_are_one() {
        let text = "12 High St, Flat 3\nthen 9 Low Rd";
        let gold = [(0, 18, ADDRESS), (24, 32, ADDRESS)];
        let json = measured(&[row(text, &gold, &[(0, 10, ADDRESS), (12, 18, ADDRESS), (24, 32, ADDRESS)])]);
        assert_eq!((&json["f1"], &json["gold_spans"]), (&1.0.into(), &2.into()));
    }

    #[test]
    fn towns_and_postal_codes_belong_to_the_address_before_them() {
        let text = "12 High St,\n   Rome\n Italy 00100 and Paris";
        let gold = [(0, 10, ADDRESS), (15, 19, "GPE"), (21, 26, "GPE"), (27, 32, ADDRESS), (37, 42, "GPE")];
        let json = measured(&[row(text, &gold, &[(0, 32, ADDRESS), (37, 42, "GPE")])]);
        assert_eq!((&json["f1"], &json["gold_spans"]), (&1.0.into(), &2.into()));
        let json = measured(&[row(text, &[(15, 19, "GPE")], &[(15, 19, "GPE")])]);
        assert_eq!(json["by_label"]["GPE"]["f1"], 1.0);
    }

    #[test]
    fn nested_annotations_count_once() {
        let json = measured(&[row("Rome Georgia", &[(0, 12, "GPE"), (0, 4, "GPE")], &[(0, 12, "GPE")])]);
        assert_eq!((&json["f1"], &json["gold_spans"]), (&1.0.into(), &1.into()));
    }

    #[test]
    fn precision_and_recall_have_intervals_by_label_too() {
        let found = |hit: bool| row("Ann", &[(0, 3, "PERSON")], if hit { &[(0, 3, "PERSON")] } else { &[] });
        let json = measured(&[found(true), found(false), found(true), found(true)]);
        let ends =
            |value: &Value| (value["recall_ci95"][0].as_f64().unwrap(), value["recall_ci95"][1].as_f64().unwrap());
        for (low, high) in [ends(&json), ends(&json["by_label"]["PERSON"])] {
            assert!(low < 0.75 && high > 0.75, "{json}");
        }
        assert_eq!(json["precision_ci95"], serde_json::json!([1.0, 1.0]));
    }
}
