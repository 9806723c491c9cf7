#!/bin/sh
# Configures (once) and builds the folder given first; further arguments go to cmake. Quiet unless something fails.
set -eu
build=$1
shift
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! cmake -S . -B "$build" -G Ninja "$@" >"$log" 2>&1; then
    cat "$log" >&2
    exit 1
fi
cmake --build "$build"
