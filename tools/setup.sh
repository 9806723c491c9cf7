#!/bin/sh
# Installs the Debian packages that the named purposes need (build, test, fuzz). Without root it prints the one command that
# installs what is missing, and stops. Nothing to install: silent.
set -eu

packages_build="gcc libc6-dev make cmake ninja-build pkg-config libopenblas-dev liblapacke-dev librandom123-dev libjansson-dev libyaml-dev
libcsv-dev libarchive-dev libsqlite3-dev libprotobuf-c-dev protobuf-c-compiler gnuplot-nox"
packages_test="libcmocka-dev python3"
case "$(uname -m)" in x86_64) packages_build="$packages_build libxsmm-dev" packages_test="$packages_test qemu-user" ;; esac
packages_fuzz="clang-14 libclang-rt-14-dev libomp-14-dev"

missing=""
for purpose in "$@"; do
    case "$purpose" in
    build) wanted=$packages_build ;;
    test) wanted=$packages_test ;;
    fuzz) wanted=$packages_fuzz ;;
    *) echo "setup: unknown purpose '$purpose'; expected build, test or fuzz" >&2; exit 2 ;;
    esac
    for package in $wanted; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
    done
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
    echo "subquad needs packages that are not installed. Install them with:"
    echo "  sudo apt-get update && sudo apt-get install -y --no-install-recommends$missing"
    exit 1
fi
echo "installing:$missing"
log=$(mktemp)
if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "setup: installing failed; the whole output is in $log" >&2
    exit 1
fi
rm -f "$log"
