//! `mom route`: decision traces for chat bodies; calls no backend.

use std::path::PathBuf;
use std::process::ExitCode;

use super::Failure;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration.
    #[arg(long, default_value = "config.toml")]
    config: PathBuf,
}

pub(super) fn run(args: Args) -> Result<ExitCode, Failure> {
    Err(Failure::new(format!("route is not built yet ({})", args.config.display())))
}
