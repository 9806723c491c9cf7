#!/bin/sh
# The main job on sample clients: generate them (once), compare, say where the report is.
set -eu
subquad=$1
folder=$2
if [ ! -f "$folder/data/task.yaml" ]; then
    "$subquad" data clients --out "$folder/data" --clients 1000 --max-events 512 --seed 1
fi
"$subquad" compare "$folder/data/task.yaml" --out "$folder/compare" --resume
