#!/bin/sh
# Every test under the address and undefined-behaviour sanitizers; the tests of the library under the thread sanitizer; every test with
# plain C kernels and without LIBXSMM. Each build has its own folder. Usage: tools/sanitize.sh [address] [thread] [plain]
#
# The thread sanitizer needs clang and its OpenMP runtime, which tells it (by Archer) where threads meet; gcc's runtime tells nothing, and
# every parallel loop would be reported. OpenBLAS is not instrumented and runs on one thread. The conformance test is left out there: it asks
# for values, on one thread; the contract test runs every mechanism on two and three.
set -eu
cd "$(dirname "$0")/.."
jobs=${JOBS:-$(nproc)}

check() {
    folder=$1
    flags=$2
    shift 2
    echo "== $folder"
    # shellcheck disable=SC2086
    tools/build.sh "$folder" $flags
    (cd "$folder" && ctest --output-on-failure -j "$jobs" "$@")
}

address() {
    ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 check build-asan "-DSUBQUAD_SANITIZE=address,undefined"
}

# A loop that races must be found, and one that does not must pass, or the whole run says nothing.
probe() {
    printf '#include <stdio.h>\nint main(int c, char **v)\n{\n    int all[64] = { 0 }, sum = 0; (void)v;\n#pragma omp parallel for num_threads(2)
    for (int i = 0; i < 64; i++) { all[i] = i; if (c > 1) sum += i; }\n    return all[63] + sum == 0;\n}\n' >build-tsan/probe.c
    "$compiler" -g -fsanitize=thread -fopenmp -o build-tsan/probe build-tsan/probe.c
    build-tsan/probe || { echo "sanitize: the thread sanitizer reports a loop without a race" >&2; exit 1; }
    if build-tsan/probe race >/dev/null 2>&1; then echo "sanitize: the thread sanitizer does not find a race" >&2; exit 1; fi
}

thread() {
    compiler=$(command -v clang-14 || command -v clang) || { echo "sanitize: clang is not there" >&2; exit 2; }
    export TSAN_OPTIONS=ignore_noninstrumented_modules=1 OPENBLAS_NUM_THREADS=1
    mkdir -p build-tsan
    probe
    check build-tsan "-DCMAKE_C_COMPILER=$compiler -DSUBQUAD_SANITIZE=thread" -E '^(cli|house|examples)/|test_conformance'
    unset TSAN_OPTIONS OPENBLAS_NUM_THREADS
}

plain() {
    check build-plain "-DSUBQUAD_NATIVE_KERNELS=OFF -DSUBQUAD_LIBXSMM=OFF"
}

for build in ${*:-address thread plain}; do
    case "$build" in
    address | thread | plain) "$build" ;;
    *) echo "sanitize: unknown build '$build'; expected address, thread or plain" >&2; exit 2 ;;
    esac
done
