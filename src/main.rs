//! `mom`: see `src/cli.rs`.

use std::process::ExitCode;

fn main() -> ExitCode {
    mom::cli::run()
}
