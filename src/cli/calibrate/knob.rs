//! `mom calibrate knob`: from a target to the floor that reaches it, on prompts with known outcomes.

use std::fs;
use std::io::{self, Write};
use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::ArgGroup;
use http::HeaderMap;
use serde_json::{Value, json};

use super::super::Failure;
use super::super::judging::{self, Choice};
use super::super::outcomes::{self, prompts};
use super::super::replay::window;
use crate::config::{Config, Policy, Route, parse_duration};
use crate::learn::knob::{self, Advice, Floor, Measured, Offer, Place, Prompt, Target};
use crate::minds::{Input, Judgement, Part, spelled};
use crate::route::{self, Availability, Candidate, Features};

mod logged;

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, group = ArgGroup::new("target").required(true))]
pub(super) struct Args {
    /// Outcomes: JSON lines, `.gz` too; several files count together.
    #[arg(long, required_unless_present = "ledger", num_args = 1.., value_name = "FILE")]
    data: Vec<PathBuf>,
    /// Logged requests of the route instead, with what clients said of their answers.
    #[arg(long, conflicts_with = "data", value_name = "FILE")]
    ledger: Option<PathBuf>,
    /// How far back in the ledger: 24h, 7d, ….
    #[arg(long, requires = "ledger", value_name = "TIME", value_parser = parse_duration)]
    since: Option<Duration>,
    /// The newest so many of the ledger.
    #[arg(long, requires = "ledger", default_value = "10000", value_name = "N")]
    limit: NonZero<usize>,
    /// The configuration whose backends are chosen among.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The route whose candidates are meant [default: the last].
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// Mean quality to reach, 0..1.
    #[arg(long, group = "target", value_name = "QUALITY")]
    min_quality: Option<f64>,
    /// Share of a backend's mean quality to reach, as in premium=0.95.
    #[arg(long, group = "target", value_name = "BACKEND=SHARE", value_parser = share)]
    quality_of: Option<(String, f64)>,
    /// What a thousand requests may cost.
    #[arg(long, group = "target", value_name = "USD")]
    max_usd_per_1k_requests: Option<f64>,
    /// Draw the curve into this file.
    #[arg(long, value_name = "FILE.svg")]
    picture: Option<PathBuf>,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// Answers with feedback from which on a curve is not the predictor's word alone.
const ENOUGH: usize = 100;

const EXAMPLES: &str = "\
Each line of FILE is {\"id\", \"prompt\", \"outcomes\": {MODEL: 0..1}}; costs are `cost_usd` {MODEL: USD} where given, else
the backend's price for the prompt's tokens and `output_tokens` (or `output_chars`, or as many as are foreseen). A
backend is found by `measured_as`, else by `model`. Prompts without an outcome of some candidate are left out.

With --ledger the prompts are logged requests (`ledger.features`): costs are their tokens at each backend's price, and an
outcome is the mean of clients' feedback on the answer, else what is foreseen. The curve is a foreseen one then, and the
answer says how many outcomes were heard.

Use prompts that [minds.quality] was not fitted on. The floor is chosen on all of them; what it comes to is told for
halves that it was not chosen on, with 95 % bootstrap intervals.

Examples:
  mom calibrate knob --config config.toml --data ours.jsonl --quality-of premium=0.95 --picture curve.svg
  mom calibrate knob --config config.toml --data ours.jsonl --max-usd-per-1k-requests 2.0
  mom calibrate knob --config config.toml --ledger ledger.db --since 7d --quality-of premium=0.95";

fn share(text: &str) -> Result<(String, f64), String> {
    let parsed = text.split_once('=').and_then(|(name, share)| Some((name.to_owned(), share.parse().ok()?)));
    parsed
        .filter(|(_, share): &(_, f64)| *share > 0.0 && *share <= 2.0)
        .ok_or_else(|| "expected BACKEND=SHARE, as in premium=0.95".to_owned())
}

pub(super) fn run(args: Args) -> Result<ExitCode, Failure> {
    let config = Config::load(&args.config).map_err(|faults| Failure::config(faults.to_string()))?;
    let route = match &args.route {
        Some(name) => config.routes.iter().find(|route| route.name == *name),
        None => config.routes.last(),
    };
    let route = route.ok_or_else(|| Failure::new("there is no such route in the configuration"))?.clone();
    let names = route.candidates.clone();
    let position = |name: &String| {
        names.iter().position(|known| known == name).ok_or_else(|| {
            Failure::new(format!("{name} is no candidate of the route {}: {}", route.name, names.join(", ")))
        })
    };
    let target = match (args.min_quality, &args.quality_of, args.max_usd_per_1k_requests) {
        (Some(quality), ..) if (0.0..=1.0).contains(&quality) => Target::Quality(quality),
        (_, Some((name, share)), _) => Target::ShareOf { backend: position(name)?, share: *share },
        (.., Some(usd)) if usd > 0.0 => Target::Budget(usd),
        _ => return Err(Failure::new("a quality is between 0 and 1, a budget above 0")),
    };
    if names.len() < 2 {
        return Err(Failure::new(format!("the route {} has one candidate: there is nothing to choose", route.name)));
    }
    if let Some(free) = names.iter().find(|name| config.backends[*name].price.output <= 0.0) {
        writeln!(io::stderr().lock(), "note: {free} costs nothing; every prompt that it may answer goes there")?;
    }
    let only = Route { when: None, policy: Policy::default(), cascade: None, ..route.clone() };
    let alone = Config { routes: vec![only], ..config };
    let models = names.iter().map(|name| alone.measured_as(name)).collect::<Vec<_>>().join(", ");
    let Known { prompts: measured, total, heard } = match &args.ledger {
        Some(path) => logged::prompts(path, &window(args.since, None, Some(args.limit)), alone, &names)?,
        None => judged(&args, &alone, &names)?,
    };
    let none =
        || Failure::new(format!("none of {total} prompts has a foreseen quality and an outcome of each of {models}"));
    let advice = knob::advise(&measured, target).ok_or_else(none)?;
    let (fixed, oracle, curve) = (knob::fixed(&measured), knob::oracle(&measured), knob::curve(&measured, &advice));
    if fixed[advice.premium].cost <= 0.0 {
        let premium = &names[advice.premium];
        return Err(Failure::new(format!(
            "{premium} costs nothing on these prompts: give it a price, or the file `cost_usd`"
        )));
    }
    if let Some(path) = &args.picture {
        let title = format!("{} prompts, route {}: what each floor costs and wins", measured.len(), route.name);
        let svg = knob::svg(&title, &names, &fixed, oracle, &curve, &advice);
        fs::write(path, svg).map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
    }
    let (used, left_out) = (measured.len(), total - measured.len());
    let answer = Answer { names, used, left_out, heard, fixed, oracle, curve, advice };
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", answer.json())?;
    } else {
        answer.write(&mut out)?;
    }
    match answer.advice.floor {
        Some(_) => Ok(ExitCode::SUCCESS),
        None => Err(Failure::new("no floor reaches the target on these prompts")),
    }
}

/// What there is to choose on.
#[derive(Default)]
struct Known {
    prompts: Vec<Prompt>,
    /// Those that were left out are among them.
    total: usize,
    /// Of a ledger's: clients said how good the answer was.
    heard: Option<usize>,
}

/// Prompts of files with outcomes, judged here.
fn judged(args: &Args, alone: &Config, names: &[String]) -> Result<Known, Failure> {
    let mut read = Vec::new();
    for file in &args.data {
        read.extend(prompts(file)?);
    }
    let total = read.len();
    let minds = Choice::new(Some(&args.config))?.load()?;
    let measured = judging::runtime()?.block_on(judging::each(read, "prompts", |prompt| {
        let minds = &minds;
        async move {
            let input = Arc::new(Input { parts: vec![Part::alone(prompt.text.as_str())], not_text: false });
            offers(alone, names, &prompt, &minds.judge(input).await)
        }
    }));
    Ok(Known { prompts: measured.into_iter().flatten().collect(), total, heard: None })
}

/// What each candidate is foreseen to do and did; `None` where one of them is unknown.
fn offers(config: &Config, names: &[String], prompt: &outcomes::Prompt, judgement: &Judgement) -> Option<Prompt> {
    let headers = HeaderMap::new();
    let features = Features {
        model: "auto",
        prompt_tokens: judgement.prompt_tokens,
        max_output_tokens: None,
        tools: false,
        images: false,
        audio: false,
        json_schema: false,
        headers: &headers,
        held: None,
    };
    let target = route::resolve(config, "auto")?;
    let decision = route::decide(config, target, &features, judgement, &|_| Availability::Ready);
    let offer = |name: &String| {
        let model = spelled(config.measured_as(name));
        let candidate: &Candidate = decision.candidates.iter().find(|candidate| candidate.backend == *name)?;
        let tokens = prompt.tokens.get(&model).map(|tokens| tokens.round() as u64);
        let priced = tokens.map(|tokens| config.backends[name].price.cost(judgement.prompt_tokens, 0, tokens));
        Some(Offer {
            quality: candidate.predicted_quality?,
            cost: candidate.predicted_cost_usd,
            outcome: *prompt.outcomes.get(&model)?,
            paid: prompt.costs.get(&model).copied().or(priced).unwrap_or(candidate.predicted_cost_usd),
        })
    };
    let offers = names.iter().map(offer).collect::<Option<Vec<Offer>>>()?;
    Some(Prompt { offers, length: prompt.text.chars().count() as f64 })
}

/// All there is to tell.
struct Answer {
    names: Vec<String>,
    used: usize,
    left_out: usize,
    heard: Option<usize>,
    fixed: Vec<Place>,
    oracle: Place,
    curve: Vec<knob::Point>,
    advice: Advice,
}

impl Answer {
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let advice = &self.advice;
        writeln!(out, "{} prompts, {} left out", self.used, self.left_out)?;
        if let Some(heard) = self.heard {
            let foreseen = self.used * self.names.len() - heard;
            writeln!(out, "{heard} outcomes heard from clients, {foreseen} foreseen: this is a foreseen curve")?;
        }
        if self.heard.is_some_and(|heard| heard < ENOUGH) {
            writeln!(out, "fewer than {ENOUGH} answers have feedback: the target rests on the predictor's word")?;
        }
        writeln!(out)?;
        writeln!(out, "{:<28} {:>12} {:>9}", "", "USD/1,000", "QUALITY")?;
        let mut row = |name: &str, at: Place| writeln!(out, "{name:<28} {:>12.4} {:>9.4}", at.cost * 1e3, at.quality);
        for (name, at) in self.names.iter().zip(&self.fixed) {
            row(&format!("always {name}"), *at)?;
        }
        row("oracle", self.oracle)?;
        let steps = self.curve.len().div_ceil(12).max(1);
        for point in self.curve.iter().step_by(steps) {
            let (Floor::At(value) | Floor::ShareOf { share: value, .. }) = point.floor;
            let key = if matches!(point.floor, Floor::At(_)) { "min_quality" } else { "quality_of: share" };
            row(&format!("{key} = {value:.4}"), point.place)?;
        }
        let percent = |of: Measured| interval(of, 100.0, 1, " %");
        let premium = &self.names[advice.premium];
        writeln!(out, "\nOn halves that the floor was not chosen on:")?;
        writeln!(out, "  cost of 1,000 requests  {}", interval(advice.cost, 1e3, 4, " USD"))?;
        writeln!(out, "  quality                 {}", interval(advice.quality, 1.0, 4, ""))?;
        writeln!(out, "  of {premium}'s quality  {}", percent(advice.of_premium))?;
        writeln!(out, "  cheaper than {premium}  {}", percent(advice.saving))?;
        writeln!(
            out,
            "  more quality than a blind mix at this cost    {}",
            interval(advice.over_blind_mix, 1.0, 4, "")
        )?;
        writeln!(out, "  more quality than routing by length           {}", interval(advice.over_length, 1.0, 4, ""))?;
        let Some(floor) = advice.floor else { return Ok(()) };
        let shares =
            self.names.iter().zip(&advice.point.shares).map(|(name, share)| format!("{name} {:.0} %", share * 100.0));
        writeln!(
            out,
            "\nPaste into the route ({}):\n\npolicy = {}",
            shares.collect::<Vec<_>>().join(", "),
            self.policy(floor)
        )
    }

    fn policy(&self, floor: Floor) -> String {
        match floor {
            Floor::At(floor) => format!("{{ min_quality = {floor} }}"),
            Floor::ShareOf { backend, share } => {
                format!("{{ quality_of = {{ backend = \"{}\", share = {share} }} }}", self.names[backend])
            }
        }
    }

    fn json(&self) -> Value {
        let place = |at: &Place| json!({"usd_per_1k_requests": at.cost * 1e3, "quality": at.quality});
        let measured = |of: Measured| json!({"value": of.value, "ci95": of.ci95.map(|(low, high)| [low, high])});
        let advice = &self.advice;
        let fixed = self.names.iter().zip(&self.fixed).map(|(name, at)| (name.clone(), place(at)));
        let curve = self.curve.iter().map(|point| {
            let mut at = place(&point.place);
            match point.floor {
                Floor::At(floor) => at["min_quality"] = floor.into(),
                Floor::ShareOf { share, .. } => at["share"] = share.into(),
            }
            at
        });
        let outcomes = self.heard.map(|heard| {
            let foreseen = self.used * self.names.len() - heard;
            json!({"heard": heard, "foreseen": foreseen, "rests_on_the_predictor": heard < ENOUGH})
        });
        json!({
            "prompts": self.used, "left_out": self.left_out, "outcomes": outcomes, "policy": advice.floor.map(|floor| self.policy(floor)),
            "premium": self.names[advice.premium], "usd_per_request": measured(advice.cost),
            "quality": measured(advice.quality), "of_premium_quality": measured(advice.of_premium),
            "saving": measured(advice.saving), "over_blind_mix": measured(advice.over_blind_mix),
            "over_length": measured(advice.over_length), "oracle": place(&self.oracle),
            "always": fixed.collect::<serde_json::Map<_, _>>(), "curve": curve.collect::<Vec<_>>(),
        })
    }
}

fn interval(of: Measured, unit: f64, digits: usize, name: &str) -> String {
    let value = format!("{:.digits$}{name}", of.value * unit);
    match of.ci95 {
        Some((low, high)) => format!("{value} ({:.digits$} to {:.digits$})", low * unit, high * unit),
        None => value,
    }
}
