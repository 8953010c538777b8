#!/bin/sh
# Are the tools that everything here needs on this machine? One clear line for each that is not.
missing=0
need() {
    command -v "$1" >/dev/null 2>&1 && return
    echo "missing: $1. $2" >&2
    missing=1
}
need cargo "Install Rust 1.95 or newer: https://rustup.rs"
need cc "Install a C compiler, which Rust links with (Debian and Ubuntu: apt install gcc libc6-dev)"
need python3 "Install Python 3.9 or newer (Debian and Ubuntu: apt install python3 python3-pip)"
exit "$missing"
