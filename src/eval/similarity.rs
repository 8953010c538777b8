//! Similarity of pairs.

use super::Report;
use super::stats::{Pairs, Ranked};

/// One pair.
#[derive(Clone, Debug)]
pub struct Row {
    /// The people's score, on any scale.
    pub truth: f64,
    pub cosine: f64,
    pub source: Option<String>,
    pub domain: Option<String>,
}

/// `spearman`, and `auc` where the truth is yes or no.
pub fn report(rows: &[Row]) -> Report {
    let all: Vec<&Row> = rows.iter().collect();
    let mut report = measure(&all);
    report.by("by_source", rows, |row| row.source.as_deref(), measure);
    report.by("by_domain", rows, |row| row.domain.as_deref(), measure);
    report
}

fn measure(rows: &[&Row]) -> Report {
    let mut report = Report::default();
    report.set("n", rows.len());
    let pairs = Pairs::new(rows.iter().map(|row| (row.cosine, row.truth)));
    report.metric("spearman", rows.len(), |weights| pairs.spearman(weights));
    if rows.iter().all(|row| row.truth == 0.0 || row.truth == 1.0) {
        let ranked = Ranked::new(rows.iter().map(|row| (row.cosine, row.truth == 1.0)));
        report.metric("auc", rows.len(), |weights| ranked.auc(weights));
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yes_or_no_has_an_area() {
        let row = |truth, cosine| Row { truth, cosine, source: None, domain: None };
        let json = report(&[row(0.0, 0.1), row(1.0, 0.9), row(1.0, 0.8)]).into_json();
        assert_eq!(json["auc"], 1.0);
        let json = report(&[row(0.0, 0.1), row(4.5, 0.9), row(5.0, 0.8)]).into_json();
        assert!(json.get("auc").is_none() && json["spearman"] == 0.5);
    }
}
