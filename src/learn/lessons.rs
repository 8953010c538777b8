//! From what was heard of a route's requests to what its backends are worth, and whether acting on that would pay.
//!
//! Only what clients say is a score. A sign (a failure, the same request again) is heard of every bad answer, a client's
//! word of few answers, good or bad: so a sign counts as often as clients speak, drawn by a hash of the request's id.
//! Where no client ever speaks, silence stands for the predicted quality, and signs are all there is to learn.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::bandit::{Bandit, Context, Offer, Tuning};
use super::ope::{self, Row, Verdict};

/// One request that the route decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Lesson {
    pub request_id: String,
    pub context: Context,
    /// Those that could be taken.
    pub offers: Vec<Offer>,
    pub base: usize,
    pub chosen: usize,
    pub propensity: f64,
    /// Decided under the present configuration.
    pub current: bool,
    /// By the client, 0..1.
    pub said: Option<f64>,
    pub sign: bool,
}

/// What comes of it.
#[derive(Debug)]
pub struct Learned {
    pub bandit: Bandit,
    /// On requests of the present configuration.
    pub verdict: Verdict,
}

/// `lessons`: oldest first.
pub fn learn(lessons: &[Lesson], worth_usd: f64) -> Learned {
    let said = lessons.iter().filter(|lesson| lesson.said.is_some()).count();
    let rate = said as f64 / lessons.len().max(1) as f64;
    let mut bandit = Bandit::default();
    let mut rows = Vec::new();
    for lesson in lessons {
        let Some(taken) = lesson.offers.get(lesson.chosen) else { continue };
        let score = lesson.score(rate, taken);
        if let Some(score) = score {
            bandit.update(&lesson.context, &taken.arm, taken.predicted, score, 1.0);
        }
        if lesson.current {
            rows.push(Row {
                context: lesson.context,
                offers: lesson.offers.clone(),
                base: lesson.base,
                chosen: lesson.chosen,
                propensity: lesson.propensity,
                score,
            });
        }
    }
    Learned { bandit, verdict: ope::evaluate(&rows, worth_usd, Tuning::default()) }
}

impl Lesson {
    /// `rate`: how often clients speak.
    fn score(&self, rate: f64, taken: &Offer) -> Option<f64> {
        let silence = || if rate > 0.0 { None } else { taken.predicted };
        match (self.said, self.sign) {
            (Some(said), _) => Some(said),
            (None, true) if rate <= 0.0 || lot(&self.request_id) < rate => Some(0.0),
            (None, true) => None,
            (None, false) => silence(),
        }
    }
}

/// 0 to below 1, always the same for an id.
fn lot(id: &str) -> f64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    (hasher.finish() >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lesson(id: usize, arm: usize, said: Option<f64>, sign: bool) -> Lesson {
        let offer = |arm: &str| Offer { arm: arm.to_owned(), predicted: Some(0.5), cost_usd: 0.0 };
        Lesson {
            request_id: id.to_string(),
            context: Context::new(50, None, [], false),
            offers: vec![offer("a"), offer("b")],
            base: 0,
            chosen: arm,
            propensity: 0.5,
            current: true,
            said,
            sign,
        }
    }

    fn quality(lessons: &[Lesson], arm: &str) -> f64 {
        learn(lessons, 1.0).bandit.quality(&Context::new(50, None, [], false), arm, Some(0.5))
    }

    #[test]
    fn what_clients_say_moves_the_prediction() {
        assert_eq!(quality(&[], "a"), 0.5);
        let lessons: Vec<_> = (0..400).map(|id| lesson(id, id % 2, Some(1.0 - (id % 2) as f64), false)).collect();
        assert!(quality(&lessons, "a") > 0.9 && quality(&lessons, "b") < 0.1);
    }

    #[test]
    fn a_sign_counts_as_often_as_clients_speak() {
        // One in ten is scored, all good; one in ten fails: nine tenths are good, not one half.
        let lessons: Vec<_> = (0..3000).map(|id| lesson(id, 0, (id % 10 == 0).then_some(1.0), id % 10 == 5)).collect();
        let found = quality(&lessons, "a");
        assert!((0.84..0.96).contains(&found), "{found}");
    }

    #[test]
    fn where_nobody_speaks_silence_leaves_the_prediction_alone() {
        let quiet: Vec<_> = (0..500).map(|id| lesson(id, 0, None, false)).collect();
        assert!((quality(&quiet, "a") - 0.5).abs() < 1e-9);
        let failing: Vec<_> = (0..500).map(|id| lesson(id, 0, None, id % 2 == 0)).collect();
        assert!((0.2..0.3).contains(&quality(&failing, "a")));
    }

    #[test]
    fn requests_of_another_configuration_teach_and_prove_nothing() {
        let lessons: Vec<_> =
            (0..1000).map(|id| Lesson { current: false, ..lesson(id, id % 2, Some((id % 2) as f64), false) }).collect();
        let learned = learn(&lessons, 1.0);
        assert_eq!((learned.verdict.n, learned.verdict.better), (0, false));
        let current: Vec<_> = lessons.into_iter().map(|lesson| Lesson { current: true, ..lesson }).collect();
        assert!(learn(&current, 1.0).verdict.better);
    }
}
