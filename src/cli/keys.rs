//! `mom keys`: makes client keys. The gateway keeps only their digests.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Subcommand;
use rand::TryRng as _;
use rand::rngs::SysRng;

use super::Failure;
use crate::config::KeyDigest;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key: the key on stdout, what goes into config.toml on stderr.
    ///
    /// The key is shown this once and kept nowhere; the configuration holds its sha256.
    /// Clients send it as `Authorization: Bearer mom-…`.
    New {
        /// Who the key is for: names it in the log.
        #[arg(value_parser = name)]
        name: String,
    },
}

pub(super) fn run(args: Args) -> Result<ExitCode, Failure> {
    let Command::New { name } = args.command;
    let mut bytes = [0; 32];
    SysRng.try_fill_bytes(&mut bytes).map_err(|error| Failure::new(format!("no random numbers to be had: {error}")))?;
    let key = key(&bytes);
    writeln!(
        std::io::stderr().lock(),
        "Give this key to {name}; it is shown only once. Put this into config.toml:\n\n\
         [keys.{name}]\nsha256 = \"{}\"\n",
        KeyDigest::of(&key)
    )?;
    writeln!(std::io::stdout().lock(), "{key}")?;
    Ok(ExitCode::SUCCESS)
}

/// `mom-` and 256 random bits in hex.
fn key(bytes: &[u8; 32]) -> String {
    bytes.iter().fold("mom-".to_owned(), |mut key, byte| {
        // Writing to a String cannot fail.
        let _ = write!(key, "{byte:02x}");
        key
    })
}

/// A name that TOML takes without quotes.
fn name(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !text.is_empty() && text.bytes().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("use letters, digits, - and _".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_256_bits_in_hex() {
        let key = key(&[0xab; 32]);
        assert_eq!(key, format!("mom-{}", "ab".repeat(32)));
        assert!(KeyDigest::of(&key).matches(&KeyDigest::of(&key)));
    }

    #[test]
    fn names_need_no_quotes() {
        assert!(name("team-a_1").is_ok());
        assert!(name("").is_err() && name("a b").is_err() && name("a.b").is_err());
    }
}
