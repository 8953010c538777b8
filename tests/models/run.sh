#!/usr/bin/env bash
# What `make models` does, and what its graphs answer. Prepares the small base, smollm2-135m, in the
# cache folder (MOM_BASES_DIR, else ~/.cache/mom/bases): 94 MB to fetch the first time, 174 MB to keep.
# Usage: tests/models/run.sh [pytest arguments…]
set -euo pipefail
cd "$(dirname "$0")/../.."

python=$(scripts/venv.sh scripts/models/requirements.txt)
scripts/venv.sh tests/models/requirements.txt >/dev/null
"$python" scripts/models smollm2-135m || {
    printf 'test: without the base smollm2-135m the decoder path cannot be tested\n' >&2
    exit 1
}
exec "$python" -m pytest -q -p no:cacheprovider tests/models "$@"
