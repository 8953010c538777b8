use proptest::prelude::*;

use super::*;

fn budget(text: &str) -> Budget {
    text.parse().unwrap()
}

/// `n` requests with scores 0, 1/n, … below 1.
fn spread(n: u16) -> Vec<f32> {
    (0..n).map(|i| f32::from(i) / f32::from(n)).collect()
}

#[test]
fn budgets_are_percentages() {
    assert_eq!(budget("0.5%"), Budget(0.005));
    assert_eq!(budget(" 12 % "), Budget(0.12));
    for text in ["0.5", "", "%", "half%", "NaN"] {
        assert_eq!(text.parse::<Budget>(), Err(BudgetError::NotAPercentage), "{text}");
    }
    for text in ["0%", "100%", "-1%", "NaN%", "inf%"] {
        assert_eq!(text.parse::<Budget>(), Err(BudgetError::OutOfRange), "{text}");
    }
}

#[test]
fn a_share_of_a_round_number_is_round() {
    assert_eq!((budget("0.7%").allows(1000), budget("0.1%").allows(3000), budget("0.5%").allows(199)), (7, 3, 0));
}

#[test]
fn too_many_false_alarms_raise_the_threshold() {
    let scores = spread(1000);
    let advice = advise(&scores, 0.5, budget("1%")).unwrap();
    assert_eq!((advice.change, advice.present.flagged), (Change::Raise, 500));
    let advised = advice.advised.unwrap();
    // The eleventh highest score is 0.989; one more decimal than the scores have.
    assert_eq!((advised.threshold, advised.flagged), (0.9891, 10));
    assert_eq!(advice.within, Some(advised));
    assert!(advised.ci95.1 > 0.01, "on the file, not proven: {advised:?}");
    assert!(advice.proven.unwrap().flagged < 10 && advice.proven.unwrap().ci95.1 <= 0.01);
}

#[test]
fn few_requests_never_lower_it() {
    let advice = advise(&[0.1; 300], 0.7, budget("0.5%")).unwrap();
    assert_eq!((advice.change, advice.advised, advice.proven), (Change::Keep, Some(advice.present), None));
    assert_eq!(advice.within.unwrap().threshold, 0.1001);
    assert_eq!(advice.requests_needed, 736.0);
    let enough = advise(&[0.1; 736], 0.7, budget("0.5%")).unwrap();
    assert_eq!((enough.change, enough.advised.unwrap().threshold), (Change::Lower, 0.1001));
}

#[test]
fn ties_are_flagged_together_or_not_at_all() {
    let mut scores = vec![0.2; 90];
    scores.extend([0.8; 10]);
    let advice = advise(&scores, 0.5, budget("5%")).unwrap();
    let advised = advice.advised.unwrap();
    assert_eq!((advised.threshold, advised.flagged), (0.8001, 0));
    let all = advise(&scores, 0.5, budget("10%")).unwrap();
    assert_eq!((all.change, all.within.unwrap().flagged), (Change::Keep, 10));
}

#[test]
fn scores_that_crowd_below_one_get_more_decimals() {
    let found = |score: f32| lowest(&[1.0, score, score], 1);
    assert_eq!((found(0.7), found(0.8)), (Some(0.7001), Some(0.8001)), "one is below its decimals, one above");
    assert_eq!(found(0.99995), Some(0.99996));
    assert_eq!(found(0.999_999_9), Some(1.0));
    assert_eq!(found(1.0), None, "nothing is above the highest score there is");
    let stuck = advise(&[1.0, 1.0, 0.1], 0.5, budget("34%")).unwrap();
    assert_eq!((stuck.change, stuck.advised, stuck.within), (Change::Raise, None, None));
}

#[test]
fn nothing_says_nothing() {
    assert_eq!(advise(&[], 0.5, budget("1%")), None);
}

#[test]
fn recall_is_never_flattered() {
    let roc = [[0.9, 0.7, 0.001], [0.5, 0.95, 0.02], [0.7, 0.9, 0.01]];
    assert_eq!(recall_at(&roc, 0.7), Some(0.9));
    assert_eq!(recall_at(&roc, 0.6), Some(0.9));
    assert_eq!(recall_at(&roc, 0.95), None);
}

proptest! {
    #[test]
    fn the_budget_is_kept_and_no_lower_step_would_keep_it(
        scores in prop::collection::vec(0.0f32..=1.0, 1..400), percent in 1u32..9999, present in 0.0f32..=1.0,
    ) {
        let budget = Budget(f64::from(percent) / 10_000.0);
        let allowed = budget.share() * scores.len() as f64 + 1e-9;
        let advice = advise(&scores, present, budget).unwrap();
        for point in [advice.within, advice.advised].into_iter().flatten() {
            prop_assert!(point.flagged as f64 <= allowed, "{point:?}");
            // What is printed is what is read back.
            let read: f32 = point.threshold.to_string().parse().unwrap();
            prop_assert_eq!(scores.iter().filter(|score| **score >= read).count(), point.flagged);
        }
        if let Some(within) = advice.within.filter(|within| within.threshold > 0.001 && within.threshold < 0.999) {
            let lower = within.threshold - 0.0002;
            prop_assert!(scores.iter().filter(|score| **score >= lower).count() as f64 > allowed);
        }
        if advice.change == Change::Lower {
            prop_assert!(advice.advised.unwrap().ci95.1 <= budget.share());
        }
    }
}
