#!/usr/bin/env bash
# Serves a configuration in the foreground, with the demo backends that it names.
# Usage: scripts/run.sh [config.toml]. Ctrl-C or SIGTERM ends everything it started.
set -euo pipefail
cd "$(dirname "$0")/.."

config=${1:-config.toml}
mom=${CARGO_TARGET_DIR:-target}/release/mom
say() { printf 'run: %s\n' "$*"; }

# The value of a `[server]` key, from the environment, the file, or its default.
setting() {
    local from_file
    from_file=$(sed -n "s/^$2 *= *\"\([^\"]*\)\".*/\1/p" "$config" | head -n 1)
    printf '%s' "${!1:-${from_file:-$3}}"
}

gateway=
demos=()
stop() {
    trap - EXIT INT TERM
    # The gateway first, so that its running streams can finish.
    if [ -n "$gateway" ]; then
        kill -TERM "$gateway" 2>/dev/null && say "stopping; running requests may finish" || true
        wait "$gateway" 2>/dev/null || true
    fi
    [ ${#demos[@]} -eq 0 ] || kill -TERM "${demos[@]}" 2>/dev/null || true
    wait
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

demo() {
    local address=$1 name=$2
    if grep -Eq "^[^#]*$address" "$config"; then
        say "demo backend '$name' on $address"
        "$mom" demo-backend --listen "$address" --name "$name" &
        demos+=($!)
    fi
}

say "verifying the models"
"$mom" models verify
demo 127.0.0.1:8090 cheap
demo 127.0.0.1:8091 premium
say "serving $config (Ctrl-C ends it)"
"$mom" serve --config "$config" &
gateway=$!

for _ in $(seq 300); do
    kill -0 "$gateway" 2>/dev/null || break
    if "$mom" health --config "$config" >/dev/null 2>&1; then
        url=http://$(setting MOM_SERVER__LISTEN listen 127.0.0.1:8080)/v1/chat/completions
        say "ready. In another terminal, an easy question and a hard one:"
        for question in \
            'What is the boiling point of water in Celsius?' \
            'Why does a bounded harmonic function on the plane have to be constant?'; do
            printf "\n  curl -si %s -H 'content-type: application/json' \\\\\n" "$url"
            printf "    -d '{\"model\":\"auto\",\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}]}'\n" "$question"
        done
        printf '\n'
        break
    fi
    sleep 0.2
done

# A demo backend that dies is reported by the gateway's breaker; only the gateway's end ends this.
status=0
wait "$gateway" || status=$?
gateway=
exit "$status"
