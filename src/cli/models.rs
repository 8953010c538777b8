//! `mom models`.

use std::process::ExitCode;

use super::Failure;

#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(Args {}: Args) -> Result<ExitCode, Failure> {
    Err(Failure::new("models is not built yet"))
}
