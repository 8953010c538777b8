//! `mom check`: is the configuration right, are the models there?

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
    Err(Failure::config(format!("check is not built yet ({})", args.config.display())))
}
