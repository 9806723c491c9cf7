#!/bin/sh
# Installs into a temporary folder, then builds and runs an example against the installed library, by pkg-config and by CMake.
set -eu
build=$1
source=$(cd "$(dirname "$0")/.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
DESTDIR="$folder" cmake --install "$build" --prefix /usr >/dev/null

pc=$(find "$folder" -name subquad.pc)
libdir=$(dirname "$(dirname "$pc")")
export PKG_CONFIG_PATH="$(dirname "$pc")"
# shellcheck disable=SC2046
cc -std=gnu11 -o "$folder/by-pkg-config" "$source/examples/attention.c" $(pkg-config --cflags --libs subquad) -lm -Wl,-rpath,"$libdir" ${SQ_CHECK_FLAGS:-}
"$folder/by-pkg-config"

cat >"$folder/CMakeLists.txt" <<EOF
cmake_minimum_required(VERSION 3.25)
project(consumer C)
find_package(subquad REQUIRED)
foreach(kind subquad subquad-static)
  add_executable(by-\${kind} $source/examples/attention.c)
  target_link_libraries(by-\${kind} PRIVATE subquad::\${kind} m)
endforeach()
EOF
cmake -S "$folder" -B "$folder/consumer" -G Ninja -Dsubquad_DIR="$(dirname "$(find "$folder" -name subquad-config.cmake)")" >/dev/null
cmake --build "$folder/consumer" >/dev/null
"$folder/consumer/by-subquad" >/dev/null
"$folder/consumer/by-subquad-static" >/dev/null
"$folder/usr/bin/subquad" --version
