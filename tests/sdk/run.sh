#!/usr/bin/env bash
# The official openai Python SDK against a real gateway and real demo backends.
# Usage: tests/sdk/run.sh PATH/TO/mom [pytest arguments…]
# Everything it starts listens on free loopback ports and ends with it.
set -euo pipefail

mom=$(realpath "${1:?usage: tests/sdk/run.sh PATH/TO/mom [pytest arguments…]}")
shift
cd "$(dirname "$0")/../.."

python=$(scripts/venv.sh tests/sdk/requirements.txt)
MOM=$mom exec "$python" -m pytest -q -p no:cacheprovider tests/sdk "$@"
