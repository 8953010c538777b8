#!/usr/bin/env bash
# Formatting, clippy, documentation and dependency rules; warnings are errors.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'lint: %s\n' "$*"; }

say "cargo fmt"
cargo fmt --check
say "cargo clippy"
cargo clippy --locked --all-targets --quiet -- -D warnings
say "cargo doc"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items --quiet
if cargo deny --version >/dev/null 2>&1; then
    say "cargo deny (bans, licences, sources)"
    cargo deny --locked check bans licenses sources
else
    say "cargo deny is not installed: bans, licences and sources were NOT checked (cargo install --locked cargo-deny)"
fi
say "clean"
