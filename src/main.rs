//! `mom`: see `src/cli.rs`.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Many small, short-lived buffers on several threads are what a relay allocates.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    mom::cli::run()
}
