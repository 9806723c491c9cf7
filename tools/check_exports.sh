#!/bin/sh
# The symbols that the shared library exports are exactly the functions that the public headers declare with SQ_API.
set -eu
library=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$(dirname "$0")/.."
cat include/subquad/*.h | grep -v '#define' | tr '\n' ' ' | grep -o 'SQ_API [^;]*;' | sed 's/(.*//; s/.*[ *]//' | grep -v '^$' | sort -u >"$folder/declared"
nm -D --defined-only "$library" | awk '$2 == "T" || $2 == "D" || $2 == "B" || $2 == "R" {print $3}' | sort -u >"$folder/exported"
if ! diff "$folder/declared" "$folder/exported" >"$folder/difference"; then
    echo "declared in include/subquad (<) but exported by the library (>):"
    cat "$folder/difference"
    exit 1
fi
echo "exports: $(wc -l <"$folder/exported") functions, all declared"
