//! `mom calibrate`: settings fitted to the user's own traffic. Prints them; changes no file.

use std::process::ExitCode;

use clap::Subcommand;

use super::Failure;

mod again;
mod answer;
mod question;
mod thresholds;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A guard's threshold, from benign requests and the share of them that may be flagged.
    Thresholds(thresholds::Args),
}

pub(super) fn run(args: Args) -> Result<ExitCode, Failure> {
    match args.what {
        What::Thresholds(args) => thresholds::run(args),
    }
}
