#!/bin/sh
# Exact attention, forward, float32, one thread: this build against ONNX Runtime's fused MultiHeadAttention, in turns in one run.
# Usage: bench/peer_attention.sh PEER [ONNXRUNTIME [BUILD]]
#   PEER         folder with make_onnx.py (writes the operator as a graph; needs python3-onnx) and bench_ort.mjs (times it)
#   ONNXRUNTIME  folder where `npm install --ignore-scripts onnxruntime-node` was run; the current one unless given
#   BUILD        folder with the subquad program; build unless given
# N, HEADS, DIM, TURNS from the environment (4096, 8, 64, 3). The least of all runs counts on each side.
set -eu
peer=$(realpath "${1:?usage: bench/peer_attention.sh PEER [ONNXRUNTIME [BUILD]]}")
runtime=$(realpath "${2:-.}")
subquad=$(realpath "${3:-build}")/subquad
n=${N:-4096} heads=${HEADS:-8} dim=${DIM:-64} turns=${TURNS:-3}
[ -x "$subquad" ] || { echo "peer_attention: $subquad is not there; build first" >&2; exit 2; }
[ -d "$runtime/node_modules/onnxruntime-node" ] || { echo "peer_attention: no onnxruntime-node in $runtime" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
/usr/bin/python3 "$peer/make_onnx.py" "$work/all" --n "$n" --heads "$heads" --dim "$dim"
mkdir "$work/fused"
mv "$work/all/exact_fused.onnx" "$work/fused/"
turn=0
while [ "$turn" -lt "$turns" ]; do
    (cd "$runtime" && node "$peer/bench_ort.mjs" "$work/fused" --n "$n" --heads "$heads" --dim "$dim" --threads 1 --runs 5) >>"$work/theirs"
    "$subquad" bench attention --attention softmax --n "$n" --heads "$heads" --dim "$dim" --batch 1 --threads 1 --dtype f32 --pass forward \
        --format jsonl >>"$work/ours"
    turn=$((turn + 1))
done
least() { sed -n 's/.*"ms": *\([0-9.]*\).*/\1/p' "$1" | sort -n | head -1; }
awk -v ours="$(least "$work/ours")" -v theirs="$(least "$work/theirs")" -v n="$n" -v heads="$heads" -v dim="$dim" 'BEGIN {
    printf "{\"n\": %d, \"heads\": %d, \"dim\": %d, \"subquad_ms\": %.1f, \"onnxruntime_ms\": %.1f, \"ratio\": %.3f}\n", n, heads, dim, ours, theirs, theirs / ours }'
