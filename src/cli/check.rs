//! `mom check`: is the configuration right, are the models there?

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use super::Failure;
use super::progress;
use crate::config::{Config, MindFolders};
use crate::ledger::Store;
use crate::minds::{Folder, MindStatus, Minds, Refusal, base_faults};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints every fault on its own line of stderr, with file, line and a suggestion, and exits
78 when there is any. Otherwise one line on stdout says what would be served; an execution
provider that cannot be used is a note on stderr, as the next one takes over.")]
pub(super) struct Args {
    /// The configuration.
    #[arg(long, default_value = "config.toml")]
    config: PathBuf,
}

pub(super) fn run(args: Args) -> Result<ExitCode, Failure> {
    match progress::during("checking the configuration and the models", || check(&args)) {
        Ok((config, minds)) => {
            writeln!(std::io::stdout().lock(), "{}", summary(&args, &config))?;
            for note in minds.status().iter().flat_map(notes) {
                writeln!(std::io::stderr().lock(), "note: {note}")?;
            }
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

/// Configuration and minds, or what is wrong with them.
fn check(args: &Args) -> Result<(Config, Minds), Vec<String>> {
    let config =
        Config::load(&args.config).map_err(|faults| [vec![faults.to_string()], models(&faults.minds)].concat())?;
    let mut faults = models(&config.mind_folders());
    faults.extend(ledger(&config));
    if !faults.is_empty() {
        return Err(faults);
    }
    // Last, because it takes longest: every mind answers once.
    let minds = Minds::load(&config).map_err(|fault| vec![fault.to_string()])?;
    Ok((config, minds))
}

/// Why the ledger could not be kept. Makes no file.
fn ledger(config: &Config) -> Option<String> {
    let path = &config.ledger.as_ref()?.path;
    let told = |error: String| Some(format!("ledger.path = {:?}: {error}", path.display().to_string()));
    if path.exists() {
        return Store::open_existing(path).err().and_then(|error| told(error.to_string()));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.filter(|folder| !folder.is_dir()).and_then(|folder| told(format!("there is no folder {}", folder.display())))
}

/// What works, but not as it was wished.
fn notes(mind: &MindStatus) -> impl Iterator<Item = String> {
    mind.refused.iter().map(|Refusal { provider, why }| {
        format!("{} will run on {}, not on {provider}: {why}", mind.name, mind.provider)
    })
}

/// Every manifest and every file that is not what it should be.
fn models(minds: &MindFolders) -> Vec<String> {
    let (mut hashes, mut faults) = (BTreeMap::new(), Vec::new());
    for name in &minds.names {
        match Folder::open(&minds.folders.models_dir, name) {
            Ok(folder) => {
                faults.extend(folder.faults(&mut hashes).map(|fault| fault.to_string()));
                let base = base_faults(&folder, &minds.folders.bases_dir, &mut hashes);
                faults.extend(base.iter().map(ToString::to_string));
            }
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
    let shadow = config.shadow.as_ref().map(|shadow| format!(" {} decides in its shadow.", shadow.config.display()));
    format!(
        "{}: ok ({}). Would serve {} on {}, judged by {}, through {} to {}.{}",
        args.config.display(),
        config.hash,
        names(config.virtual_models.keys().collect()),
        config.server.listen,
        names(minds),
        names(config.routes.iter().map(|route| &route.name).collect()),
        names(config.backends.keys().collect()),
        shadow.unwrap_or_default(),
    )
}
