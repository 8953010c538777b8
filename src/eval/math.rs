//! What an expert says of questions of its field: which part, how difficult, who solves them.
//! Beside it, on the same rows: the intent mind's complexity, and the length of the question.

use std::collections::{BTreeMap, BTreeSet};

use super::Report;
use super::routing::{Order, Pair, Point, Prices, point};
use super::stats::{Pairs, Ranked, calibration_error, ratio};

/// Rows of one source that a rank correlation needs.
const RANKED_ROWS: usize = 25;

/// Models whose mean outcome stands for the difficulty where a row has neither difficulty nor level.
const ENOUGH_MODELS: usize = 5;

/// Outcomes of one model that its figures need.
const ENOUGH_OUTCOMES: usize = 100;

/// One question, what is true of it, and what was said of it.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// Characters.
    pub length: f64,
    pub source: Option<String>,
    /// Whether the part of the field is right; `None` where the row has none that the expert knows.
    pub domain_right: Option<bool>,
    /// On any scale, the same within a source.
    pub difficulty: Option<f64>,
    /// Model, spelled as the expert has it, to how well it solved the question, 0..1.
    pub outcomes: BTreeMap<String, f64>,
    pub expert: Expert,
    pub brain: Brain,
}

/// The expert's word.
#[derive(Clone, Debug, Default)]
pub struct Expert {
    pub difficulty: f64,
    /// Model to the probability that it solves the question.
    pub p_solve: BTreeMap<String, f64>,
}

/// The intent mind's word.
#[derive(Clone, Copy, Debug, Default)]
pub struct Brain {
    /// P(medium) / 2 + P(hard).
    pub complexity: f64,
    /// The most probable complexity is `simple`.
    pub simple: bool,
}

/// Two models to route between, spelled as the expert has them.
#[derive(Clone, Debug)]
pub struct Models {
    pub weak: String,
    pub strong: String,
    pub prices: Prices,
}

/// The share of models that fail, where there are enough to say.
pub fn failing(outcomes: &BTreeMap<String, f64>) -> Option<f64> {
    (outcomes.len() >= ENOUGH_MODELS).then(|| 1.0 - outcomes.values().sum::<f64>() / outcomes.len() as f64)
}

impl Row {
    /// How much more likely the strong model solves the question.
    pub fn need(&self, models: &Models) -> Option<f64> {
        Some(self.expert.p_solve.get(&models.strong)? - self.expert.p_solve.get(&models.weak)?)
    }
}

/// `domain`, `difficulty`, `p_solve`, and `routing` where there are two models to route between:
/// each where the rows know what it needs.
pub fn report(rows: &[Row], models: Option<&Models>) -> Report {
    let mut report = Report::default();
    report.set("n", rows.len());
    let parts = [
        ("domain", domain(rows)),
        ("difficulty", difficulty(rows)),
        ("p_solve", p_solve(rows)),
        ("routing", models.and_then(|models| routing(rows, models))),
    ];
    for (key, part) in parts {
        if let Some(part) = part {
            report.set(key, part.into_json());
        }
    }
    if models.is_none() {
        report.set("note", "no routing without --weak and --strong");
    }
    report
}

fn domain(rows: &[Row]) -> Option<Report> {
    let right: Vec<bool> = rows.iter().filter_map(|row| row.domain_right).collect();
    let mut report = Report::default();
    report.set("n", right.len());
    report.metric("accuracy", right.len(), |weights| {
        let hits = right.iter().zip(weights).filter(|(right, _)| **right);
        ratio(hits.map(|(_, weight)| weight).sum(), weights.iter().sum())
    });
    (!right.is_empty()).then_some(report)
}

/// A ranking's name, and its value of a row.
type Scorer = (&'static str, fn(&Row) -> f64);

const SCORERS: [Scorer; 3] = [
    ("expert", |row| row.expert.difficulty),
    ("brain_flash", |row| row.brain.complexity),
    ("length", |row| row.length),
];

/// Rank correlations within each source, and their mean weighted by rows.
fn difficulty(rows: &[Row]) -> Option<Report> {
    let mut sources: BTreeMap<&str, Vec<(&Row, f64)>> = BTreeMap::new();
    for row in rows {
        if let Some(difficulty) = row.difficulty {
            sources.entry(row.source.as_deref().unwrap_or("no source")).or_default().push((row, difficulty));
        }
    }
    sources.retain(|_, rows| rows.len() >= RANKED_ROWS);
    let sizes: Vec<usize> = sources.values().map(Vec::len).collect();
    let pairs =
        |(_, score): &Scorer, rows: &[(&Row, f64)]| Pairs::new(rows.iter().map(|(row, truth)| (score(row), *truth)));
    let ranked: Vec<Vec<Pairs>> =
        SCORERS.iter().map(|scorer| sources.values().map(|rows| pairs(scorer, rows)).collect()).collect();
    let mut report = Report::default();
    report.set("n", sizes.iter().sum::<usize>());
    for ((name, _), ranked) in SCORERS.iter().zip(&ranked) {
        report.stratified(name, &sizes, |weights| {
            mean(&sizes, weights, |source, weights| ranked[source].spearman(weights))
        });
    }
    let [expert, _, length] = &ranked[..] else { return None };
    report.stratified("expert_minus_length", &sizes, |weights| {
        mean(&sizes, weights, |source, weights| {
            Some(expert[source].spearman(weights)? - length[source].spearman(weights)?)
        })
    });
    let named: Vec<(&str, usize)> = sources.keys().copied().zip(0..).collect();
    report.by(
        "by_source",
        &named,
        |(name, _)| Some(name),
        |named| {
            let mut report = Report::default();
            for &&(_, source) in named {
                report.set("n", sizes[source]);
                for ((name, _), ranked) in SCORERS.iter().zip(&ranked) {
                    report.metric(name, sizes[source], |weights| ranked[source].spearman(weights));
                }
            }
            report
        },
    );
    (!sizes.is_empty()).then_some(report)
}

/// The mean over groups of rows, weighted by their size, of those for which `metric` is defined.
fn mean(sizes: &[usize], weights: &[f64], metric: impl Fn(usize, &[f64]) -> Option<f64>) -> Option<f64> {
    let (mut first, mut sum, mut total) = (0, 0.0, 0.0);
    for (group, &size) in sizes.iter().enumerate() {
        if let Some(value) = metric(group, &weights[first..first + size]) {
            sum += value * size as f64;
            total += size as f64;
        }
        first += size;
    }
    ratio(sum, total)
}

/// One model's outcomes: index of the row, the probability that was said, and what came true.
struct Solved<'a> {
    model: &'a str,
    said: Vec<(usize, f64, f64)>,
    ranked: Ranked,
}

impl<'a> Solved<'a> {
    fn new(model: &'a str, rows: &[Row]) -> Self {
        let said = rows
            .iter()
            .enumerate()
            .filter_map(|(index, row)| Some((index, *row.expert.p_solve.get(model)?, *row.outcomes.get(model)?)));
        let said: Vec<_> = said.collect();
        let ranked = Ranked::new(said.iter().map(|(_, p, outcome)| (*p, *outcome >= 0.5)));
        Self { model, said, ranked }
    }

    fn auc(&self, weights: &[f64]) -> Option<f64> {
        let weights: Vec<f64> = self.said.iter().map(|(row, ..)| weights[*row]).collect();
        self.ranked.auc(&weights)
    }

    fn brier(&self, weights: &[f64]) -> Option<f64> {
        let errors = self.said.iter().map(|(row, p, outcome)| weights[*row] * (p - outcome).powi(2));
        ratio(errors.sum(), self.said.iter().map(|(row, ..)| weights[*row]).sum())
    }
}

/// Means over models; a row is resampled with all its outcomes.
fn p_solve(rows: &[Row]) -> Option<Report> {
    let models: BTreeSet<&str> = rows.iter().flat_map(|row| row.outcomes.keys().map(String::as_str)).collect();
    let models = models.into_iter().map(|model| Solved::new(model, rows));
    let models: Vec<Solved<'_>> = models.filter(|model| model.said.len() >= ENOUGH_OUTCOMES).collect();
    let over_models = |metric: &dyn Fn(&Solved<'_>) -> Option<f64>| {
        let values: Vec<f64> = models.iter().filter_map(metric).collect();
        ratio(values.iter().sum(), values.len() as f64)
    };
    let mut report = Report::default();
    report.set("models", models.len());
    report.set("outcomes", models.iter().map(|model| model.said.len()).sum::<usize>());
    report.metric("auc", rows.len(), |weights| over_models(&|model| model.auc(weights)));
    report.metric("brier", rows.len(), |weights| over_models(&|model| model.brier(weights)));
    report.metric("ece", rows.len(), |weights| {
        let said = models.iter().flat_map(|model| &model.said);
        calibration_error(said.map(|(row, p, outcome)| (*p, *outcome, weights[*row])))
    });
    report.by(
        "by_model",
        &models,
        |model| Some(model.model),
        |of_model| {
            let mut report = Report::default();
            let once = vec![1.0; rows.len()];
            for model in of_model {
                report.set("n", model.said.len());
                report.number("auc", model.auc(&once));
                report.number("brier", model.brier(&once));
            }
            report
        },
    );
    (!models.is_empty()).then_some(report)
}

/// Which question goes to the strong model: by each ranking, and what reaching the intent mind's
/// solve rate costs with each.
fn routing(rows: &[Row], models: &Models) -> Option<Report> {
    let outcomes =
        |row: &Row| Some(Pair { weak: *row.outcomes.get(&models.weak)?, strong: *row.outcomes.get(&models.strong)? });
    let known = rows.iter().filter_map(|row| Some((row, outcomes(row)?, row.need(models)?)));
    let known: Vec<(&Row, Pair, f64)> = known.collect();
    let pairs: Vec<Pair> = known.iter().map(|(_, pair, _)| *pair).collect();
    let order = |score: fn(&(&Row, Pair, f64)) -> f64| Order::new(&pairs, &known.iter().map(score).collect::<Vec<_>>());
    let [expert, flash, length] = [order(|row| row.2), order(|row| row.0.brain.complexity), order(|row| row.0.length)];
    let (oracle, random) = (order(|row| row.1.strong - row.1.weak), order(|_| 0.0));
    let n = known.len();
    let mut report = Report::default();
    report.set("n", n);
    for (key, model, price, strong) in
        [("weak", &models.weak, models.prices.weak, false), ("strong", &models.strong, models.prices.strong, true)]
    {
        report.set(key, model.as_str());
        report.number(&format!("{key}_price"), Some(price));
        report.metric(&format!("{key}_accuracy"), n, |weights| Some(point(&pairs, |_| strong, weights)?.solve_rate));
    }
    let mut apgr = Report::default();
    for (name, order) in
        [("expert", &expert), ("brain_flash", &flash), ("length", &length), ("oracle", &oracle), ("random", &random)]
    {
        apgr.metric(name, n, |weights| order.apgr(weights));
    }
    apgr.metric("expert_minus_length", n, |weights| Some(expert.apgr(weights)? - length.apgr(weights)?));
    report.set("apgr", apgr.into_json());
    let flash = |weights: &[f64]| point(&pairs, |row| !known[row].0.brain.simple, weights);
    let costs = costs(n, &models.prices, flash, [&expert, &length, &oracle, &random]);
    report.set("cost_at_flash_rate", costs.into_json());
    (n > 0).then_some(report)
}

/// What each order costs where it reaches the rate of `flash`, whose choice is a point, not an order.
/// One that never reaches it pays for the strong model every time.
fn costs(n: usize, prices: &Prices, flash: impl Fn(&[f64]) -> Option<Point>, orders: [&Order<'_>; 4]) -> Report {
    let share = |order: &Order<'_>, weights: &[f64]| Some(order.share_to_reach(flash(weights)?.solve_rate, weights));
    let saving = |order: &Order<'_>, weights: &[f64]| {
        let paid = prices.cost(share(order, weights)?.unwrap_or(1.0));
        Some(1.0 - ratio(paid, prices.cost(flash(weights)?.share))?)
    };
    let once = vec![1.0; n];
    let mut report = Report::default();
    let mut of_flash = Report::default();
    of_flash.metric("solve_rate", n, |weights| Some(flash(weights)?.solve_rate));
    of_flash.number("strong_share", flash(&once).map(|point| point.share));
    of_flash.number("cost", flash(&once).map(|point| prices.cost(point.share)));
    report.set("brain_flash", of_flash.into_json());
    for (name, order) in ["expert", "length", "oracle", "random"].into_iter().zip(orders) {
        let reached = share(order, &once).flatten();
        let mut of_order = Report::default();
        of_order.set("reached", reached.is_some());
        of_order.number("strong_share", reached.or(Some(1.0)));
        of_order.number("cost", Some(prices.cost(reached.unwrap_or(1.0))));
        of_order.metric("saving", n, |weights| saving(order, weights));
        report.set(name, of_order.into_json());
    }
    let [expert, length, ..] = orders;
    report.metric("expert_minus_length", n, |weights| Some(saving(expert, weights)? - saving(length, weights)?));
    report
}

#[cfg(test)]
mod tests;
