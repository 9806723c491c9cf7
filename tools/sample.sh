#!/bin/sh
# The main job on sample clients: generate them (once), compare, say where the report is. Sized to take under 4 minutes on 2 cores:
# one mechanism of each kind and both baselines (exact, low rank, kernel, memory). `--only all` compares every mechanism there is.
set -eu
subquad=$1
folder=$2
if [ ! -f "$folder/data/task.yaml" ]; then
    "$subquad" data clients --out "$folder/data" --clients 2000 --min-events 64 --max-events 256 --seed 1
fi
"$subquad" compare "$folder/data/task.yaml" --out "$folder/compare" --seeds 2 --resume \
    --only "${MECHANISMS:-softmax,linformer,performer,infinite-former,logistic,gru}"
