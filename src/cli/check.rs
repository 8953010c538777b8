//! `mom check`: is the configuration right, are the models there?

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use super::Failure;
use crate::config::Config;
use crate::minds::{Folder, Minds};

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
        Err(faults) => return complain(&[faults]),
    };
    let faults = models(&config);
    if !faults.is_empty() {
        return complain(&faults);
    }
    // Last, because it takes longest: every mind answers once.
    if let Err(fault) = Minds::load(&config) {
        return complain(&[fault]);
    }
    writeln!(std::io::stdout().lock(), "{}", summary(&args, &config))?;
    Ok(ExitCode::SUCCESS)
}

/// One fault for each mind whose manifest or files are not what they should be.
fn models(config: &Config) -> Vec<String> {
    let mut hashes = BTreeMap::new();
    let enabled = config.minds.values().filter(|mind| mind.enabled);
    let verified = enabled.map(|mind| Folder::open(&config.models_dir, &mind.model)?.verify(&mut hashes));
    verified.filter_map(Result::err).map(|fault| fault.to_string()).collect()
}

fn complain(faults: &[impl Display]) -> Result<ExitCode, Failure> {
    let mut stderr = std::io::stderr().lock();
    for fault in faults {
        writeln!(stderr, "{fault}")?;
    }
    Ok(ExitCode::from(78))
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
