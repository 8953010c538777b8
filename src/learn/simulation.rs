//! What learning would have come to on prompts with known outcomes, where only the outcome of the chosen backend is
//! shown to the policy. Pure: the seed is an argument.

use super::bandit::{Bandit, Context, Offer, Tuning, explore};
use super::ope::{self, Row};
use crate::eval::stats::SplitMix;

/// Parts of a stream that are told apart.
pub const PARTS: usize = 10;

/// Requests between two looks at what the policy is worth.
const LOOK: usize = 25;

/// What counts as having recovered: of the best fixed backend's value.
const WITHIN: f64 = 0.1;

/// A prompt, what is foreseen of it by each backend, and what came true. All in one order.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt {
    pub context: Context,
    pub offers: Vec<Offer>,
    pub outcomes: Vec<f64>,
    pub paid_usd: Vec<f64>,
}

/// How the stream is run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    pub requests: usize,
    /// Share of requests that are decided by lot.
    pub explore: f64,
    pub worth_usd: f64,
    /// Share of requests that are scored.
    pub feedback: f64,
    /// From half of the stream on this backend keeps this share of its good answers.
    pub worse: Option<(usize, f64)>,
    /// The learned policy acts only once off-policy evaluation says that it is better than `base`.
    pub gate: Option<Gate>,
    pub tuning: Tuning,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gate {
    /// Always this backend; `None`: what is worth most as foreseen.
    pub base: Option<usize>,
    /// Requests between two evaluations.
    pub every: usize,
}

/// What became of one stream. Values are scores less costs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run {
    /// Less than the best fixed backend had, a request, by part of the stream; of the policy that never learns, too.
    pub regret: [f64; PARTS],
    pub untaught_regret: [f64; PARTS],
    /// Over the whole stream, the sum.
    pub total_regret: f64,
    pub untaught_total_regret: f64,
    /// Share of requests that were decided by lot.
    pub explored: f64,
    /// What the policy of the end takes, by backend.
    pub shares: Vec<f64>,
    /// After the backend got worse: requests until the policy was within a tenth of the best fixed backend and stayed
    /// there. `None`: not within the stream.
    pub recovered: Option<usize>,
    pub untaught_recovered: Option<usize>,
    /// With a gate: requests before the learned policy acted for the first time.
    pub acted_after: Option<usize>,
}

/// The stream of one seed. Without prompts nothing happens.
pub fn run(prompts: &[Prompt], plan: &Plan, seed: u64) -> Run {
    let mut random = SplitMix(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let order = order(prompts.len(), plan.requests, &mut random);
    let (before, after) = (values(prompts, plan, None), values(prompts, plan, Some(&mut random)));
    let half = if plan.worse.is_some() { plan.requests / 2 } else { plan.requests };
    let now = |at: usize| if at < half { &before } else { &after };
    let best = [&before, &after].map(|truth| best_fixed(truth));
    let untaught = Bandit::new(plan.tuning);
    let mut stream = Stream { plan, bandit: Bandit::new(plan.tuning), rows: Vec::new(), acts: plan.gate.is_none() };
    let mut run = Run::default();
    let (mut looks, mut explored) = (Vec::new(), 0_usize);
    for (at, &prompt) in order.iter().enumerate() {
        if at >= half && (at - half).is_multiple_of(LOOK) {
            looks.push(stream.worth(prompts, &after));
        }
        if stream.reconsider(at) && run.acted_after.is_none() {
            run.acted_after = Some(at);
        }
        let (truth, fixed) = (&now(at)[prompt], best[usize::from(at >= half)].0);
        let draw = stream.take(&prompts[prompt], &mut random);
        explored += usize::from(draw.explored);
        let frozen = Stream::choice(plan, &untaught, plan.gate.is_none(), &prompts[prompt]);
        let stays = explore(frozen, truth.len(), plan.explore, uniform(&mut random)).taken;
        let part = (at * PARTS / plan.requests.max(1)).min(PARTS - 1);
        run.regret[part] += truth[fixed].value - truth[draw.taken].value;
        run.untaught_regret[part] += truth[fixed].value - truth[stays].value;
        let scored = uniform(&mut random) < plan.feedback;
        stream.learn(&prompts[prompt], draw, scored.then_some(truth[draw.taken].outcome));
    }
    run.total_regret = run.regret.iter().sum();
    run.untaught_total_regret = run.untaught_regret.iter().sum();
    for (part, regret) in run.regret.iter_mut().chain(&mut run.untaught_regret).enumerate() {
        let part = part % PARTS;
        // As many as the loop put there.
        let end = |part: usize| (part * plan.requests).div_ceil(PARTS);
        *regret /= (end(part + 1) - end(part)).max(1) as f64;
    }
    run.explored = explored as f64 / plan.requests.max(1) as f64;
    run.shares = stream.shares(prompts);
    if plan.worse.is_some() {
        let enough = best[1].1 - WITHIN * best[1].1.abs();
        run.recovered = settled(&looks, enough);
        let never = Stream { bandit: untaught, ..stream };
        run.untaught_recovered = (never.worth(prompts, &after) >= enough).then_some(0);
    }
    run
}

/// Requests until all later looks reach `enough`.
fn settled(looks: &[f64], enough: f64) -> Option<usize> {
    let since = looks.iter().rposition(|worth| *worth < enough).map_or(0, |last| last + 1);
    (since < looks.len()).then_some(since * LOOK)
}

/// One answer: what it scores, and that less what it cost.
#[derive(Clone, Copy)]
struct Truth {
    outcome: f64,
    value: f64,
}

/// By prompt and backend; with `worse` answers of that backend fail by lot.
fn values(prompts: &[Prompt], plan: &Plan, mut worse: Option<&mut SplitMix>) -> Vec<Vec<Truth>> {
    let mut truth = |prompt: &Prompt, arm: usize| {
        let kept = plan.worse.filter(|(worse, _)| *worse == arm).map(|(_, kept)| kept);
        let fails = worse.as_mut().zip(kept).is_some_and(|(random, kept)| uniform(random) >= kept);
        let outcome = if fails { 0.0 } else { prompt.outcomes[arm] };
        Truth { outcome, value: outcome - prompt.paid_usd[arm] / plan.worth_usd }
    };
    prompts.iter().map(|prompt| (0..prompt.offers.len()).map(|arm| truth(prompt, arm)).collect()).collect()
}

/// The backend that is worth most when it is always asked, and what it is worth.
fn best_fixed(truth: &[Vec<Truth>]) -> (usize, f64) {
    let arms = truth.first().map_or(0, Vec::len);
    let mean = |arm: usize| truth.iter().map(|row| row[arm].value).sum::<f64>() / truth.len() as f64;
    let all = (0..arms).map(|arm| (arm, mean(arm)));
    all.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, 0.0))
}

/// Prompts by lot, each once before any comes again.
fn order(prompts: usize, requests: usize, random: &mut SplitMix) -> Vec<usize> {
    let mut order = Vec::new();
    while order.len() < requests && prompts > 0 {
        let mut once: Vec<usize> = (0..prompts).collect();
        (0..prompts).for_each(|at| once.swap(at, at + random.below(prompts - at)));
        order.extend(once);
    }
    order.truncate(requests);
    order
}

fn uniform(random: &mut SplitMix) -> f64 {
    random.below(1 << 53) as f64 / (1_u64 << 53) as f64
}

/// A policy at work.
struct Stream<'a> {
    plan: &'a Plan,
    bandit: Bandit,
    /// For the gate.
    rows: Vec<Row>,
    /// Whether it is the learned policy that decides.
    acts: bool,
}

impl Stream<'_> {
    fn choice(plan: &Plan, bandit: &Bandit, acts: bool, prompt: &Prompt) -> usize {
        match plan.gate.and_then(|gate| gate.base) {
            Some(base) if !acts => base,
            _ => bandit.best(&prompt.context, &prompt.offers, plan.worth_usd).unwrap_or(0),
        }
    }

    /// What the configured policy does, or the learned one.
    fn base(&self, prompt: &Prompt) -> usize {
        let learned = if self.acts { &self.bandit } else { &Bandit::default() };
        Self::choice(self.plan, learned, self.acts, prompt)
    }

    fn take(&self, prompt: &Prompt, random: &mut SplitMix) -> super::bandit::Draw {
        explore(self.base(prompt), prompt.offers.len(), self.plan.explore, uniform(random))
    }

    fn learn(&mut self, prompt: &Prompt, draw: super::bandit::Draw, score: Option<f64>) {
        let offer = &prompt.offers[draw.taken];
        if let Some(score) = score {
            self.bandit.update(&prompt.context, &offer.arm, offer.predicted, score, 1.0);
        }
        if self.plan.gate.is_some() {
            let base = Self::choice(self.plan, &Bandit::default(), false, prompt);
            let (context, offers) = (prompt.context, prompt.offers.clone());
            let (chosen, propensity) = (draw.taken, draw.propensity);
            self.rows.push(Row { context, offers, base, chosen, propensity, score });
        }
    }

    /// Whether the learned policy acts from now on.
    fn reconsider(&mut self, at: usize) -> bool {
        if self.plan.gate.is_some_and(|gate| at > 0 && at.is_multiple_of(gate.every.max(1))) {
            let verdict = ope::evaluate(&self.rows, self.plan.worth_usd, self.plan.tuning);
            self.acts = if self.acts { !verdict.worse } else { verdict.better };
        }
        self.acts && self.plan.gate.is_some()
    }

    /// On all prompts, exploration included.
    fn worth(&self, prompts: &[Prompt], truth: &[Vec<Truth>]) -> f64 {
        let of = |(prompt, truth): (&Prompt, &Vec<Truth>)| {
            let lot = truth.iter().map(|one| one.value).sum::<f64>() / truth.len() as f64;
            (1.0 - self.plan.explore) * truth[self.base(prompt)].value + self.plan.explore * lot
        };
        prompts.iter().zip(truth).map(of).sum::<f64>() / prompts.len() as f64
    }

    /// Without what is explored.
    fn shares(&self, prompts: &[Prompt]) -> Vec<f64> {
        let mut shares = vec![0.0; prompts.first().map_or(0, |prompt| prompt.offers.len())];
        prompts.iter().for_each(|prompt| shares[self.base(prompt)] += 1.0 / prompts.len() as f64);
        shares
    }
}

#[cfg(test)]
mod tests;
