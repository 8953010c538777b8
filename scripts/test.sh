#!/usr/bin/env bash
# Every test: the house checks, the making of bases, the Rust tests (real gateway, real minds,
# real sockets), then the OpenAI SDK against the same binary. The runner's own closing line comes last.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'test: %s\n' "$*"; }
log=$(mktemp)
trap 'rm -f "$log"' EXIT

say "files around the code (tests/house)"
python=$(scripts/venv.sh tests/house/requirements.txt)
"$python" tests/house/check.py

say "bases of decoder minds (tests/models); the Rust tests read the small one, too"
tests/models/run.sh

say "Rust tests (a first build of the dependencies takes a few minutes)"
if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --locked 2>&1 | tee "$log"
else
    say "cargo-nextest is not installed: using cargo test, which runs the same tests"
    cargo test --locked --lib --bins --tests 2>&1 | tee "$log"
fi

say "examples in the documentation"
cargo test --locked --doc --quiet

say "the openai Python SDK as a client (tests/sdk)"
cargo build --locked --quiet
tests/sdk/run.sh "${CARGO_TARGET_DIR:-target}/debug/mom"

say "everything passed; the Rust test runner said:"
grep -E '^ *Summary |^test result: ' "$log"
