//! `mom check`: is the configuration right, are the models there?

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use super::Failure;
use crate::config::Config;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints every fault on its own line of stderr, with file, line and a suggestion, and exits
78 when there is any. Otherwise one line on stdout says what would be served.")]
pub(super) struct Args {
    /// The configuration.
    #[arg(long, default_value = "config.toml")]
    config: PathBuf,
}

pub(super) fn run(args: Args) -> Result<ExitCode, Failure> {
    let config = match Config::load(&args.config) {
        Ok(config) => config,
        Err(faults) => {
            writeln!(std::io::stderr().lock(), "{faults}")?;
            return Ok(ExitCode::from(78));
        }
    };
    writeln!(std::io::stdout().lock(), "{}", summary(&args, &config))?;
    Ok(ExitCode::SUCCESS)
}

fn summary(args: &Args, config: &Config) -> String {
    let names = |names: Vec<&String>| names.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let minds = config.minds.values().filter(|mind| mind.enabled).map(|mind| &mind.model).collect();
    format!(
        "{}: ok ({}). Would serve {} on {}, judged by {}, through {} to {}.",
        args.config.display(),
        config.hash,
        names(config.virtual_models.keys().collect()),
        config.server.listen,
        names(minds),
        names(config.routes.iter().map(|route| &route.name).collect()),
        names(config.backends.keys().collect()),
    )
}
