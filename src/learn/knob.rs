//! From a target (a quality, a share of another backend's, a budget) to the `min_quality` or `quality_of` that reaches
//! it, on prompts with known outcomes. The choice is the gateway's own: the cheapest candidate that is foreseen to reach the
//! floor, else the best.
//!
//! What a floor comes to is told for prompts that it was not chosen on: each half's floor is measured on the other.

pub use crate::eval::frontier::Place;
use crate::eval::frontier::blind;
use crate::eval::stats::{SplitMix, interval};

mod picture;

pub use picture::svg;

/// One backend's answer to a prompt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Offer {
    /// Foreseen, before the prompt is sent.
    pub quality: f64,
    pub cost: f64,
    /// What came true.
    pub outcome: f64,
    pub paid: f64,
}

/// A prompt with an offer by each backend, all in one order.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt {
    pub offers: Vec<Offer>,
    /// Characters.
    pub length: f64,
}

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// Mean outcome.
    Quality(f64),
    /// Mean outcome as a share of this backend's.
    ShareOf { backend: usize, share: f64 },
    /// USD for a thousand requests.
    Budget(f64),
}

/// What a candidate has to be foreseen to reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Floor {
    /// `min_quality`.
    At(f64),
    /// `quality_of`: as a share of what is foreseen of another backend on this prompt.
    ShareOf { backend: usize, share: f64 },
}

/// What a floor does.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    pub floor: Floor,
    pub place: Place,
    /// By backend, of the prompts.
    pub shares: Vec<f64>,
}

/// A value and its 95 % bootstrap interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    pub value: f64,
    pub ci95: Option<(f64, f64)>,
}

/// The floor that reaches the target, and what it comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Advice {
    /// `None`: no floor reaches it.
    pub floor: Option<Floor>,
    pub premium: usize,
    pub cheap: usize,
    pub point: Point,
    pub cost: Measured,
    pub quality: Measured,
    /// Of the premium backend's cost.
    pub saving: Measured,
    /// Of the premium backend's quality.
    pub of_premium: Measured,
    /// More quality than at the same cost a random mix of two backends has, chosen knowing which are best.
    pub over_blind_mix: Measured,
    /// The same where the longer prompts go to the premium backend.
    pub over_length: Measured,
}

impl Prompt {
    /// As the gateway chooses.
    pub fn choose(&self, floor: Floor) -> usize {
        let floor = match floor {
            Floor::At(floor) => floor,
            Floor::ShareOf { backend, share } => share * self.offers[backend].quality,
        };
        let reaching = (0..self.offers.len()).filter(|&at| self.offers[at].quality >= floor);
        let cheapest = reaching.min_by(|&a, &b| self.offers[a].cost.total_cmp(&self.offers[b].cost));
        cheapest.or_else(|| self.best(|offer| offer.quality)).unwrap_or(0)
    }

    fn best(&self, value: impl Fn(&Offer) -> f64) -> Option<usize> {
        // Of equals the cheapest.
        let order = |&a: &usize, &b: &usize| {
            let (a, b) = (&self.offers[a], &self.offers[b]);
            value(a).total_cmp(&value(b)).then_with(|| b.cost.total_cmp(&a.cost))
        };
        (0..self.offers.len()).max_by(order)
    }

    /// The cheapest of those that answer best: what nobody can know.
    fn oracle(&self) -> usize {
        self.best(|offer| offer.outcome).unwrap_or(0)
    }
}

/// Means under weights and a choice of offers.
fn mean(prompts: &[&Prompt], weights: &[f64], choice: impl Fn(usize) -> usize) -> Place {
    let (mut place, mut total) = (Place::default(), 0.0);
    for (at, (prompt, weight)) in prompts.iter().zip(weights).enumerate() {
        if let Some(offer) = prompt.offers.get(choice(at)) {
            place.cost += weight * offer.paid;
            place.quality += weight * offer.outcome;
            total += weight;
        }
    }
    Place { cost: place.cost / total, quality: place.quality / total }
}

/// Each backend alone.
pub fn fixed(prompts: &[Prompt]) -> Vec<Place> {
    let all: Vec<&Prompt> = prompts.iter().collect();
    let backends = all.first().map_or(0, |prompt| prompt.offers.len());
    (0..backends).map(|backend| mean(&all, &vec![1.0; all.len()], |_| backend)).collect()
}

/// The cheapest of those that answer best, for each prompt.
pub fn oracle(prompts: &[Prompt]) -> Place {
    let all: Vec<&Prompt> = prompts.iter().collect();
    mean(&all, &vec![1.0; all.len()], |at| all[at].oracle())
}

/// Floors worth trying: foreseen qualities, and what share of the premium backend's they are; thinned.
fn floors(prompts: &[&Prompt], premium: usize) -> Vec<Floor> {
    let qualities = prompts.iter().flat_map(|prompt| prompt.offers.iter().map(|offer| offer.quality));
    let shares = prompts.iter().flat_map(|prompt| {
        let best = prompt.offers[premium].quality;
        prompt.offers.iter().map(move |offer| (offer.quality / best).min(1.0))
    });
    let shares = thinned(shares).into_iter().map(|share| Floor::ShareOf { backend: premium, share });
    thinned(qualities).into_iter().map(Floor::At).chain(shares).collect()
}

/// Rounded up as they will be pasted. 0 is the cheapest backend always, 1 the best.
fn thinned(values: impl Iterator<Item = f64>) -> Vec<f64> {
    const MOST: usize = 200;
    let mut all: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    all.sort_by(f64::total_cmp);
    let step = all.len().div_ceil(MOST).max(1);
    let rounded = all.into_iter().step_by(step).map(|value| (value * 1e4).ceil() / 1e4);
    let mut thin: Vec<f64> = std::iter::once(0.0).chain(rounded).chain([1.0]).collect();
    thin.dedup();
    thin
}

/// What every floor of the kind that was chosen does.
pub fn curve(prompts: &[Prompt], advice: &Advice) -> Vec<Point> {
    let all: Vec<&Prompt> = prompts.iter().collect();
    let alike = |floor: &Floor| std::mem::discriminant(floor) == std::mem::discriminant(&advice.point.floor);
    floors(&all, advice.premium).into_iter().filter(alike).map(|floor| point(&all, floor)).collect()
}

fn point(prompts: &[&Prompt], floor: Floor) -> Point {
    let backends = prompts.first().map_or(0, |prompt| prompt.offers.len());
    let mut shares = vec![0.0; backends];
    prompts.iter().for_each(|prompt| shares[prompt.choose(floor)] += 1.0 / prompts.len() as f64);
    Point { floor, place: mean(prompts, &vec![1.0; prompts.len()], |at| prompts[at].choose(floor)), shares }
}

/// The cheapest floor that reaches the target on these prompts; for a budget the best one within it.
fn floor(prompts: &[&Prompt], premium: usize, target: Target) -> Option<Floor> {
    const ROUNDING: f64 = 1e-9;
    let all = floors(prompts, premium).into_iter().map(|floor| point(prompts, floor));
    let wanted = match target {
        Target::Quality(quality) => quality,
        Target::ShareOf { backend, share } => share * mean(prompts, &vec![1.0; prompts.len()], |_| backend).quality,
        Target::Budget(usd) => {
            let within = all.filter(|point| point.place.cost <= usd / 1000.0 + ROUNDING);
            return within.max_by(|a, b| a.place.quality.total_cmp(&b.place.quality)).map(|point| point.floor);
        }
    };
    let reaching = all.filter(|point| point.place.quality >= wanted - ROUNDING);
    reaching.min_by(|a, b| a.place.cost.total_cmp(&b.place.cost)).map(|point| point.floor)
}

/// `None` without prompts.
pub fn advise(prompts: &[Prompt], target: Target) -> Option<Advice> {
    let all: Vec<&Prompt> = prompts.iter().collect();
    let fixed = fixed(prompts);
    let by_cost = |a: &usize, b: &usize| fixed[*a].cost.total_cmp(&fixed[*b].cost);
    let cheap = (0..fixed.len()).min_by(by_cost)?;
    let premium = match target {
        Target::ShareOf { backend, .. } => backend,
        Target::Quality(_) | Target::Budget(_) => (0..fixed.len()).max_by(by_cost)?,
    };
    let chosen = floor(&all, premium, target);
    // By lot: files have an order.
    let mut random = SplitMix(3);
    let halves: Vec<usize> = all.iter().map(|_| random.below(2)).collect();
    let half = |wanted: usize| -> Vec<&Prompt> {
        all.iter().zip(&halves).filter(|(_, half)| **half == wanted).map(|(prompt, _)| *prompt).collect()
    };
    // Where no floor reaches the target, the best there is.
    let best = Floor::At(1.0);
    let floors = [half(1), half(0)].map(|other| floor(&other, premium, target).unwrap_or(best));
    let choices: Vec<usize> = all.iter().zip(&halves).map(|(prompt, half)| prompt.choose(floors[*half])).collect();
    let ours = |weights: &[f64]| mean(&all, weights, |at| choices[at]);
    let theirs = |weights: &[f64]| mean(&all, weights, |_| premium);
    let mut by_length: Vec<usize> = (0..all.len()).collect();
    by_length.sort_by(|&a, &b| all[b].length.total_cmp(&all[a].length));
    let by_length = |weights: &[f64]| longest(&all, &by_length, weights, cheap, premium, ours(weights).cost);
    let mixes = |weights: &[f64]| {
        let fixed: Vec<Place> = (0..fixed.len()).map(|backend| mean(&all, weights, |_| backend)).collect();
        blind(&fixed, ours(weights).cost)
    };
    let once = vec![1.0; all.len()];
    let measured = |of: &dyn Fn(&[f64]) -> f64| Measured {
        value: of(&once),
        ci95: interval(all.len(), |weights| Some(of(weights)).filter(|value| value.is_finite())),
    };
    Some(Advice {
        floor: chosen,
        premium,
        cheap,
        point: point(&all, chosen.unwrap_or(best)),
        cost: measured(&|weights| ours(weights).cost),
        quality: measured(&|weights| ours(weights).quality),
        saving: measured(&|weights| 1.0 - ours(weights).cost / theirs(weights).cost),
        of_premium: measured(&|weights| ours(weights).quality / theirs(weights).quality),
        over_blind_mix: measured(&|weights| ours(weights).quality - mixes(weights)),
        over_length: measured(&|weights| ours(weights).quality - by_length(weights)),
    })
}

/// Quality where the longest prompts go to the premium backend, as many as the cost allows.
fn longest(prompts: &[&Prompt], order: &[usize], weights: &[f64], cheap: usize, premium: usize, cost: f64) -> f64 {
    let total: f64 = weights.iter().sum();
    let mut place = mean(prompts, weights, |_| cheap);
    for &at in order {
        if place.cost >= cost {
            break;
        }
        let (from, to) = (prompts[at].offers[cheap], prompts[at].offers[premium]);
        place.cost += weights[at] * (to.paid - from.paid) / total;
        place.quality += weights[at] * (to.outcome - from.outcome) / total;
    }
    place.quality
}

#[cfg(test)]
mod tests;
