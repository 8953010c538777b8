//! `mom eval learning`: what the contextual bandit would have come to on prompts with known outcomes.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::{Value, json};

use super::super::Failure;
use super::super::judging::{self, Choice};
use super::super::outcomes::{self, prompts};
use crate::config::{Price, shipped};
use crate::eval::Report;
use crate::learn::bandit::{Context, MOST_EXPLORED, Offer, Tuning};
use crate::learn::simulation::{self, Gate, PARTS, Plan, Prompt, Run};
use crate::minds::quality::ROLE;
use crate::minds::{Input, Judgement, Kind, Minds, Part, spelled};
use crate::route::output_tokens;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// JSON lines, `.gz` too; several are one stream.
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    data: Vec<PathBuf>,
    /// The backends, as the rows' `outcomes` call them; of equals the first is taken.
    #[arg(long, required = true, value_name = "NAME,NAME,…", value_delimiter = ',')]
    models: Vec<String>,
    /// What a good answer instead of a bad one is worth.
    #[arg(long, value_name = "USD", value_parser = above_zero)]
    worth_usd: f64,
    /// USD per 1M tokens of a model without `cost_usd` in the rows.
    #[arg(long = "price", value_name = "NAME=IN,OUT", value_parser = price)]
    prices: Vec<(String, Price)>,
    /// Streams, each in an order of its own.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    /// Length of a stream; all prompts come once before any comes again.
    #[arg(long, value_name = "N", default_value_t = 5000, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    requests: u32,
    /// Share of requests that are decided by lot.
    #[arg(long, value_name = "SHARE", default_value_t = 0.05, value_parser = explored)]
    explore: f64,
    /// Share of requests that are scored.
    #[arg(long, value_name = "SHARE", default_value_t = 1.0, value_parser = share)]
    feedback: f64,
    /// From half of each stream on this model keeps this share of its good answers.
    #[arg(long, value_name = "NAME@SHARE", value_parser = worse)]
    worse: Option<(String, f64)>,
    /// Foresee nothing: all models start alike.
    #[arg(long)]
    flat: bool,
    /// Let the learned policy act only once off-policy evaluation says, every so many requests, that it is better.
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "500", value_parser = clap::value_parser!(u32).range(1..))]
    gate: Option<u32>,
    /// What acts before that: always this model [default: what is worth most as foreseen].
    #[arg(long, value_name = "NAME", requires = "gate")]
    base: Option<String>,
    /// The mind that foresees.
    #[arg(long, value_name = "NAME", default_value_t = shipped(ROLE))]
    mind: String,
    /// Take `models_dir` from this configuration.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What a score still counts after another one of its backend.
    #[arg(long, value_name = "SHARE", default_value_t = Tuning::default().forgetting, value_parser = share, hide = true)]
    forgetting: f64,
    /// The penalty on what is learnt.
    #[arg(long, value_name = "N", default_value_t = Tuning::default().ridge, value_parser = above_zero, hide = true)]
    ridge: f64,
}

fn above_zero(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "expected a number above 0".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    above_zero(text).ok().filter(|share| *share <= 1.0).ok_or_else(|| "expected a share above 0, at most 1".to_owned())
}

fn explored(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=MOST_EXPLORED).contains(share));
    share.ok_or_else(|| format!("expected a share from 0 to {MOST_EXPLORED}"))
}

fn worse(text: &str) -> Result<(String, f64), String> {
    let parsed = text.rsplit_once('@').and_then(|(name, share)| Some((spelled(name), share.parse().ok()?)));
    parsed
        .filter(|(_, share)| (0.0..=1.0).contains(share))
        .ok_or_else(|| "expected NAME@SHARE, as in large@0.5".to_owned())
}

fn price(text: &str) -> Result<(String, Price), String> {
    let parsed = text.rsplit_once('=').and_then(|(name, prices)| {
        let (input, output) = prices.split_once(',')?;
        let number = |text: &str| text.trim().parse().ok().filter(|usd: &f64| usd.is_finite() && *usd >= 0.0);
        let price = Price { input: number(input)?, output: number(output)?, ..Price::default() };
        Some((spelled(name), price))
    });
    parsed.ok_or_else(|| "expected NAME=IN,OUT in USD per 1M tokens, as in large=10,30".to_owned())
}

pub(super) fn run(args: Args) -> Result<ExitCode, Failure> {
    let names: Vec<String> = args.models.iter().map(|name| spelled(name)).collect();
    if names.len() < 2 {
        return Err(Failure::new("name two models at least"));
    }
    let position = |name: &String| {
        names.iter().position(|known| *known == spelled(name)).ok_or_else(|| {
            Failure::new(format!("{name} is none of the models that are compared: {}", names.join(", ")))
        })
    };
    let worse = args.worse.as_ref().map(|(name, kept)| Ok::<_, Failure>((position(name)?, *kept))).transpose()?;
    let base = args.base.as_ref().map(position).transpose()?;
    args.prices.iter().try_for_each(|(name, _)| position(name).map(|_| ()))?;
    let mut choice = Choice::new(args.config.as_deref())?;
    let manifest = choice.named(&args.mind)?;
    if manifest.kind != Kind::Predictor {
        return Err(Failure::config(format!("{} is made for the task {}, not for this one", args.mind, manifest.task)));
    }
    choice.only(std::slice::from_ref(&args.mind))?;
    let mut read = Vec::new();
    for file in &args.data {
        read.extend(prompts(file)?);
    }
    let total = read.len();
    let backends = backends(&names, &args, &read)?;
    let minds = choice.load()?;
    let judged = judging::runtime()?.block_on(judging::each(read, "prompts", |prompt| judge(&minds, prompt)));
    let prompts: Vec<Prompt> =
        judged.iter().filter_map(|(prompt, judgement)| simulated(&backends, args.flat, prompt, judgement)).collect();
    if prompts.is_empty() {
        return Err(Failure::new(format!("none of {total} prompts has an outcome of each of {}", names.join(", "))));
    }
    let plan = Plan {
        requests: args.requests as usize,
        explore: args.explore,
        worth_usd: args.worth_usd,
        feedback: args.feedback,
        worse,
        gate: args.gate.map(|every| Gate { base, every: every as usize }),
        tuning: Tuning { forgetting: args.forgetting, ridge: args.ridge },
    };
    let runs: Vec<Run> = (1..=args.seeds).map(|seed| simulation::run(&prompts, &plan, seed)).collect();
    let mut report = Report::default();
    report.set("task", "learning");
    report.set("mind", if args.flat { Value::Null } else { args.mind.as_str().into() });
    let known: Vec<&String> = names.iter().filter(|name| !args.flat && manifest.solvers.contains(*name)).collect();
    report.set("known_models", json!(known));
    report.set("prompts", prompts.len());
    report.set("dropped", total - prompts.len());
    tell(&mut report, &names, &prompts, &plan, &runs);
    writeln!(io::stdout().lock(), "{}", report.into_json())?;
    Ok(ExitCode::SUCCESS)
}

/// What is known of a model beside its outcomes.
struct Backend {
    name: String,
    price: Option<Price>,
    /// Of the file's answers: what a request costs before it is sent, where there is no price to foresee it with.
    mean_cost: f64,
}

fn backends(names: &[String], args: &Args, read: &[outcomes::Prompt]) -> Result<Vec<Backend>, Failure> {
    let backend = |name: &String| {
        let price = args.prices.iter().find(|(known, _)| known == name).map(|(_, price)| *price);
        let costs: Vec<f64> = read.iter().filter_map(|prompt| prompt.costs.get(name).copied()).collect();
        if price.is_none() && costs.is_empty() {
            return Err(Failure::new(format!(
                "the file has no `cost_usd` of {name}: tell its price with --price {name}=IN,OUT"
            )));
        }
        let mean_cost = costs.iter().sum::<f64>() / costs.len().max(1) as f64;
        Ok(Backend { name: name.clone(), price, mean_cost })
    };
    names.iter().map(backend).collect()
}

async fn judge(minds: &Minds, prompt: outcomes::Prompt) -> (outcomes::Prompt, Judgement) {
    let input = Arc::new(Input { parts: vec![Part::alone(prompt.text.as_str())], not_text: false });
    let judgement = minds.judge(input).await;
    (prompt, judgement)
}

/// `None` where an outcome is not known, or a cost.
fn simulated(backends: &[Backend], flat: bool, prompt: &outcomes::Prompt, judgement: &Judgement) -> Option<Prompt> {
    let intent = judgement.intent.verdict();
    let categories = intent
        .into_iter()
        .flat_map(|intent| intent.labels.iter().map(String::as_str).zip(intent.scores.iter().copied()));
    let context = Context::new(judgement.prompt_tokens, intent.and_then(|intent| intent.complexity), categories, false);
    let mut simulated = Prompt { context, offers: Vec::new(), outcomes: Vec::new(), paid_usd: Vec::new() };
    for backend in backends {
        let name = &backend.name;
        let foreseen = judgement.foresight.as_ref().and_then(|foresight| foresight.of(name));
        let predicted = foreseen.filter(|_| !flat).map(|foreseen| f64::from(foreseen.quality));
        let foreseen = output_tokens(foreseen.and_then(|one| one.output_tokens).map(f64::from), intent, None);
        let cost = |tokens: f64| match backend.price {
            Some(price) => price.cost(judgement.prompt_tokens, 0, tokens.round() as u64),
            None => backend.mean_cost,
        };
        let paid = match (prompt.costs.get(name), backend.price) {
            (Some(paid), _) => *paid,
            (None, Some(_)) => cost(prompt.tokens.get(name).copied().unwrap_or(foreseen)),
            (None, None) => return None,
        };
        simulated.offers.push(Offer { arm: name.clone(), predicted, cost_usd: cost(foreseen) });
        simulated.outcomes.push(*prompt.outcomes.get(name)?);
        simulated.paid_usd.push(paid);
    }
    Some(simulated)
}

fn tell(report: &mut Report, names: &[String], prompts: &[Prompt], plan: &Plan, runs: &[Run]) {
    let mean = |of: &dyn Fn(&Prompt) -> f64| prompts.iter().map(of).sum::<f64>() / prompts.len() as f64;
    let fixed = names.iter().enumerate().map(|(at, name)| {
        let (quality, cost) = (mean(&|prompt| prompt.outcomes[at]), mean(&|prompt| prompt.paid_usd[at]));
        let mut one = Report::default();
        one.set("model", name.as_str());
        one.number("quality", Some(quality));
        one.set("cost_usd", cost);
        one.number("value", Some(quality - cost / plan.worth_usd));
        one.into_json()
    });
    report.set("fixed", fixed.collect::<Vec<_>>());
    report.set("seeds", runs.len());
    report.set("requests", plan.requests);
    report.number("passes", Some(plan.requests as f64 / prompts.len() as f64));
    let over = |report: &mut Report, key: &str, of: &dyn Fn(&Run) -> f64| {
        report.metric(key, runs.len(), |weights| {
            let sum: f64 = runs.iter().zip(weights).map(|(run, weight)| weight * of(run)).sum();
            Some(sum / weights.iter().sum::<f64>())
        });
    };
    over(report, "regret", &|run| run.total_regret);
    over(report, "untaught_regret", &|run| run.untaught_total_regret);
    for (key, of) in [
        ("regret_per_request", (|run, part| run.regret[part]) as fn(&Run, usize) -> f64),
        ("untaught_regret_per_request", |run, part| run.untaught_regret[part]),
    ] {
        let parts = (0..PARTS).map(|part| {
            let mut one = Report::default();
            over(&mut one, "mean", &|run| of(run, part));
            one.into_json()
        });
        report.set(key, parts.collect::<Vec<_>>());
    }
    over(report, "explored", &|run| run.explored);
    for (at, name) in names.iter().enumerate() {
        over(report, &format!("final_share_{name}"), &|run| run.shares[at]);
    }
    if plan.worse.is_some() {
        after(report, runs, |run| run.recovered, "recovered_after");
        after(report, runs, |run| run.untaught_recovered, "untaught_recovered_after");
    }
    if plan.gate.is_some() {
        after(report, runs, |run| run.acted_after, "acted_after");
    }
}

/// By seed, and the median of those that did; the others count as later than all.
fn after(report: &mut Report, runs: &[Run], of: fn(&Run) -> Option<usize>, key: &str) {
    let all: Vec<Option<usize>> = runs.iter().map(of).collect();
    let mut sorted: Vec<usize> = all.iter().map(|one| one.unwrap_or(usize::MAX)).collect();
    sorted.sort_unstable();
    let median = sorted.get((sorted.len() - 1) / 2).filter(|median| **median < usize::MAX);
    report.set(key, json!(all));
    report.set(&format!("{key}_median"), median.copied());
    report.set(&format!("{key}_count"), all.iter().flatten().count());
}
