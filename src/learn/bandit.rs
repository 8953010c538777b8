//! A contextual bandit: which backend of a route is worth its price, learnt from scores of the answers that were chosen.
//! Pure: numbers in, numbers out; chance is an argument.
//!
//! Epsilon-greedy with a regression oracle (Langford & Zhang, "The Epoch-Greedy Algorithm for Contextual Multi-armed
//! Bandits", 2007; it holds its own in Bietti, Agarwal & Langford, "A Contextual Bandit Bake-off", 2021): nearly always the
//! backend that is worth most is asked, and with a small, bounded and known probability any of them. The oracle is one
//! ridge regression for each backend that forgets exponentially (Russac, Vernade & Cappé, "Weighted Linear Bandits for
//! Non-Stationary Environments", 2019). It forgets with each score of *its own* backend and not with each request, so
//! that a backend that is rarely asked is not forgotten faster than it is learnt.
//!
//! What is learnt is how scores differ from the predicted quality. Without feedback the prediction stands as it is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Most of a route's requests that may go to a backend by lot.
pub const MOST_EXPLORED: f64 = 0.2;

/// What a score still counts after another one of the same backend: half after 138. This and the penalties were
/// chosen on the training outcomes, see docs/economics.md.
const FORGETTING: f64 = 0.995;

/// The penalty on weights.
const RIDGE: f64 = 20.0;

/// Of it, what the weight of the level bears: a backend that fails more than predicted mostly does so everywhere.
const LEVEL: f64 = 0.2;

/// Where nothing is predicted.
const UNKNOWN: f64 = 0.5;

/// Of a request, see [`Context::new`], and of one backend's answer to it.
const SHARED: usize = 10;
const WIDTH: usize = SHARED + 2;

/// Of [`State`]. Another one starts anew.
const VERSION: u32 = 1;

/// A request in numbers that are known whichever minds run; what they do not say is 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Context([f64; SHARED]);

/// Categories that are told apart; there is too little feedback for fourteen. Any other one is knowledge.
const CODE: [&str; 1] = ["computer science"];
const MATH: [&str; 4] = ["chemistry", "engineering", "math", "physics"];
const OTHER: &str = "other";

impl Context {
    /// `complexity`: P(simple), P(medium), P(hard). `categories`: names and probabilities.
    pub fn new<'a>(
        prompt_tokens: u64,
        complexity: Option<[f32; 3]>,
        categories: impl IntoIterator<Item = (&'a str, f32)>,
        tools: bool,
    ) -> Self {
        // About 0 for a question, about 1 for a page.
        let length = ((prompt_tokens as f64).ln_1p() - 4.5) / 2.0;
        let [simple, medium, hard] = complexity.unwrap_or_default().map(f64::from);
        let [mut code, mut math, mut knowledge, mut other] = [0.0; 4];
        for (name, p) in categories {
            let kind = match name {
                _ if CODE.contains(&name) => &mut code,
                _ if MATH.contains(&name) => &mut math,
                OTHER => &mut other,
                _ => &mut knowledge,
            };
            *kind += f64::from(p);
        }
        Self([1.0, length, simple, medium, hard, code, math, knowledge, other, f64::from(u8::from(tools))])
    }

    /// What a backend's regression sees.
    fn with(&self, predicted: Option<f64>) -> [f64; WIDTH] {
        let mut features = [0.0; WIDTH];
        features[..SHARED].copy_from_slice(&self.0);
        features[SHARED] = 2.0 * (predicted.unwrap_or(UNKNOWN) - UNKNOWN);
        features[SHARED + 1] = f64::from(u8::from(predicted.is_none()));
        features
    }
}

/// One backend that may answer a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    /// The name under which its state is kept. Another model under the same backend's name should have another one.
    pub arm: String,
    /// 0..1, by outcomes or `[quality]`; `None`: nobody says.
    pub predicted: Option<f64>,
    pub cost_usd: f64,
}

/// Which of the offers is taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draw {
    pub taken: usize,
    /// Probability with which it is taken.
    pub propensity: f64,
    /// By lot, whatever came of it.
    pub explored: bool,
}

/// Takes `base`, or with probability `share` any of `offers`, each alike; `draw` is a random number from 0 to below 1.
/// Only offers that are eligible may be counted.
pub fn explore(base: usize, offers: usize, share: f64, draw: f64) -> Draw {
    let share = if share.is_finite() { share.clamp(0.0, MOST_EXPLORED) } else { 0.0 };
    let explored = draw < share && base < offers;
    let lot = (draw / share * offers as f64) as usize;
    let taken = if explored { lot.min(offers - 1) } else { base };
    Draw { taken, propensity: propensity(taken == base, offers, share), explored }
}

fn propensity(is_base: bool, offers: usize, share: f64) -> f64 {
    let stays = if is_base { 1.0 - share } else { 0.0 };
    stays + share / offers.max(1) as f64
}

/// What was learnt of each backend of a route.
#[derive(Clone, Debug, Default)]
pub struct Bandit {
    arms: BTreeMap<String, Arm>,
    tuning: Tuning,
}

/// How fast is learnt and forgotten.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuning {
    pub forgetting: f64,
    pub ridge: f64,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { forgetting: FORGETTING, ridge: RIDGE }
    }
}

/// A discounted ridge regression.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Arm {
    scores: u64,
    /// Sums of products of features, and of features with residuals; without the penalty. The first is the lower
    /// triangle, row by row.
    square: Vec<f64>,
    right: Vec<f64>,
    /// The solution.
    #[serde(skip)]
    weights: [f64; WIDTH],
}

const TRIANGLE: usize = WIDTH * (WIDTH + 1) / 2;

impl Default for Arm {
    fn default() -> Self {
        Self { scores: 0, square: vec![0.0; TRIANGLE], right: vec![0.0; WIDTH], weights: [0.0; WIDTH] }
    }
}

impl Arm {
    fn learn(&mut self, features: &[f64; WIDTH], residual: f64, weight: f64, kept: f64) {
        let products = (0..WIDTH).flat_map(|row| (0..=row).map(move |column| features[row] * features[column]));
        for (sum, product) in self.square.iter_mut().zip(products) {
            *sum = *sum * kept + product * weight;
        }
        for (sum, feature) in self.right.iter_mut().zip(features) {
            *sum = *sum * kept + feature * residual * weight;
        }
        self.scores += 1;
    }

    /// By Cholesky's decomposition. `false`: these sums are not those of any regression.
    fn solve(&mut self, ridge: f64) -> bool {
        if self.square.len() != TRIANGLE || self.right.len() != WIDTH {
            return false;
        }
        let mut root = [[0.0_f64; WIDTH]; WIDTH];
        let mut solution = [0.0_f64; WIDTH];
        for row in 0..WIDTH {
            for column in 0..=row {
                let done: f64 = (0..column).map(|at| root[row][at] * root[column][at]).sum();
                let rest = self.square[row * (row + 1) / 2 + column] - done;
                let penalty = if row == 0 { ridge * LEVEL } else { ridge };
                if row != column {
                    root[row][column] = rest / root[column][column];
                } else if rest + penalty > 0.0 {
                    root[row][row] = (rest + penalty).sqrt();
                } else {
                    return false;
                }
            }
            let done: f64 = (0..row).map(|at| root[row][at] * solution[at]).sum();
            solution[row] = (self.right[row] - done) / root[row][row];
        }
        for row in (0..WIDTH).rev() {
            let done: f64 = (row + 1..WIDTH).map(|at| root[at][row] * solution[at]).sum();
            solution[row] = (solution[row] - done) / root[row][row];
        }
        self.weights = solution;
        solution.iter().all(|weight| weight.is_finite())
    }
}

/// A bandit as it is kept.
#[derive(Serialize, Deserialize)]
struct State {
    version: u32,
    arms: BTreeMap<String, Arm>,
}

impl Bandit {
    pub fn new(tuning: Tuning) -> Self {
        Self { arms: BTreeMap::new(), tuning }
    }

    /// What [`Bandit::to_json`] gave, of `arms` alone. An arm that is not in there starts anew, and so does one
    /// whose numbers do not fit.
    pub fn restore(json: &str, arms: &[&str]) -> Self {
        let mut bandit = Self::default();
        let Ok(state) = serde_json::from_str::<State>(json) else { return bandit };
        if state.version == VERSION {
            bandit.arms = state.arms;
            bandit.arms.retain(|name, arm| arms.contains(&name.as_str()) && arm.solve(bandit.tuning.ridge));
        }
        bandit
    }

    pub fn to_json(&self) -> String {
        let mut arms = self.arms.clone();
        let numbers = arms.values_mut().flat_map(|arm| arm.square.iter_mut().chain(&mut arm.right));
        numbers.for_each(|number| *number = rounded(*number));
        // Numbers and names: nothing here can fail to be written.
        serde_json::to_string(&State { version: VERSION, arms }).unwrap_or_default()
    }

    /// Scores that were learnt from, those that are forgotten included.
    pub fn scores(&self, arm: &str) -> u64 {
        self.arms.get(arm).map_or(0, |arm| arm.scores)
    }

    /// The quality that is expected of a backend's answer, 0..1.
    pub fn quality(&self, context: &Context, arm: &str, predicted: Option<f64>) -> f64 {
        let of =
            |arm: &Arm| arm.weights.iter().zip(context.with(predicted)).map(|(weight, value)| weight * value).sum();
        let learnt: f64 = self.arms.get(arm).map_or(0.0, of);
        (predicted.unwrap_or(UNKNOWN) + learnt).clamp(0.0, 1.0)
    }

    /// Expected quality less what it costs, where a good answer instead of a bad one is worth `worth_usd`.
    pub fn value(&self, context: &Context, offer: &Offer, worth_usd: f64) -> f64 {
        self.quality(context, &offer.arm, offer.predicted) - offer.cost_usd / worth_usd
    }

    /// The offer that is worth most, of equals the first; `None` without any.
    pub fn best(&self, context: &Context, offers: &[Offer], worth_usd: f64) -> Option<usize> {
        let mut best: Option<(usize, f64)> = None;
        for (at, offer) in offers.iter().enumerate() {
            let value = self.value(context, offer, worth_usd);
            if best.is_none_or(|(_, most)| value > most) {
                best = Some((at, value));
            }
        }
        best.map(|(at, _)| at)
    }

    /// Learns that this backend's answer was worth `score`, 0..1. `weight` is 1 for what a person said, less for what
    /// is only a sign. What is no such number is not learnt from.
    pub fn update(&mut self, context: &Context, arm: &str, predicted: Option<f64>, score: f64, weight: f64) {
        let features = context.with(predicted);
        let sane = (0.0..=1.0).contains(&score) && weight > 0.0 && weight <= 1.0;
        if !sane || !features.iter().all(|value| value.is_finite()) {
            return;
        }
        let tuning = self.tuning;
        let arm = self.arms.entry(arm.to_owned()).or_default();
        let kept = tuning.forgetting.powf(weight);
        let residual = score - predicted.unwrap_or(UNKNOWN);
        arm.learn(&features, residual, weight, kept);
        if !arm.solve(tuning.ridge) {
            *arm = Arm::default();
        }
    }
}

/// To a millionth: more digits are noise.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests;
