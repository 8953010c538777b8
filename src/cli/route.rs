//! `mom route`: decision traces for chat bodies; calls no backend.

use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Failure;
use super::progress::{self, LOADING, Progress};
use crate::config::Config;
use crate::gateway::consider::{Moment, consider, with_model};
use crate::minds::Minds;
use crate::openai::{Endpoint, View};
use crate::route::{Availability, Trace};

/// Reads one chat completion body per line and writes one decision trace per line, in the
/// same order.
///
/// A body without `model` asks for `auto`. A field `id` comes back beside the trace. A line
/// that cannot be read gives `{"id", "error"}`; the run goes on and exits 1.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration.
    #[arg(long, default_value = "config.toml")]
    config: PathBuf,
}

/// What a line gets.
#[derive(Serialize)]
#[serde(untagged)]
enum Answer<'a> {
    Trace {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a RawValue>,
        #[serde(flatten)]
        trace: Box<Trace>,
    },
    Error {
        id: Option<&'a RawValue>,
        error: String,
    },
}

pub(super) fn run(args: Args) -> Result<ExitCode, Failure> {
    let config = Config::load(&args.config).map_err(|faults| Failure::config(faults.to_string()))?;
    let minds =
        progress::during(LOADING, || Minds::load(&config)).map_err(|error| Failure::config(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut lines, mut bad) = (0_u64, 0_u64);
    let mut progress = Progress::new("lines");
    let mut output = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().split(b'\n') {
        let line = line?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        lines += 1;
        let (id, traced) = match serde_json::from_slice::<Line<'_>>(&line) {
            // A list would pass for an object whose keys go unnamed.
            Ok(_) if !line.trim_ascii_start().starts_with(b"{") => (None, Err("expected a JSON object".to_owned())),
            Ok(known) => (known.id, runtime.block_on(trace(&config, &minds, &with_model(&line), lines))),
            Err(error) => (None, Err(error.to_string())),
        };
        let answer = match traced {
            Ok(trace) => Answer::Trace { id, trace: Box::new(trace) },
            Err(error) => Answer::Error { id, error },
        };
        bad += u64::from(matches!(answer, Answer::Error { .. }));
        serde_json::to_writer(&mut output, &answer).map_err(std::io::Error::from)?;
        output.write_all(b"\n")?;
        output.flush()?;
        progress.step();
    }
    progress.finish();
    if bad == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::new(format!("{bad} of {lines} lines could not be routed")))
}

/// The trace of one line, or why there is none.
async fn trace(config: &Config, minds: &Minds, body: &[u8], number: u64) -> Result<Trace, String> {
    let mut view = View::parse(body, Endpoint::ChatCompletions).map_err(|error| error.message)?;
    let moment =
        Moment { headers: &HeaderMap::new(), availability: &|_| Availability::Ready, held: None, learning: None };
    let considered = consider(config, minds, &mut view, moment).await;
    let mut considered = considered.ok_or_else(|| format!("the model `{}` does not exist", view.model))?;
    considered.complete().await;
    Ok(considered.trace(config, format!("line-{number}")))
}

/// What a line has besides a chat body.
#[derive(Deserialize)]
struct Line<'a> {
    /// As it was spelled.
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_carries_the_id_as_it_was_spelled() {
        let id = RawValue::from_string("1.50e3".to_owned()).unwrap();
        let answer = Answer::Error { id: Some(&id), error: "no".to_owned() };
        assert_eq!(serde_json::to_string(&answer).unwrap(), r#"{"id":1.50e3,"error":"no"}"#);
    }
}
