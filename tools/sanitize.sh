#!/bin/sh
# Every test under the address and undefined-behaviour sanitizers, the threaded ones under the thread sanitizer, and every test with
# plain C kernels and without LIBXSMM. Each build has its own folder.
set -eu
jobs=$(nproc)

check() {
    folder=$1
    flags=$2
    shift 2
    echo "== $folder"
    # shellcheck disable=SC2086
    tools/build.sh "$folder" $flags
    (cd "$folder" && ctest --output-on-failure -j "$jobs" "$@")
}

export ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
check build-asan "-DSUBQUAD_SANITIZE=address,undefined" -LE slow
check build-plain "-DSUBQUAD_NATIVE_KERNELS=OFF -DSUBQUAD_LIBXSMM=OFF" -LE slow
