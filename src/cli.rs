//! The command line: arguments in, one call out. Nothing here decides anything.
//!
//! Results go to stdout, everything else to stderr. Exit codes: 0 done, 1 some input or
//! check failed, 2 wrong usage, 78 the configuration or the models are at fault.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde::de::{self, DeserializeOwned, IntoDeserializer};

mod bench;
mod calibrate;
mod check;
mod classify;
mod demo_backend;
mod eval;
mod health;
mod judging;
mod keys;
mod ledger;
mod lines;
mod models;
mod outcomes;
mod progress;
mod replay;
mod route;
mod rows;
mod serve;

/// Routes each LLM request to the cheapest backend that is good enough, and says why.
///
/// Point an OpenAI client's base URL at `mom serve`. Each request is read by a family of
/// small routing models ("minds"); a backend is chosen by `config.toml`; the answer is
/// streamed back byte for byte.
#[derive(Debug, Parser)]
#[command(name = "mom", version, propagate_version = true, arg_required_else_help = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  mom check                                     is config.toml right, are the models there?
  mom serve                                     run the gateway on 127.0.0.1:8080
  echo '{\"id\":1,\"text\":\"What is 2+2?\"}' | mom classify
  echo '{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}' | mom route
  mom eval jailbreak --data attacks.jsonl.gz
  mom calibrate thresholds --benign monday.jsonl --budget 0.5%

`mom COMMAND --help` explains each command.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway.
    Serve(serve::Args),
    /// Validate the configuration and the models; print every fault with file, line and a suggestion.
    Check(check::Args),
    /// What the minds say about texts: JSONL on stdin to JSONL on stdout.
    Classify(classify::Args),
    /// Which backend each request would go to, and why: JSONL of chat bodies to JSONL of traces.
    Route(route::Args),
    /// Measure a mind on labelled data; print one JSON object of metrics.
    Eval(eval::Args),
    /// Fit settings to your own traffic; print the lines for `config.toml`.
    Calibrate(calibrate::Args),
    /// Outcomes of your own prompts: ask backends, grade the answers, for `mom calibrate`.
    Outcomes(outcomes::Args),
    /// What requests cost, and what they would have cost; export.
    Ledger(ledger::Args),
    /// What another configuration would have done with logged requests: costs, quality, and which traffic moves.
    Replay(replay::Args),
    /// List and verify the minds on disk; import others.
    Models(models::Args),
    /// Measure this machine.
    Bench(bench::Args),
    /// A scripted OpenAI-compatible server for trying things out.
    DemoBackend(demo_backend::Args),
    /// Ask a running gateway whether it is ready.
    Health(health::Args),
    /// Make client keys for `[keys]`.
    Keys(keys::Args),
}

/// Why a command stops early: one line for stderr, and the exit code.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    /// Input or a check failed.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1 }
    }

    /// The configuration or a model is at fault (`EX_CONFIG`).
    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 78 }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        // The reader of a pipe has seen enough: no complaint, as with `mom classify | head`.
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self { message: String::new(), code: 0 };
        }
        Self::new(error.to_string())
    }
}

/// Parses the process's arguments and runs the command.
pub fn run() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(args) => serve::run(args),
        Command::Check(args) => check::run(args),
        Command::Classify(args) => classify::run(args),
        Command::Route(args) => route::run(args),
        Command::Eval(args) => eval::run(args),
        Command::Calibrate(args) => calibrate::run(args),
        Command::Outcomes(args) => outcomes::run(args),
        Command::Ledger(args) => ledger::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Models(args) => models::run(args),
        Command::Bench(args) => bench::run(args),
        Command::DemoBackend(args) => demo_backend::run(args),
        Command::Health(args) => health::run(args),
        Command::Keys(args) => keys::run(args),
    };
    result.unwrap_or_else(|failure| {
        if !failure.message.is_empty() {
            // Nowhere is left to report a failing stderr.
            let _ = writeln!(io::stderr().lock(), "mom: {failure}");
        }
        ExitCode::from(failure.code)
    })
}

/// A value spelled as configurations and manifests spell it.
fn named<T: DeserializeOwned>(text: &str) -> Result<T, de::value::Error> {
    T::deserialize(text.into_deserializer())
}

#[cfg(test)]
mod tests {
    use crate::config::Provider;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn a_wrong_name_is_answered_with_the_right_ones() {
        assert_eq!(super::named::<Provider>("cuda").unwrap(), Provider::Cuda);
        let said = super::named::<Provider>("gpu").unwrap_err().to_string();
        assert!(["`gpu`", "cpu", "cuda", "tensorrt"].iter().all(|name| said.contains(name)), "{said}");
    }
}
