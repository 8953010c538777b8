//! `mom eval routing`: what a predictor's word is worth on prompts with known outcomes.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::judging::{self, Choice};
use super::super::{Failure, rows};
use crate::config::shipped;
use crate::eval::Report;
use crate::eval::frontier::{self, Offer};
use crate::eval::routing::{self, Pair};
use crate::minds::quality::{Foresight, ROLE};
use crate::minds::{Input, Kind, Minds, Part, spelled};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// JSON lines, `.gz` too; several are measured together.
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    data: Vec<PathBuf>,
    /// The cheap model of two, as the rows' `outcomes` call it. NAME=OTHER: known to the mind as OTHER.
    #[arg(long, value_name = "NAME", requires = "strong", required_unless_present = "models")]
    weak: Option<String>,
    /// The model that costs more.
    #[arg(long, value_name = "NAME", requires = "weak")]
    strong: Option<String>,
    /// Several models instead of a pair; the rows carry `cost_usd` {model: USD}.
    #[arg(long, value_name = "NAME,NAME,…", value_delimiter = ',', conflicts_with_all = ["weak", "scores"])]
    models: Vec<String>,
    /// The mind that foresees.
    #[arg(long, value_name = "NAME", default_value_t = shipped(ROLE))]
    mind: String,
    /// Take `models_dir` from this configuration.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write {"id", "score"} for each measured row; the higher, the more it needs the strong model.
    #[arg(long, value_name = "OUT.jsonl")]
    scores: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Row {
    #[serde(default)]
    id: Value,
    #[serde(alias = "text")]
    prompt: String,
    outcomes: BTreeMap<String, Option<f64>>,
    #[serde(default)]
    cost_usd: BTreeMap<String, Option<f64>>,
}

/// A model by the name that the rows have, and by the one that the mind has.
struct Model {
    name: String,
    known_as: String,
}

impl Model {
    fn new(given: &str) -> Self {
        let (name, known_as) = given.split_once('=').unwrap_or((given, given));
        Self { name: spelled(name), known_as: spelled(known_as) }
    }

    fn of(&self, values: &BTreeMap<String, Option<f64>>) -> Option<f64> {
        values.iter().find(|(name, _)| spelled(name) == self.name).and_then(|(_, value)| *value)
    }

    fn outcome(&self, row: &Row) -> Option<f64> {
        self.of(&row.outcomes).filter(|outcome| (0.0..=1.0).contains(outcome))
    }
}

/// A row and what is foreseen of its prompt; `None`: the minds could not read it.
type Read = (Row, Option<Foresight>);

pub(super) fn run(args: Args) -> Result<ExitCode, Failure> {
    let mut choice = Choice::new(args.config.as_deref())?;
    let manifest = choice.named(&args.mind)?;
    if manifest.kind != Kind::Predictor {
        return Err(Failure::config(format!("{} is made for the task {}, not for this one", args.mind, manifest.task)));
    }
    choice.only(std::slice::from_ref(&args.mind))?;
    let models: Vec<Model> =
        args.weak.iter().chain(&args.strong).chain(&args.models).map(|name| Model::new(name)).collect();
    if models.len() < 2 {
        return Err(Failure::new("name two models at least"));
    }
    let unwritable = |path: &PathBuf, error| Failure::new(format!("{}: {error}", path.display()));
    let out =
        args.scores.as_ref().map(|path| File::create(path).map_err(|error| unwritable(path, error))).transpose()?;
    let rows::Rows { rows, bad } = rows::read::<Row>(&args.data)?;
    let rows = joined(rows);
    let total = rows.len();
    let pair = args.models.is_empty();
    let complete = |row: &Row| {
        let sane = |model: &Model| {
            let cost = model.of(&row.cost_usd).is_some_and(|cost| cost.is_finite() && cost >= 0.0);
            model.outcome(row).is_some() && (pair || cost)
        };
        models.iter().all(sane)
    };
    let rows: Vec<Row> = rows.into_iter().filter(complete).collect();
    let dropped = total - rows.len();
    let minds = choice.load()?;
    let read = judging::runtime()?.block_on(judging::each(rows, "rows", |row| foresee(&minds, row)));
    let mut report = Report::default();
    report.set("task", "routing");
    report.set("mind", args.mind.as_str());
    report.set("dropped", dropped);
    report.set("bad_rows", bad);
    report.set("unavailable", read.iter().filter(|(_, foresight)| foresight.is_none()).count());
    let known: Vec<&str> = models
        .iter()
        .filter(|model| {
            read.iter().flat_map(|(_, seen)| seen).next().is_some_and(|seen| seen.of(&model.known_as).is_some())
        })
        .map(|model| model.name.as_str())
        .collect();
    report.set("known_models", json!(known));
    let of = |foresight: &Foresight| {
        models.iter().filter_map(|model| Some(foresight.of(&model.known_as)?.near)).fold(1.0_f32, f32::min)
    };
    let near: f64 = read.iter().flat_map(|(_, foresight)| foresight).map(|foresight| f64::from(of(foresight))).sum();
    report.number("near", Some(near / read.len().max(1) as f64));
    match &models[..] {
        [weak, strong] if pair => {
            report.set("weak", weak.name.as_str());
            report.set("strong", strong.name.as_str());
            report.append(routing::report(
                &read.iter().filter_map(|read| scored(read, weak, strong)).collect::<Vec<_>>(),
            ));
            if let Some(out) = out {
                let mut out = BufWriter::new(out);
                for one in &read {
                    if let Some(row) = scored(one, weak, strong) {
                        writeln!(out, "{}", json!({"id": one.0.id, "score": row.score}))?;
                    }
                }
                out.flush()?;
            }
        }
        models => {
            let offers: Vec<Vec<Offer>> = read.iter().filter_map(|read| offers(read, models)).collect();
            let names: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
            report.append(frontier::report(&names, &offers));
        }
    }
    writeln!(io::stdout().lock(), "{}", report.into_json())?;
    if read.is_empty() {
        return Err(Failure::new(format!(
            "no row could be measured: {bad} could not be read, {dropped} lack an outcome{} of a model that is named",
            if pair { "" } else { " or a cost" }
        )));
    }
    Ok(if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One row for each prompt: `mom outcomes run` writes a line for each answer.
fn joined(rows: Vec<Row>) -> Vec<Row> {
    let mut joined: Vec<Row> = Vec::with_capacity(rows.len());
    let mut places: HashMap<(String, String), usize> = HashMap::new();
    for row in rows {
        let known = (!row.id.is_null()).then(|| (row.id.to_string(), row.prompt.clone()));
        match known.as_ref().and_then(|known| places.get(known)) {
            Some(&place) => {
                joined[place].outcomes.extend(row.outcomes);
                joined[place].cost_usd.extend(row.cost_usd);
            }
            None => {
                if let Some(known) = known {
                    places.insert(known, joined.len());
                }
                joined.push(row);
            }
        }
    }
    joined
}

async fn foresee(minds: &Minds, row: Row) -> Read {
    let input = Input { parts: vec![Part::alone(row.prompt.as_str())], not_text: false };
    let judgement = minds.judge(Arc::new(input)).await;
    (row, judgement.foresight)
}

/// A prompt that cannot be read goes to the strong model.
fn scored((row, foresight): &Read, weak: &Model, strong: &Model) -> Option<routing::Row> {
    let pair = Pair { weak: weak.outcome(row)?, strong: strong.outcome(row)? };
    let score = foresight.as_ref().map_or(1.0, |foresight| foresight.need(&weak.known_as, &strong.known_as));
    Some(routing::Row { pair, score, length: row.prompt.chars().count() as f64 })
}

fn offers((row, foresight): &Read, models: &[Model]) -> Option<Vec<Offer>> {
    let offer = |model: &Model| {
        let foresight = foresight.as_ref();
        Some(Offer {
            quality: model.outcome(row)?,
            cost: model.of(&row.cost_usd)?,
            foreseen: foresight.and_then(|foresight| foresight.of(&model.known_as)).map(|one| f64::from(one.quality)),
            difficulty: foresight.map_or(0.0, |foresight| f64::from(foresight.difficulty)),
        })
    };
    models.iter().map(offer).collect()
}
