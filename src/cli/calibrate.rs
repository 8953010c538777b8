//! `mom calibrate`: settings and predictors fitted to the user's own traffic. Changes no configuration.

use std::process::ExitCode;

use clap::Subcommand;

use super::Failure;

mod again;
mod answer;
mod knob;
mod question;
mod thresholds;
mod train;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A guard's threshold, from benign requests and the share of them that may be flagged.
    Thresholds(thresholds::Args),
    /// The `min_quality` that reaches a quality or keeps a budget, and what it saves, from outcomes.
    Knob(knob::Args),
    /// A mind that foresees who answers a prompt well, from outcomes.
    Train(train::Args),
}

pub(super) fn run(args: Args) -> Result<ExitCode, Failure> {
    match args.what {
        What::Thresholds(args) => thresholds::run(args),
        What::Knob(args) => knob::run(args),
        What::Train(args) => train::run(args),
    }
}
