use super::*;
use crate::eval::stats::SplitMix;

fn context(tokens: u64, hard: f32) -> Context {
    let kinds = [("computer science", 0.1), ("physics", 0.2), ("history", 0.3), ("other", 0.4)];
    Context::new(tokens, Some([1.0 - hard, 0.0, hard]), kinds, false)
}

fn offer(arm: &str, predicted: Option<f64>, cost_usd: f64) -> Offer {
    Offer { arm: arm.to_owned(), predicted, cost_usd }
}

#[test]
fn without_feedback_the_prediction_stands() {
    let bandit = Bandit::default();
    for predicted in [0.0, 0.3, 0.9731, 1.0] {
        assert_eq!(bandit.quality(&context(100, 0.5), "a", Some(predicted)), predicted);
    }
    assert_eq!(bandit.quality(&context(100, 0.5), "a", None), UNKNOWN);
    assert_eq!(Context::new(9, None, [], true).0[2..], [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
    assert_eq!(context(9, 0.25).0[5..9], [0.1, 0.2, 0.3, 0.4].map(|p: f32| f64::from(p)));
}

#[test]
fn feedback_moves_it_and_the_rest_stays() {
    let mut bandit = Bandit::default();
    for _ in 0..200 {
        bandit.update(&context(100, 0.2), "a", Some(0.9), 0.3, 1.0);
    }
    let moved = bandit.quality(&context(100, 0.2), "a", Some(0.9));
    assert!((moved - 0.3).abs() < 0.05, "{moved}");
    assert_eq!(bandit.quality(&context(100, 0.2), "b", Some(0.9)), 0.9);
    assert_eq!((bandit.scores("a"), bandit.scores("b")), (200, 0));
}

#[test]
fn one_score_moves_little_and_a_sign_less() {
    let after = |weight: f64| {
        let mut bandit = Bandit::default();
        bandit.update(&context(100, 0.2), "a", Some(0.9), 0.0, weight);
        bandit.quality(&context(100, 0.2), "a", Some(0.9))
    };
    assert!(after(1.0) > 0.6 && after(1.0) < 0.9, "{}", after(1.0));
    assert!(after(0.25) > after(1.0) && after(0.25) < 0.9);
}

#[test]
fn what_is_no_score_is_not_learnt_from() {
    let mut bandit = Bandit::default();
    for (predicted, score, weight) in [
        (Some(0.5), f64::NAN, 1.0),
        (Some(0.5), 7.0, 1.0),
        (Some(0.5), 1.0, 0.0),
        (Some(0.5), 1.0, f64::INFINITY),
        (Some(f64::NAN), 1.0, 1.0),
    ] {
        bandit.update(&context(100, 0.2), "a", predicted, score, weight);
    }
    assert_eq!(bandit.scores("a"), 0);
}

#[test]
fn it_tells_contexts_apart() {
    let mut bandit = Bandit::default();
    let mut random = SplitMix(1);
    for _ in 0..2000 {
        let hard = random.below(2) as f32;
        let score = f64::from(u8::from(random.below(100) < if hard > 0.5 { 20 } else { 90 }));
        bandit.update(&context(100, hard), "cheap", Some(0.6), score, 1.0);
        bandit.update(&context(100, hard), "dear", Some(0.9), 0.9, 1.0);
    }
    let offers = [offer("cheap", Some(0.6), 0.001), offer("dear", Some(0.9), 0.01)];
    assert_eq!(bandit.best(&context(100, 1.0), &offers, 0.05), Some(1));
    assert_eq!(bandit.best(&context(100, 0.0), &offers, 0.05), Some(0));
    // What nothing is worth is not paid for.
    assert_eq!(bandit.best(&context(100, 1.0), &offers, 0.001), Some(0));
}

#[test]
fn it_forgets_what_was() {
    let mut bandit = Bandit::default();
    for round in 0..2000 {
        bandit.update(&context(100, 0.2), "a", Some(0.5), if round < 1000 { 1.0 } else { 0.0 }, 1.0);
    }
    let now = bandit.quality(&context(100, 0.2), "a", Some(0.5));
    let mut never = Bandit::new(Tuning { forgetting: 1.0, ..Tuning::default() });
    for round in 0..2000 {
        never.update(&context(100, 0.2), "a", Some(0.5), if round < 1000 { 1.0 } else { 0.0 }, 1.0);
    }
    let mixed = never.quality(&context(100, 0.2), "a", Some(0.5));
    assert!(now < 0.15 && (mixed - 0.5).abs() < 0.05, "{now} {mixed}");
}

#[test]
fn of_equals_the_first_is_best() {
    let bandit = Bandit::default();
    let offers = [offer("b", Some(0.5), 0.01), offer("a", Some(0.5), 0.01), offer("c", Some(0.4), 0.01)];
    assert_eq!(bandit.best(&context(1, 0.0), &offers, 1.0), Some(0));
    assert_eq!(bandit.best(&context(1, 0.0), &[], 1.0), None);
}

#[test]
fn propensities_are_how_often_it_happens() {
    const DRAWS: usize = 10_000;
    for (offers, share) in [(2, 0.05), (3, 0.2), (1, 0.1), (4, 0.0)] {
        for base in 0..offers {
            let mut taken = vec![0_usize; offers];
            let mut told = vec![0.0; offers];
            for at in 0..DRAWS {
                let draw = explore(base, offers, share, at as f64 / DRAWS as f64);
                taken[draw.taken] += 1;
                told[draw.taken] = draw.propensity;
                assert_eq!(draw.explored, (at as f64) < share * DRAWS as f64);
            }
            for (count, told) in taken.iter().zip(told) {
                assert!((*count as f64 / DRAWS as f64 - told).abs() < 3e-4, "{base} of {offers}: {count} and {told}");
            }
        }
    }
}

#[test]
fn exploration_is_bounded_whatever_is_asked_for() {
    assert_eq!(explore(0, 2, 0.9, 0.5), Draw { taken: 0, propensity: 0.9, explored: false });
    assert_eq!(explore(1, 2, f64::NAN, 0.0), Draw { taken: 1, propensity: 1.0, explored: false });
    assert_eq!(explore(1, 2, -1.0, 0.0), Draw { taken: 1, propensity: 1.0, explored: false });
    assert!(explore(0, 3, 0.2, 0.199_999_999_999_999_98).taken < 3);
}

#[test]
fn a_state_comes_back_and_what_does_not_fit_starts_anew() {
    let mut bandit = Bandit::default();
    let mut random = SplitMix(2);
    for round in 0..300 {
        let hard = random.below(100) as f32 / 100.0;
        let score = f64::from(u8::from(random.below(3) > 0));
        bandit.update(&context(10 + round, hard), "a", Some(0.5), score, 1.0);
        bandit.update(&context(10 + round, hard), "b", None, 1.0 - score, 0.5);
    }
    let json = bandit.to_json();
    assert!(json.len() < 4000, "{}", json.len());
    let back = Bandit::restore(&json, &["a", "b", "c"]);
    for (arm, predicted) in [("a", Some(0.7)), ("b", None)] {
        let [then, now] = [&bandit, &back].map(|one| one.quality(&context(50, 0.3), arm, predicted));
        assert!((then - now).abs() < 1e-4, "{then} {now}");
    }
    assert_eq!((back.scores("a"), back.scores("c")), (300, 0));
    let fewer = Bandit::restore(&json, &["b", "c"]);
    assert_eq!((fewer.scores("a"), fewer.scores("b")), (0, 300));

    let broken = json.replacen("\"right\":[", "\"right\":[0.0,", 1);
    let half = Bandit::restore(&broken, &["a", "b"]);
    assert_eq!((half.scores("a"), half.scores("b")), (0, 300), "of the two the first was broken");
    let older = json.replacen("\"version\":1", "\"version\":0", 1);
    for bad in [older.as_str(), "", "[]", "{\"version\":1}"] {
        assert_eq!(Bandit::restore(bad, &["a", "b"]).scores("b"), 0, "{bad}");
    }
}

#[test]
fn sums_of_no_regression_start_anew() {
    let mut bandit = Bandit::default();
    bandit.update(&context(10, 0.5), "a", Some(0.5), 1.0, 1.0);
    let mut state: State = serde_json::from_str(&bandit.to_json()).unwrap();
    state.arms.get_mut("a").unwrap().square[0] = -1e9;
    assert_eq!(Bandit::restore(&serde_json::to_string(&state).unwrap(), &["a"]).scores("a"), 0);
}
