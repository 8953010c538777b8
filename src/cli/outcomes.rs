//! `mom outcomes`: outcomes of the user's own prompts. [`read`] is for the commands that take such files.

use std::process::ExitCode;

use clap::Subcommand;

use super::Failure;

mod ask;
mod grade;
mod journal;
mod plan;
mod prompts;
mod purse;
mod read;
mod report;
mod run;
mod work;

pub(super) use read::{Prompt, prompts};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Have backends answer your own prompts, grade the answers, and say what they prove and cost.
    Run(Box<run::Args>),
}

pub(super) fn run(args: Args) -> Result<ExitCode, Failure> {
    match args.what {
        What::Run(args) => run::run(*args),
    }
}
