//! `mom models import`: a model from elsewhere becomes a mind.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use crate::cli::judging::Choice;
use crate::cli::progress;
use crate::cli::{Failure, named};
use crate::config::Mind;
use crate::minds::Task;
use crate::minds::import::{self, Report, Request};

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The export: config.json, tokenizer.json, a mapping file, and the graph, here or in onnx/.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The mind's name: mom-CATEGORY-SIZE, for example mom-brain-modern-flash.
    #[arg(long = "as", value_name = "NAME")]
    name: String,
    /// Which graph, where there are several; else model.onnx, then model_quantized.onnx,
    /// model_int8.onnx, model_uint8.onnx, model_fp16.onnx, model_optimized.onnx.
    #[arg(long, value_name = "FILE")]
    graph: Option<PathBuf>,
    /// What it is for, where neither the name nor the mapping file says so: intent, jailbreak, pii
    /// or similarity.
    #[arg(long, value_parser = named::<Task>)]
    task: Option<Task>,
    /// Tokens of a window; else 512, or fewer where the model or its tokenizer takes fewer.
    #[arg(long, value_name = "N")]
    max_tokens: Option<usize>,
    /// The operating point; else 0.5, for similarity 0.8.
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    threshold: Option<f32>,
    /// Noted in the manifest; else `unknown`.
    #[arg(long, value_name = "TEXT")]
    licence: Option<String>,
    /// Unicode scripts that it reads, or Any; else Any for vocabularies of 150,000 tokens or
    /// more, and Latin. Text in others is `unavailable`.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    scripts: Vec<String>,
    /// Replace a mind of this name.
    #[arg(long)]
    force: bool,
    /// Import into `models_dir` of this configuration.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Nothing is left behind when an import is refused. What is read and how labels are translated:
docs/minds-from-elsewhere.md.

Examples:
  mom models import ~/models/modernbert-domains --as mom-brain-modern-flash --licence Apache-2.0
  mom models import ./guard --as mom-jailbreak-mine-flash --graph onnx/model_quantized.onnx
  mom classify --mind mom-jailbreak-mine-flash < texts.jsonl";

pub(super) fn run(args: Args) -> Result<ExitCode, Failure> {
    let models_dir = Choice::new(args.config.as_deref())?.folders.models_dir;
    let request = Request {
        folder: args.folder,
        name: args.name,
        models_dir,
        graph: args.graph,
        task: args.task,
        max_tokens: args.max_tokens,
        threshold: args.threshold,
        licence: args.licence,
        scripts: args.scripts,
        force: args.force,
    };
    let report = progress::during("copying the model and trying it out", || import::import(&request));
    let report = report.map_err(|error| {
        // What the library says may run over several lines.
        let reason: Vec<_> = error.to_string().split_whitespace().map(str::to_owned).collect();
        Failure::new(format!("nothing imported: {}", reason.join(" ")))
    })?;
    tell(&report)?;
    Ok(ExitCode::SUCCESS)
}

fn tell(report: &Report) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let mut line = |what: &str, says: String| writeln!(out, "  {what:<10} {says}");
    line("mind", format!("{} in {}", report.name, report.place.display()))?;
    let labels = report.labels_from.as_ref().map(|file| format!(", {} labels from {file}", report.labels));
    line("task", format!("{}{}", report.task, labels.unwrap_or_default()))?;
    if !report.renamed.is_empty() {
        let renamed: Vec<_> = report.renamed.iter().map(|(theirs, ours)| format!("{theirs} -> {ours}")).collect();
        line("renamed", renamed.join(", "))?;
    }
    let megabytes = report.bytes as f64 / 1e6;
    line("graph", format!("{}, {megabytes:.1} MB, {} in {} bits", report.graph, report.output, report.bits))?;
    if !report.passed_over.is_empty() {
        line("", format!("not taken: {}", report.passed_over.join(", ")))?;
    }
    let positions = report.positions.map(|positions| format!(" (the model has {positions} positions)"));
    let (max, overlap) = (report.max_tokens, report.overlap_tokens);
    line("windows", format!("{max} tokens, {overlap} of them shared{}", positions.unwrap_or_default()))?;
    line("scripts", report.scripts.join(", "))?;
    if let Some(threshold) = report.threshold {
        line("threshold", format!("{threshold} (--threshold or the configuration sets another)"))?;
    }
    line("licence", report.licence.clone())?;
    let trial = &report.trial;
    line(
        "self-test",
        format!("{} texts, {} windows: numbers, right shapes, spans inside", trial.texts, trial.windows),
    )?;
    let (short, long) = trial.padded;
    let apart = trial
        .difference
        .map(|apart| format!("answers alone and padded from {short} to {long} tokens differ by {apart:.1e}"));
    let apart = apart.unwrap_or_else(|| "the graph takes no batch".to_owned());
    let verdict = if trial.batch_invariant() { "" } else { ", so windows run one at a time" };
    line("", format!("{apart}{verdict}"))?;
    let time = |(tokens, took): (usize, Duration)| format!("{tokens} tokens {:.1} ms", took.as_secs_f64() * 1e3);
    line("", format!("{}, {}", time(trial.short), time(trial.full)))?;
    line("try", format!("echo '{{\"id\":1,\"text\":\"Hello\"}}' | mom classify --mind {}", report.name))?;
    line("use", "these lines in config.toml".to_owned())?;
    writeln!(out, "\n{}", config(report.task.role(), &report.name, trial.full.1))
}

/// The lines for `config.toml`; with a deadline that leaves room for four full windows, where
/// the usual one does not.
fn config(role: &str, name: &str, window: Duration) -> String {
    let needed = (4 * window).as_millis().div_ceil(100) * 100;
    let enough = needed <= Mind::default().deadline.as_millis();
    let deadline = if enough { String::new() } else { format!("\ndeadline = \"{needed}ms\"") };
    format!("[minds.{role}]\nmodel = \"{name}\"{deadline}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_slow_model_is_given_time() {
        let backend = "[backends.one]\nbase_url = \"http://127.0.0.1:9000/v1\"";
        let route = "[[routes]]\nname = \"all\"\ncandidates = [\"one\"]";
        for (window, deadline) in [(310, Mind::default().deadline), (2010, Duration::from_millis(8100))] {
            let lines = config("brain", "mom-brain-modern-flash", Duration::from_millis(window));
            let config = Config::parse(&format!("{lines}\n{backend}\n{route}\n")).unwrap();
            let mind = &config.minds["brain"];
            assert_eq!((mind.model.as_str(), mind.deadline), ("mom-brain-modern-flash", deadline), "{lines}");
        }
    }
}
