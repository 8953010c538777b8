use super::super::bandit::explore;
use super::*;
use crate::eval::stats::SplitMix;

const WORTH: f64 = 1.0;

/// P(a good answer) of two backends, by whether the request is hard.
#[derive(Clone, Copy)]
struct World {
    cheap: [f64; 2],
    dear: [f64; 2],
    /// Share of requests that are scored, by backend.
    scored: [f64; 2],
}

fn uniform(random: &mut SplitMix) -> f64 {
    random.below(1 << 53) as f64 / (1_u64 << 53) as f64
}

fn offers(predicted: [f64; 2]) -> Vec<Offer> {
    let offer = |arm: &str, predicted, cost_usd| Offer { arm: arm.to_owned(), predicted: Some(predicted), cost_usd };
    vec![offer("cheap", predicted[0], 0.01), offer("dear", predicted[1], 0.1)]
}

impl World {
    /// Requests decided by a policy that always takes `base`, but for what is explored.
    fn rows(&self, count: usize, base: usize, predicted: [f64; 2], share: f64, seed: u64) -> Vec<Row> {
        let mut random = SplitMix(seed);
        let row = |_| {
            let hard = random.below(2);
            let draw = explore(base, 2, share, uniform(&mut random));
            let good = [self.cheap, self.dear][draw.taken][hard];
            let score = f64::from(u8::from(uniform(&mut random) < good));
            let scored = uniform(&mut random) < self.scored[draw.taken];
            Row {
                context: Context::new(100, Some([1.0 - hard as f32, 0.0, hard as f32]), [("other", 1.0)], false),
                offers: offers(predicted),
                base,
                chosen: draw.taken,
                propensity: draw.propensity,
                score: scored.then_some(score),
            }
        };
        (0..count).map(row).collect()
    }

    /// What the policies that [`evaluate`] judges are truly worth more than `base`, on mean over its rows.
    fn truth(&self, rows: &[Row], base: usize) -> f64 {
        let mut bandit = Bandit::new(Tuning::default());
        let mut sum = 0.0;
        let teaching = (rows.len() as f64 * TEACHING) as usize;
        for (at, row) in rows.iter().enumerate() {
            let of = |arm: usize, hard: usize| [self.cheap, self.dear][arm][hard] - row.offers[arm].cost_usd / WORTH;
            let [easy, hard] = [0, 1].map(|hard| {
                let context = Context::new(100, Some([1.0 - hard as f32, 0.0, hard as f32]), [("other", 1.0)], false);
                let best = bandit.best(&context, &row.offers, WORTH).unwrap();
                of(best, hard) - of(base, hard)
            });
            if at >= teaching {
                sum += f64::midpoint(easy, hard);
            }
            let taken = &row.offers[row.chosen];
            if let Some(score) = row.score {
                bandit.update(&row.context, &taken.arm, taken.predicted, score, 1.0);
            }
        }
        sum / (rows.len() - teaching) as f64
    }
}

const USEFUL: World = World { cheap: [0.9, 0.3], dear: [0.9, 0.9], scored: [1.0, 1.0] };

#[test]
fn a_better_policy_is_told() {
    let rows = USEFUL.rows(3000, 1, [0.5, 0.5], 0.2, 1);
    let verdict = evaluate(&rows, WORTH, Tuning::default());
    // Half of the requests are as well answered for 0.09 less.
    assert!(verdict.better && !verdict.worse, "{verdict:?}");
    assert!((verdict.learned - verdict.base - verdict.difference).abs() < 1e-9);
    assert!((verdict.base - 0.8).abs() < 0.03, "{verdict:?}");
    assert_eq!((verdict.n, verdict.scored), (2400, 2400));
}

#[test]
fn the_interval_covers_the_truth_nineteen_times_of_twenty() {
    const RUNS: u64 = 60;
    for world in [USEFUL, World { scored: [0.5, 0.2], ..USEFUL }] {
        let covered = (0..RUNS).filter(|seed| {
            let rows = world.rows(1000, 1, [0.5, 0.5], 0.2, 100 + seed);
            let verdict = evaluate(&rows, WORTH, Tuning::default());
            let truth = world.truth(&rows, 1);
            verdict.ci95.0 <= truth && truth <= verdict.ci95.1
        });
        let share = covered.count() as f64 / RUNS as f64;
        assert!((0.86..=1.0).contains(&share), "{share}");
    }
}

#[test]
fn a_harmful_policy_is_never_let_act() {
    // The prediction praises what fails, so that the learned policy wants it until it has learnt better.
    let world = World { cheap: [0.4, 0.4], dear: [0.9, 0.9], scored: [0.3, 0.3] };
    for seed in 0..40 {
        let rows = world.rows(1500, 1, [0.95, 0.9], 0.1, 1000 + seed);
        let verdict = evaluate(&rows, WORTH, Tuning::default());
        assert!(!verdict.better, "seed {seed}: {verdict:?}");
    }
}

#[test]
fn scores_that_are_missing_shrink_the_sample_and_no_more() {
    let mean = |scored: [f64; 2]| {
        let verdicts = (0..30).map(|seed| {
            let rows = World { scored, ..USEFUL }.rows(2000, 1, [0.5, 0.5], 0.2, seed);
            evaluate(&rows, WORTH, Tuning::default())
        });
        let verdicts: Vec<Verdict> = verdicts.collect();
        let of = |value: fn(&Verdict) -> f64| verdicts.iter().map(value).sum::<f64>() / verdicts.len() as f64;
        (of(|one| one.base), of(|one| one.ess))
    };
    let (all, few) = (mean([1.0, 1.0]), mean([0.5, 0.25]));
    assert!((all.0 - few.0).abs() < 0.02, "{all:?} {few:?}");
    assert!(few.1 < all.1 * 0.5, "{all:?} {few:?}");
}

#[test]
fn too_little_says_nothing() {
    let rows = USEFUL.rows(200, 1, [0.5, 0.5], 0.05, 3);
    let verdict = evaluate(&rows, WORTH, Tuning::default());
    assert!(!verdict.better && verdict.ess < ENOUGH, "{verdict:?}");
    assert_eq!(evaluate(&[], WORTH, Tuning::default()), Verdict::default());
    // Policies that agree have nothing between them.
    let agreeing = USEFUL.rows(2000, 1, [0.0, 0.9], 0.2, 4);
    let taught_nothing: Vec<Row> = agreeing.into_iter().map(|row| Row { score: None, ..row }).collect();
    let verdict = evaluate(&taught_nothing, WORTH, Tuning::default());
    assert!(!verdict.better && verdict.scored == 0 && verdict.n == 1600, "{verdict:?}");
}

#[test]
fn a_row_that_contradicts_itself_is_left_out() {
    let rows = USEFUL.rows(100, 1, [0.5, 0.5], 0.2, 5);
    let broken: Vec<Row> = rows
        .iter()
        .enumerate()
        .map(|(at, row)| match at % 4 {
            0 => Row { propensity: 0.0, ..row.clone() },
            1 => Row { chosen: 9, ..row.clone() },
            2 => Row { propensity: f64::NAN, ..row.clone() },
            _ => row.clone(),
        })
        .collect();
    assert_eq!(evaluate(&broken, WORTH, Tuning::default()).n, 20);
}
