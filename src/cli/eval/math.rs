//! `mom eval math`: rows of questions and what is known of them, beside what the minds say.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::Failure;
use super::super::judging::Choice;
use super::{Data, Measured, measure};
use crate::config::shipped;
use crate::eval::Report;
use crate::eval::math::{self, Brain, Expert, Models, failing};
use crate::eval::routing::Prices;
use crate::minds::{Judgement, Opined, spelled};

/// What stands beside the expert.
const BRAIN: &str = "mom-brain-flash";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    data: Data,
    /// The expert to measure.
    #[arg(long, value_name = "NAME", default_value_t = shipped("expert-math"))]
    mind: String,
    /// The cheap model of two to route between, as the rows' `outcomes` call it.
    #[arg(long, value_name = "NAME", requires = "strong")]
    weak: Option<String>,
    /// The model that costs more.
    #[arg(long, value_name = "NAME", requires = "weak")]
    strong: Option<String>,
    /// USD per 1M tokens of the weak model.
    #[arg(long, value_name = "USD", default_value_t = 1.0, value_parser = price)]
    weak_price: f64,
    /// USD per 1M tokens of the strong model.
    #[arg(long, value_name = "USD", default_value_t = 25.0, value_parser = price)]
    strong_price: f64,
    /// Write {"id", "difficulty", "p_solve", "score"} for each measured row.
    #[arg(long, value_name = "OUT.jsonl")]
    scores: Option<PathBuf>,
}

fn price(text: &str) -> Result<f64, String> {
    let price = text.parse().ok().filter(|price: &f64| price.is_finite() && *price > 0.0);
    price.ok_or_else(|| "expected a number above 0".to_owned())
}

pub(super) fn run(args: Args) -> Result<ExitCode, Failure> {
    let prices = Prices { weak: args.weak_price, strong: args.strong_price };
    let pair = args.weak.as_deref().map(spelled).zip(args.strong.as_deref().map(spelled));
    let models = pair.map(|(weak, strong)| Models { weak, strong, prices });
    if let Some(models) = &models {
        let known = Choice::new(args.data.config.as_deref())?.named(&args.mind)?.solvers;
        let unknown =
            [&models.weak, &models.strong].into_iter().find(|model| known.iter().all(|name| spelled(name) != **model));
        if let Some(model) = unknown {
            let known = known.join(", ");
            return Err(Failure::new(format!("{} knows no model called {model}; it knows: {known}", args.mind)));
        }
    }
    // Before the minds read for minutes.
    let unwritable = |path: &PathBuf, error| Failure::new(format!("{}: {error}", path.display()));
    let out = args.scores.map(|path| File::create(&path).map_err(|error| unwritable(&path, error))).transpose()?;
    let math = Math { models };
    let (outcomes, code) = measure(&math, &args.data, &[args.mind, BRAIN.to_owned()])?;
    if let Some(out) = out {
        math.write(&outcomes, BufWriter::new(out))?;
    }
    Ok(code)
}

struct Math {
    models: Option<Models>,
}

#[derive(Deserialize)]
struct Question {
    #[serde(default)]
    id: Value,
    #[serde(alias = "prompt")]
    text: String,
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    domain: Option<String>,
    #[serde(default)]
    difficulty: Option<f64>,
    #[serde(default, alias = "math_level")]
    level: Option<f64>,
    #[serde(default)]
    outcomes: BTreeMap<String, f64>,
}

/// A row and its `id`.
type Answered = (Value, math::Row);

impl Measured for Math {
    type Row = Question;
    type Outcome = Answered;
    const NAME: &'static str = "math";
    const ROLE: &'static str = "expert";

    fn usable(row: &Question, labels: &[String]) -> bool {
        let share = |value: &f64| (0.0..=1.0).contains(value);
        let sane = row.difficulty.iter().chain(row.outcomes.values()).all(share);
        let knows = row.domain.as_ref().is_some_and(|domain| labels.contains(domain))
            || row.difficulty.or(row.level).is_some()
            || !row.outcomes.is_empty();
        sane && knows
    }

    fn texts(row: &Question) -> Vec<String> {
        vec![row.text.clone()]
    }

    fn outcome(row: Question, judgements: &[Judgement]) -> Result<Answered, String> {
        let judgement = judgements.first().ok_or("nothing")?;
        let Opined::Expert(said) = judgement.opinions.last().ok_or("off")?.said.known()? else {
            return Err("no expert".to_owned());
        };
        let intent = judgement.intent.known()?;
        let ([_, medium, hard], (label, _)) = intent.complexity.zip(intent.complexity()).ok_or("no complexity")?;
        let brain = Brain { complexity: f64::from(medium / 2.0 + hard), simple: label == "simple" };
        let outcomes = row.outcomes.iter().map(|(model, outcome)| (spelled(model), *outcome)).collect();
        let p_solve = said.p_solve.iter().flat_map(|(names, chances)| names.iter().zip(chances));
        let p_solve = p_solve.map(|(name, chance)| (spelled(name), f64::from(*chance))).collect();
        let known = |domain: &String| said.labels.contains(domain).then(|| domain == said.domain().0);
        let row = (
            row.id,
            math::Row {
                length: row.text.chars().count() as f64,
                source: row.source,
                domain_right: row.domain.as_ref().and_then(known),
                difficulty: row.difficulty.or(row.level).or_else(|| failing(&outcomes)),
                outcomes,
                expert: Expert { difficulty: f64::from(said.difficulty), p_solve },
                brain,
            },
        );
        Ok(row)
    }

    fn report(&self, outcomes: &[Answered], _: &[String]) -> Report {
        let rows: Vec<math::Row> = outcomes.iter().map(|(_, row)| row.clone()).collect();
        math::report(&rows, self.models.as_ref())
    }
}

impl Math {
    /// `score` says which rows need the strong model; the difficulty where there are not two.
    fn write(&self, outcomes: &[Answered], mut out: impl Write) -> Result<(), Failure> {
        for (id, row) in outcomes {
            let expert = &row.expert;
            let score = self.models.as_ref().and_then(|models| row.need(models)).unwrap_or(expert.difficulty);
            let line = json!({"id": id, "difficulty": expert.difficulty, "p_solve": expert.p_solve, "score": score});
            writeln!(out, "{line}")?;
        }
        Ok(out.flush()?)
    }
}
