//! `mom check`: is the configuration right, are the models there?

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use super::Failure;
use super::progress;
use crate::config::{Config, MindFolders};
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
    match progress::during("checking the configuration and the models", || check(&args)) {
        Ok(config) => {
            writeln!(std::io::stdout().lock(), "{}", summary(&args, &config))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(faults) => {
            let mut stderr = std::io::stderr().lock();
            for fault in faults {
                writeln!(stderr, "{fault}")?;
            }
            Ok(ExitCode::from(78))
        }
    }
}

/// The configuration, or what is wrong with it and with the models.
fn check(args: &Args) -> Result<Config, Vec<String>> {
    let config =
        Config::load(&args.config).map_err(|faults| [vec![faults.to_string()], models(&faults.minds)].concat())?;
    let faults = models(&config.mind_folders());
    if !faults.is_empty() {
        return Err(faults);
    }
    // Last, because it takes longest: every mind answers once.
    Minds::load(&config).map_err(|fault| vec![fault.to_string()])?;
    Ok(config)
}

/// Every manifest and every file that is not what it should be.
fn models(minds: &MindFolders) -> Vec<String> {
    let (mut hashes, mut faults) = (BTreeMap::new(), Vec::new());
    for name in &minds.names {
        match Folder::open(&minds.models_dir, name) {
            Ok(folder) => faults.extend(folder.faults(&mut hashes).map(|fault| fault.to_string())),
            Err(fault) => faults.push(fault.to_string()),
        }
    }
    // Minds share files.
    let mut told = BTreeSet::new();
    faults.retain(|fault| told.insert(fault.clone()));
    faults
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
