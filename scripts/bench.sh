#!/usr/bin/env bash
# Measures this machine: the minds against a naive stack, and the proxy against Envoy where its
# wheel can be had. Arguments go to `mom bench proxy`.
set -euo pipefail
cd "$(dirname "$0")/.."

mom=${CARGO_TARGET_DIR:-target}/release/mom
say() { printf 'bench: %s\n' "$*"; }

say "mom bench minds: what judging costs, beside a naive stack"
"$mom" bench minds

envoy=()
if python3 scripts/setup.py envoy; then
    envoy=(--envoy .runtime/envoy-1.40.0/envoy)
else
    say "measuring without Envoy"
fi
say "mom bench proxy: added latency, requests per second, memory, cold start"
"$mom" bench proxy ${envoy[@]+"${envoy[@]}"} "$@"
