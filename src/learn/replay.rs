//! What another policy would have done with logged requests, added up.

use std::collections::BTreeMap;

use super::knob::Measured;
use crate::eval::stats::interval;

/// What became of a request, or would.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// Chosen, whoever answered.
    Backend(String),
    /// A guard's word: its code.
    Stopped(String),
    /// No backend could take it: why.
    Unable(String),
}

impl Fate {
    /// A backend's name; codes in brackets.
    pub fn label(&self) -> String {
        match self {
            Self::Backend(name) => name.clone(),
            Self::Stopped(code) | Self::Unable(code) => format!("({code})"),
        }
    }
}

/// Where the length of the answer under the new policy comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Of the answer that was given.
    Logged,
    /// Of a mind, for the backend that it moves to.
    Foreseen,
    /// There was no answer: the whole cost is the predicted one.
    Predicted,
    /// Nobody knows; its cost counts as 0.
    Unknown,
}

/// One request, then and now.
#[derive(Clone, Debug, PartialEq)]
pub struct Weighed {
    pub request_id: String,
    /// What requests are told apart by; empty for nothing.
    pub group: String,
    pub category: String,
    pub then: Fate,
    pub now: Fate,
    /// USD: as booked, and as it would be.
    pub cost: [f64; 2],
    /// Foreseen of both choices by the new policy, where it knows both.
    pub quality: Option<[f64; 2]>,
    pub length: Length,
    /// What clients said of the answer, 0..1.
    pub score: Option<f64>,
    /// Decoders would have been asked that were not.
    pub unheard: bool,
    /// A candidate could not be called then.
    pub outage: bool,
    /// The choice was made by lot in part.
    pub drawn: bool,
}

/// Pairs beyond this many are not kept: intervals are then those of a normal distribution.
const KEPT: usize = 20_000;

/// Of a normal distribution, 95 % lie within so many standard deviations.
const WITHIN: f64 = 1.959_964;

/// A number then and now, of many requests.
#[derive(Clone, Debug, Default)]
pub struct Pairs {
    pub count: u64,
    pub sums: [f64; 2],
    squares: [f64; 2],
    products: f64,
    kept: Vec<[f64; 2]>,
}

impl Pairs {
    fn add(&mut self, [then, now]: [f64; 2]) {
        self.count += 1;
        self.sums = [self.sums[0] + then, self.sums[1] + now];
        self.squares = [self.squares[0] + then * then, self.squares[1] + now * now];
        self.products += then * now;
        if self.kept.len() < KEPT {
            self.kept.push([then, now]);
        }
    }

    pub fn means(&self) -> Option<[f64; 2]> {
        (self.count > 0).then(|| self.sums.map(|sum| sum / self.count as f64))
    }

    /// The mean change.
    pub fn difference(&self) -> Option<Measured> {
        let [then, now] = self.means()?;
        let spread = self.spread(1.0) / self.count as f64;
        let of = |sums: [f64; 2], weight: f64| Some((sums[1] - sums[0]) / weight);
        Some(Measured { value: now - then, ci95: self.interval(now - then, spread, of) })
    }

    /// The change of the sum as a share of what it was; `None` where that was nothing.
    pub fn ratio(&self) -> Option<Measured> {
        let [then, now] = self.sums;
        if then <= 0.0 {
            return None;
        }
        let value = now / then - 1.0;
        let spread = self.spread(now / then) / then;
        let of = |sums: [f64; 2], _| (sums[0] > 0.0).then(|| sums[1] / sums[0] - 1.0);
        Some(Measured { value, ci95: self.interval(value, spread, of) })
    }

    /// Standard deviation of the sum of `now - factor * then`.
    fn spread(&self, factor: f64) -> f64 {
        let count = self.count as f64;
        let squares = self.squares[1] - 2.0 * factor * self.products + factor * factor * self.squares[0];
        let mean = (self.sums[1] - factor * self.sums[0]) / count;
        (squares - count * mean * mean).max(0.0).sqrt()
    }

    fn interval(&self, value: f64, spread: f64, of: impl Fn([f64; 2], f64) -> Option<f64>) -> Option<(f64, f64)> {
        if self.count > self.kept.len() as u64 {
            return Some((value - WITHIN * spread, value + WITHIN * spread));
        }
        interval(self.kept.len(), |weights| {
            let (mut sums, mut total) = ([0.0, 0.0], 0.0);
            for ([then, now], weight) in self.kept.iter().zip(weights) {
                sums = [sums[0] + weight * then, sums[1] + weight * now];
                total += weight;
            }
            of(sums, total)
        })
    }
}

/// Requests that have something in common.
#[derive(Clone, Debug, Default)]
pub struct Share {
    pub requests: u64,
    pub moved: u64,
    pub cost: [f64; 2],
    pub quality: [f64; 2],
    /// Whose quality is known, then and now.
    pub foreseen: u64,
    pub categories: BTreeMap<String, u64>,
    pub score: f64,
    pub scored: u64,
    /// The first few.
    pub request_ids: Vec<String>,
}

impl Share {
    fn add(&mut self, weighed: &Weighed, show: usize) {
        self.requests += 1;
        self.moved += u64::from(weighed.then != weighed.now);
        self.cost = [self.cost[0] + weighed.cost[0], self.cost[1] + weighed.cost[1]];
        if let Some([then, now]) = weighed.quality {
            self.foreseen += 1;
            self.quality = [self.quality[0] + then, self.quality[1] + now];
        }
        *self.categories.entry(weighed.category.clone()).or_default() += 1;
        if let Some(score) = weighed.score {
            self.scored += 1;
            self.score += score;
        }
        if self.request_ids.len() < show {
            self.request_ids.push(weighed.request_id.clone());
        }
    }

    /// Mean change of the foreseen quality.
    pub fn quality_change(&self) -> Option<f64> {
        (self.foreseen > 0).then(|| (self.quality[1] - self.quality[0]) / self.foreseen as f64)
    }

    /// What clients said, on average.
    pub fn mean_score(&self) -> Option<f64> {
        (self.scored > 0).then(|| self.score / self.scored as f64)
    }

    /// The most frequent first.
    pub fn top_categories(&self, most: usize) -> Vec<(&str, u64)> {
        let mut all: Vec<(&str, u64)> = self.categories.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        all.truncate(most);
        all
    }
}

/// All requests so far.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Request ids kept of each move.
    pub show: usize,
    pub all: Share,
    pub cost: Pairs,
    pub quality: Pairs,
    pub groups: BTreeMap<String, Share>,
    pub moves: BTreeMap<(Fate, Fate), Share>,
    /// Why requests could not be decided again.
    pub unfit: BTreeMap<String, u64>,
    /// Costs of moved requests rest on the length of their answer as logged, as foreseen, on a prediction, on nothing.
    pub lengths: [u64; 4],
    pub unheard: u64,
    pub outages: u64,
    pub drawn: u64,
}

impl Tally {
    pub fn add(&mut self, weighed: &Weighed) {
        self.all.add(weighed, 0);
        self.cost.add(weighed.cost);
        if let Some(quality) = weighed.quality {
            self.quality.add(quality);
        }
        if !weighed.group.is_empty() {
            self.groups.entry(weighed.group.clone()).or_default().add(weighed, 0);
        }
        if weighed.then != weighed.now {
            let pair = (weighed.then.clone(), weighed.now.clone());
            self.moves.entry(pair).or_default().add(weighed, self.show);
            self.lengths[weighed.length as usize] += 1;
        }
        self.unheard += u64::from(weighed.unheard);
        self.outages += u64::from(weighed.outage);
        self.drawn += u64::from(weighed.drawn);
    }

    pub fn leave_out(&mut self, why: String) {
        *self.unfit.entry(why).or_default() += 1;
    }

    pub fn left_out(&self) -> u64 {
        self.unfit.values().sum()
    }

    /// Moves from one kind of fate to another: `[newly stopped, no longer stopped, newly without a backend]`.
    pub fn stops(&self) -> [u64; 3] {
        let count = |wanted: fn(&Fate, &Fate) -> bool| {
            let moves = self.moves.iter().filter(|((then, now), _)| wanted(then, now));
            moves.map(|(_, share)| share.requests).sum()
        };
        [
            count(|then, now| matches!(now, Fate::Stopped(_)) && !matches!(then, Fate::Stopped(_))),
            count(|then, now| matches!(then, Fate::Stopped(_)) && !matches!(now, Fate::Stopped(_))),
            count(|then, now| matches!(now, Fate::Unable(_)) && !matches!(then, Fate::Unable(_))),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weighed(then: &str, now: &str, cost: [f64; 2], quality: [f64; 2]) -> Weighed {
        Weighed {
            request_id: format!("{then}-{now}"),
            group: String::new(),
            category: "law".to_owned(),
            then: Fate::Backend(then.to_owned()),
            now: Fate::Backend(now.to_owned()),
            cost,
            quality: Some(quality),
            length: Length::Logged,
            score: None,
            unheard: false,
            outage: false,
            drawn: false,
        }
    }

    #[test]
    fn nothing_that_moves_changes_nothing() {
        let mut tally = Tally::default();
        for cost in [0.1, 0.2, 0.7] {
            tally.add(&weighed("a", "a", [cost, cost], [0.5, 0.5]));
        }
        assert!(tally.moves.is_empty() && tally.all.moved == 0);
        assert_eq!(tally.cost.ratio(), Some(Measured { value: 0.0, ci95: Some((0.0, 0.0)) }));
        assert_eq!(tally.quality.difference(), Some(Measured { value: 0.0, ci95: Some((0.0, 0.0)) }));
    }

    #[test]
    fn moves_are_told_by_pair_and_what_they_change() {
        let mut tally = Tally { show: 1, ..Tally::default() };
        for _ in 0..10 {
            tally.add(&weighed("dear", "cheap", [1.0, 0.25], [0.9, 0.8]));
            tally.add(&weighed("dear", "dear", [1.0, 1.0], [0.9, 0.9]));
        }
        let stopped =
            Weighed { now: Fate::Stopped("pii_detected".to_owned()), ..weighed("dear", "", [1.0, 0.0], [0.0; 2]) };
        tally.add(&Weighed { quality: None, score: Some(0.25), ..stopped });
        let share = &tally.moves[&(Fate::Backend("dear".to_owned()), Fate::Backend("cheap".to_owned()))];
        assert_eq!((share.requests, share.cost, share.request_ids.len()), (10, [10.0, 2.5], 1));
        assert!((share.quality_change().unwrap() + 0.1).abs() < 1e-12);
        assert_eq!(share.top_categories(3), [("law", 10)]);
        assert_eq!((tally.all.requests, tally.all.moved, tally.stops()), (21, 11, [1, 0, 0]));
        let cost = tally.cost.ratio().unwrap();
        let (low, high) = cost.ci95.unwrap();
        assert!((cost.value - (12.5 / 21.0 - 1.0)).abs() < 1e-12 && low < cost.value && cost.value < high, "{cost:?}");
        assert_eq!(tally.all.mean_score(), Some(0.25));
    }

    #[test]
    fn what_is_too_much_to_keep_has_an_interval_all_the_same() {
        let (mut few, mut many) = (Pairs::default(), Pairs::default());
        for at in 0..KEPT * 2 {
            let pair = [1.0 + (at % 7) as f64, 1.0 + (at % 3) as f64];
            many.add(pair);
            if at < KEPT {
                few.add(pair);
            }
        }
        let width = |of: Measured| of.ci95.map(|(low, high)| high - low).unwrap();
        for (few, many) in [(few.ratio(), many.ratio()), (few.difference(), many.difference())] {
            let (few, many) = (few.unwrap(), many.unwrap());
            assert!((few.value - many.value).abs() < 1e-3);
            assert!((width(few) / width(many) - 2_f64.sqrt()).abs() < 0.15, "{few:?} {many:?}");
        }
        assert_eq!(Pairs::default().ratio(), None);
    }
}
