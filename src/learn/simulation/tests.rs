use super::*;

const TUNING: Tuning = Tuning { forgetting: 0.995, ridge: 3.0 };

/// Hard prompts need the dear backend, easy ones do not; nothing is foreseen.
fn prompts(count: usize) -> Vec<Prompt> {
    let mut random = SplitMix(7);
    let prompt = |at: usize| {
        let hard = at % 2;
        let offer = |arm: &str, cost_usd| Offer { arm: arm.to_owned(), predicted: None, cost_usd };
        let good = |p: f64, random: &mut SplitMix| f64::from(u8::from(uniform(random) < p));
        Prompt {
            context: Context::new(100, Some([1.0 - hard as f32, 0.0, hard as f32]), [("math", 1.0)], false),
            offers: vec![offer("cheap", 0.001), offer("dear", 0.02)],
            outcomes: vec![good([0.9, 0.2][hard], &mut random), good(0.9, &mut random)],
            paid_usd: vec![0.001, 0.02],
        }
    };
    (0..count).map(prompt).collect()
}

const PLAN: Plan =
    Plan { requests: 2000, explore: 0.1, worth_usd: 0.1, feedback: 1.0, worse: None, gate: None, tuning: TUNING };

fn mean(runs: &[Run], of: impl Fn(&Run) -> f64) -> f64 {
    runs.iter().map(of).sum::<f64>() / runs.len() as f64
}

#[test]
fn regret_falls_and_ends_below_the_best_fixed_backend() {
    let prompts = prompts(300);
    let runs: Vec<Run> = (1..=5).map(|seed| run(&prompts, &PLAN, seed)).collect();
    let [first, last] = [0, PARTS - 1].map(|part| mean(&runs, |run| run.regret[part]));
    assert!(last < first - 0.03 && last < 0.0, "{first} {last}");
    let explored = mean(&runs, |run| run.explored);
    assert!((explored - 0.1).abs() < 0.02, "{explored}");
    // Without a prediction and without learning it is the cheapest one for ever.
    let untaught = [0, PARTS - 1].map(|part| mean(&runs, |run| run.untaught_regret[part]));
    assert!(untaught.iter().all(|regret| *regret > 0.05) && (untaught[0] - untaught[1]).abs() < 0.05, "{untaught:?}");
    assert!(runs.iter().all(|run| run.shares[0] > 0.3 && run.shares[1] > 0.3), "{runs:?}");
    for run in &runs {
        assert!((run.regret.iter().sum::<f64>() * 200.0 - run.total_regret).abs() < 1e-6);
    }
}

#[test]
fn it_recovers_from_a_backend_that_silently_got_worse() {
    let prompts = prompts(300);
    let plan = Plan { requests: 4000, worse: Some((1, 0.1)), ..PLAN };
    let runs: Vec<Run> = (1..=5).map(|seed| run(&prompts, &plan, seed)).collect();
    for run in &runs {
        assert!(run.recovered.is_some_and(|requests| requests <= 1500), "{run:?}");
        assert!(run.shares[0] > 0.9, "{run:?}");
    }
    // One that forgets nothing needs longer.
    let never = Plan { tuning: Tuning { forgetting: 1.0, ..TUNING }, ..plan };
    let slow: Vec<Run> = (1..=5).map(|seed| run(&prompts, &never, seed)).collect();
    let later = |runs: &[Run]| mean(runs, |run| run.recovered.unwrap_or(2000) as f64);
    assert!(later(&slow) > later(&runs), "{} {}", later(&slow), later(&runs));
}

#[test]
fn behind_a_gate_nothing_changes_before_the_evaluation_says_so() {
    let prompts = prompts(300);
    let gate = Gate { base: Some(1), every: 500 };
    let plan = Plan { requests: 4000, explore: 0.2, gate: Some(gate), ..PLAN };
    let runs: Vec<Run> = (1..=3).map(|seed| run(&prompts, &plan, seed)).collect();
    for run in &runs {
        assert!(run.acted_after.is_some_and(|after| after >= 500 && after % 500 == 0), "{run:?}");
        // The base is the best fixed backend: what it loses is exploration alone.
        assert!(run.regret[0] > 0.0 && run.regret[PARTS - 1] < 0.0, "{run:?}");
    }
    // Whom a cheap backend serves worse, there is nothing to learn.
    let mut worse = prompts;
    worse.iter_mut().for_each(|prompt| prompt.outcomes = vec![0.0, 1.0]);
    let runs: Vec<Run> = (1..=5).map(|seed| run(&worse, &plan, seed)).collect();
    assert!(runs.iter().all(|run| run.acted_after.is_none()), "{runs:?}");
}

#[test]
fn a_seed_gives_the_same_stream_and_no_prompts_give_none() {
    let prompts = prompts(50);
    assert_eq!(run(&prompts, &PLAN, 3), run(&prompts, &PLAN, 3));
    assert_ne!(run(&prompts, &PLAN, 3).total_regret, run(&prompts, &PLAN, 4).total_regret);
    assert_eq!(run(&[], &PLAN, 3).total_regret, 0.0);
    let order = order(50, 120, &mut SplitMix(1));
    let mut once = order[..50].to_vec();
    once.sort_unstable();
    assert_eq!((once, order.len()), ((0..50).collect::<Vec<_>>(), 120));
}

#[test]
fn settled_is_for_good() {
    assert_eq!(settled(&[0.1, 0.9, 0.2, 0.9, 0.9], 0.5), Some(3 * LOOK));
    assert_eq!(settled(&[0.9, 0.9], 0.5), Some(0));
    assert_eq!(settled(&[0.9, 0.1], 0.5), None);
}
