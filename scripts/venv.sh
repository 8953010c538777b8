#!/usr/bin/env bash
# Makes sure that .runtime/venv has what a requirements file names; prints its Python.
# Usage: scripts/venv.sh REQUIREMENTS.txt. Progress goes to stderr.
set -euo pipefail
cd "$(dirname "$0")/.."

requirements=$1
venv=.runtime/venv
stamp=$venv/$(printf '%s' "$requirements" | tr '/' '-')
say() { printf 'setup: %s\n' "$*" >&2; }

if [ ! -x "$venv/bin/python" ]; then
    say "making a Python virtual environment in $venv"
    mkdir -p .runtime
    # Debian's Python comes without ensurepip; its own pip then does the installing.
    python3 -m venv "$venv" >/dev/null 2>&1 || python3 -m venv --clear --without-pip "$venv" >&2
fi
if ! cmp -s "$requirements" "$stamp"; then
    say "installing $requirements into $venv"
    pip=("$venv/bin/python" -m pip)
    "${pip[@]}" --version >/dev/null 2>&1 || pip=(python3 -m pip --python "$venv/bin/python")
    "${pip[@]}" --version >/dev/null 2>&1 || {
        say "python3 has neither pip nor ensurepip: install one (on Debian and Ubuntu: apt install python3-pip)"
        exit 1
    }
    "${pip[@]}" install --quiet --disable-pip-version-check --requirement "$requirements" >&2
    cp "$requirements" "$stamp"
fi
printf '%s\n' "$PWD/$venv/bin/python"
