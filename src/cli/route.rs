//! `mom route`: decision traces for chat bodies; calls no backend.

use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use http::HeaderMap;
use serde_json::{Value, json};

use super::Failure;
use crate::config::Config;
use crate::gateway::consider::consider;
use crate::minds::Minds;
use crate::openai::{Endpoint, View};
use crate::route::{Availability, Trace};

/// Reads one chat completion body per line and writes one decision trace per line, in the
/// same order.
///
/// A body without `model` asks for `auto`. A field `id` comes back as the trace's
/// `request_id`. A line that cannot be read gives `{"id", "error"}`; the run goes on and
/// exits 1.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration.
    #[arg(long, default_value = "config.toml")]
    config: PathBuf,
}

pub(super) fn run(args: Args) -> Result<ExitCode, Failure> {
    let config = Config::load(&args.config).map_err(|faults| Failure::config(faults.to_string()))?;
    let minds = Minds::load(&config).map_err(|error| Failure::config(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut lines, mut bad) = (0_u64, 0_u64);
    let mut output = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().split(b'\n') {
        let line = line?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        lines += 1;
        match runtime.block_on(trace(&config, &minds, &line, lines)) {
            Ok(trace) => serde_json::to_writer(&mut output, &trace).map_err(std::io::Error::from)?,
            Err(error) => {
                bad += 1;
                serde_json::to_writer(&mut output, &error).map_err(std::io::Error::from)?;
            }
        }
        output.write_all(b"\n")?;
        output.flush()?;
    }
    if bad == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::new(format!("{bad} of {lines} lines could not be routed")))
}

/// The trace of one line, or the object that says what is wrong with it.
async fn trace(config: &Config, minds: &Minds, line: &[u8], number: u64) -> Result<Trace, Value> {
    let (id, body) = read(line)?;
    let fail = |message: String| json!({"id": id, "error": message});
    let mut view = View::parse(&body, Endpoint::ChatCompletions).map_err(|error| fail(error.message))?;
    let ready = |_: &str| Availability::Ready;
    let considered = consider(config, minds, &mut view, &HeaderMap::new(), &ready).await;
    let considered = considered.ok_or_else(|| fail(format!("the model `{}` does not exist", view.model)))?;
    let name = match &id {
        Value::Null => number.to_string(),
        Value::String(id) => id.clone(),
        id => id.to_string(),
    };
    Ok(considered.trace(config, name))
}

/// The line's `id`, and its bytes with a `model` where it had none.
fn read(line: &[u8]) -> Result<(Value, Vec<u8>), Value> {
    let fail = |id: &Value, message: String| json!({"id": id, "error": message});
    let body: Value = serde_json::from_slice(line).map_err(|error| fail(&Value::Null, error.to_string()))?;
    let Value::Object(mut body) = body else {
        return Err(fail(&Value::Null, "expected a JSON object".to_owned()));
    };
    let id = body.get("id").cloned().unwrap_or_default();
    if body.contains_key("model") {
        // As given: the view refuses duplicates that a parsed copy would hide.
        return Ok((id, line.to_vec()));
    }
    body.insert("model".to_owned(), Value::from("auto"));
    let body = serde_json::to_vec(&body).map_err(|error| fail(&id, error.to_string()))?;
    Ok((id, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_without_a_model_asks_for_auto() {
        let (id, body) = read(br#"{"id": 7, "messages": []}"#).unwrap();
        assert_eq!((id, &*body), (json!(7), br#"{"id":7,"messages":[],"model":"auto"}"#.as_slice()));
        let given = br#"{"model": "x",  "messages": []}"#;
        assert_eq!(read(given).unwrap(), (Value::Null, given.to_vec()));
    }

    #[test]
    fn a_line_that_is_no_object_is_an_error_with_its_id() {
        for line in ["", "{", "[1]", "5", "\"text\""] {
            assert_eq!(read(line.as_bytes()).unwrap_err()["id"], Value::Null, "{line}");
        }
    }
}
