#!/bin/sh
# Builds the fuzz targets with clang under the address and undefined-behaviour sanitizers and runs each for SECONDS_EACH (60) seconds
# from its seeds. Findings go to build-fuzz/findings. Status 1 when a target fails. Usage: tools/fuzz.sh [TARGET...]
set -eu
cd "$(dirname "$0")/.."
build=build-fuzz
seconds=${SECONDS_EACH:-60}

compiler=$(command -v clang-14 || command -v clang) || { echo "fuzz: clang is not there" >&2; exit 2; }
cmake -S . -B "$build" -G Ninja -DCMAKE_C_COMPILER="$compiler" -DSUBQUAD_FUZZ=ON -DSUBQUAD_TESTS=OFF \
    -DSUBQUAD_SANITIZE=fuzzer-no-link,address,undefined >"$build.log" 2>&1 || { cat "$build.log" >&2; exit 1; }
mv "$build.log" "$build/configure.log"
ninja -C "$build" fuzzers >"$build/build.log" 2>&1 || { cat "$build/build.log" >&2; exit 1; }

targets=${*:-$(cd fuzz && ls fuzz_*.c | sed 's/^fuzz_\(.*\)\.c$/\1/')}
mkdir -p "$build/findings"
failed=0
for target in $targets; do
    found="$build/corpus/$target"
    log="$build/$target.log"
    mkdir -p "$found"
    dictionary=""
    [ -f "fuzz/$target.dict" ] && dictionary="-dict=fuzz/$target.dict"
    if UBSAN_OPTIONS=halt_on_error=1 "$build/fuzz/fuzz_$target" -max_total_time="$seconds" -entropic=0 -max_len=4096 -timeout=10 -rss_limit_mb=1024 \
        -artifact_prefix="$build/findings/$target-" $dictionary "$found" "fuzz/corpus/$target" >"$log" 2>&1; then
        echo "$target: $(sed -n 's/^Done \([0-9]*\) runs.*/\1 runs/p' "$log"), $(sed -n 's/.*cov: \([0-9]*\).*/\1 edges/p' "$log" | tail -n 1), nothing found"
    else
        echo "$target: FAILED, see $log"
        grep -m 3 -E "ERROR|runtime error|SUMMARY" "$log" || true
        failed=1
    fi
done
exit $failed
