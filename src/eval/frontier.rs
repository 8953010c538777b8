//! Several models on the same prompts: what a choice for each prompt costs and wins, beside fixed models and
//! blind mixes of them.

use serde_json::json;

use super::Report;
use super::stats::interval;

/// One model's answer to one prompt.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// What it was worth, 0..1, and what it cost in USD.
    pub quality: f64,
    pub cost: f64,
    /// What was foreseen; `None`: the model is not known.
    pub foreseen: Option<f64>,
    /// Of the prompt, in standard deviations.
    pub difficulty: f64,
}

/// USD a unit of quality is worth, as shares of the dearest model's cost: the points of our curve.
const WORTHS: [f64; 17] = [0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0, 20.0, 50.0, 1e6];

/// A model that no outcomes are known of answers so well at mean difficulty if it is the cheapest and if it is the
/// dearest, and its log-odds fall so fast with difficulty: an assumption, not a measurement.
const ASSUMED: [f64; 2] = [0.5, 0.8];
const ASSUMED_SLOPE: f64 = 0.5;

/// Means over prompts; `cost` in USD a prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Place {
    pub cost: f64,
    pub quality: f64,
}

/// By prompt, an offer by each of `names`.
pub fn report(names: &[&str], prompts: &[Vec<Offer>]) -> Report {
    let once = vec![1.0; prompts.len()];
    let mut report = Report::default();
    report.set("n", prompts.len());
    if prompts.is_empty() {
        return report;
    }
    let costs: Vec<f64> = (0..names.len()).map(|model| mean(prompts, &once, |_| model).cost).collect();
    let foreseen = foreseen(prompts, &costs);
    let dearest = costs.iter().copied().fold(0.0, f64::max);
    let fixed = |weights: &[f64]| (0..names.len()).map(|model| mean(prompts, weights, |_| model)).collect::<Vec<_>>();
    let asked = asked(prompts, &costs);
    let choice = |prompt: usize, worth: f64| {
        let value = |model: usize| worth * dearest * foreseen[prompt][model] - costs[model];
        asked.iter().copied().max_by(|&a, &b| value(a).total_cmp(&value(b))).unwrap_or(0)
    };
    report.set(
        "fixed",
        fixed(&once)
            .iter()
            .zip(names)
            .map(|(at, name)| json!({"model": name, "cost_usd": at.cost, "quality": at.quality}))
            .collect::<Vec<_>>(),
    );
    let mut above = true;
    let curve: Vec<_> = WORTHS
        .iter()
        .map(|&worth| {
            let over_mix = |weights: &[f64]| {
                let ours = mean(prompts, weights, |prompt| choice(prompt, worth));
                ours.quality - blind(&fixed(weights), ours.cost)
            };
            let at = mean(prompts, &once, |prompt| choice(prompt, worth));
            let gain = over_mix(&once);
            above &= gain >= -1e-9;
            let ends = interval(prompts.len(), |weights| Some(over_mix(weights)));
            json!({"worth": worth, "cost_usd": at.cost, "quality": at.quality, "over_blind_mix": gain,
                   "over_blind_mix_ci95": ends.map(|(low, high)| vec![low, high])})
        })
        .collect();
    report.set("frontier", curve);
    report.set("above_blind_mix_everywhere", above);
    report
}

/// Who is chosen among. Nobody buys a dear model that nothing is known of while others are known: those, and the cheapest.
fn asked(prompts: &[Vec<Offer>], costs: &[f64]) -> Vec<usize> {
    let cheapest = (0..costs.len()).min_by(|&a, &b| costs[a].total_cmp(&costs[b]));
    let known = |model: &usize| prompts.iter().any(|offers| offers[*model].foreseen.is_some());
    if (0..costs.len()).filter(known).count() < 2 {
        return (0..costs.len()).collect();
    }
    (0..costs.len()).filter(|model| known(model) || Some(*model) == cheapest).collect()
}

/// By prompt and model; assumed for models that are not known.
fn foreseen(prompts: &[Vec<Offer>], costs: &[f64]) -> Vec<Vec<f64>> {
    let logs: Vec<f64> = costs.iter().map(|cost| cost.max(1e-12).ln()).collect();
    let (least, most) = logs.iter().fold((f64::MAX, f64::MIN), |(least, most), log| (least.min(*log), most.max(*log)));
    let assumed = |model: usize, difficulty: f64| {
        let place = if most > least { (logs[model] - least) / (most - least) } else { 0.5 };
        let usual = ASSUMED[0] + place * (ASSUMED[1] - ASSUMED[0]);
        1.0 / (1.0 + (ASSUMED_SLOPE * difficulty - (usual / (1.0 - usual)).ln()).exp())
    };
    let of = |(model, offer): (usize, &Offer)| offer.foreseen.unwrap_or_else(|| assumed(model, offer.difficulty));
    prompts.iter().map(|offers| offers.iter().enumerate().map(of).collect()).collect()
}

fn mean(prompts: &[Vec<Offer>], weights: &[f64], choice: impl Fn(usize) -> usize) -> Place {
    let mut sum = Place { cost: 0.0, quality: 0.0 };
    for (prompt, (offers, weight)) in prompts.iter().zip(weights).enumerate() {
        let offer = offers[choice(prompt)];
        sum.cost += weight * offer.cost;
        sum.quality += weight * offer.quality;
    }
    let total: f64 = weights.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    Place { cost: sum.cost / total, quality: sum.quality / total }
}

/// The best quality that fixed models or a random mix of two of them have at this cost. Knows how good each is, which
/// nobody knows beforehand.
pub fn blind(fixed: &[Place], cost: f64) -> f64 {
    let cheaper = || fixed.iter().filter(|at| at.cost <= cost);
    let mut best = cheaper().map(|at| at.quality).fold(f64::MIN, f64::max);
    for cheap in cheaper() {
        for dear in fixed.iter().filter(|at| at.cost > cost) {
            let share = (cost - cheap.cost) / (dear.cost - cheap.cost);
            best = best.max(cheap.quality + share * (dear.quality - cheap.quality));
        }
    }
    best.max(fixed.iter().map(|at| at.quality).fold(f64::INFINITY, f64::min))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(quality: f64, cost: f64, foreseen: Option<f64>) -> Offer {
        Offer { quality, cost, foreseen, difficulty: 0.0 }
    }

    #[test]
    fn who_knows_beats_the_blind_mix_and_who_knows_nothing_does_not() {
        // Cheap solves one of two, dear both.
        let prompts = |known: bool| -> Vec<Vec<Offer>> {
            let prompt = |solved: f64| {
                let foreseen = |p: f64| known.then_some(p);
                vec![offer(solved, 1.0, foreseen(0.1 + 0.8 * solved)), offer(1.0, 10.0, foreseen(1.0))]
            };
            (0..40).map(|index| prompt(f64::from(index % 2))).collect()
        };
        let report = report(&["cheap", "dear"], &prompts(true)).into_json();
        assert_eq!(report["above_blind_mix_everywhere"], true);
        let middle = report["frontier"].as_array().unwrap().iter().find(|at| at["cost_usd"] == 5.5).unwrap();
        assert_eq!((&middle["quality"], &middle["over_blind_mix"]), (&1.0.into(), &0.25.into()));
        let blind = super::report(&["cheap", "dear"], &prompts(false)).into_json();
        let best = blind["frontier"].as_array().unwrap().iter().filter_map(|at| at["over_blind_mix"].as_f64());
        assert!(best.fold(0.0, f64::max) < 1e-9);
    }

    #[test]
    fn what_nothing_is_known_of_is_not_bought_while_others_are_known() {
        // By its price the dearest would be the best; it is the worst, and nobody knows.
        let prompt =
            vec![offer(0.2, 1.0, None), offer(0.5, 2.0, Some(0.5)), offer(0.6, 8.0, Some(0.6)), offer(0.1, 10.0, None)];
        let report = report(&["least", "cheap", "dear", "dearest"], &vec![prompt; 10]).into_json();
        assert_eq!(report["above_blind_mix_everywhere"], true, "{report}");
    }

    #[test]
    fn a_blind_mix_is_a_line_between_the_best_of_the_fixed() {
        let at = |cost, quality| Place { cost, quality };
        let fixed = [at(1.0, 0.2), at(2.0, 0.1), at(3.0, 0.6)];
        assert_eq!(blind(&fixed, 1.0), 0.2);
        assert!((blind(&fixed, 2.0) - 0.4).abs() < 1e-12);
        assert_eq!(blind(&fixed, 9.0), 0.6);
        // Less than that nobody asks: the worst there is.
        assert_eq!(blind(&fixed, 0.5), 0.1);
    }
}
