#!/bin/sh
# docs/GALLERY.md and its pictures: every mechanism at 64 rows, drawn by 'subquad show'. Usage: tools/gallery.sh [build/subquad]
set -e
program=$(realpath "${1:-build/subquad}")
cd "$(dirname "$0")/.."
folder=docs/gallery
mkdir -p "$folder"
rm -f "$folder"/*.png

# What makes a pattern visible at this length, where defaults would see everything. Two heads where heads see different pairs.
settings() {
    case $1 in
    sliding-window) echo "--window 6" ;;
    longformer) echo "--window 6 --globals 0 --global-tokens 0,20,45" ;;
    sparse-transformer) echo "--heads 2 --stride 8 --set heads=split --causal" ;;
    bigbird) echo "--heads 2 --block 4 --window 4 --globals 4 --random 2" ;;
    reformer) echo "--heads 2 --block 8 --rounds 2" ;;
    routing) echo "--heads 2 --clusters 4 --window 16" ;;
    sinkhorn) echo "--block 8" ;;
    clustered) echo "--clusters 8" ;;
    improved-clustered) echo "--clusters 4 --topk 8" ;;
    nystromformer) echo "--landmarks 8 --convolution 0" ;;
    linformer) echo "--rank 8 --method mean-pool" ;;
    performer) echo "--features 128" ;;
    infinite-former) echo "--segment 16 --basis 8" ;;
    aft) echo "--window 8" ;;
    long-short) echo "--window 6 --landmarks 4" ;;
    set-transformer) echo "--latents 8" ;;
    longnet) echo "--heads 2 --segments 16,64 --dilations 1,4" ;;
    space-time) echo "--shape 4x4x4" ;;
    axial) echo "--heads 2 --shape 8x8 --combine heads" ;;
    local-2d) echo "--shape 8x8 --distance 3" ;;
    hyper) echo "--heads 2 --block 8 --samples 8" ;;
    *) echo "" ;;
    esac
}

{
    echo "# Gallery"
    echo
    echo "What each mechanism does to the values of 64 tokens: row i takes from column j. All are given the same drawn queries and keys, a"
    echo "sequence of six topics that come in runs (the first picture shows exact attention over it). Shades are roots of the share of a row's"
    echo "largest weight: a row that takes the same from all is dark throughout. Orange is negative. What is trained is as training begins."
    echo "Made by \`tools/gallery.sh\`; \`subquad show NAME\` draws any other."
} > "$folder/page"
for name in $("$program" list | sed '1,2d;/^$/,$d' | cut -d' ' -f1); do
    chosen=$(settings "$name")
    # shellcheck disable=SC2086
    if ! "$program" show "$name" $chosen -o "$folder/$name.png" 2> "$folder/said"; then
        echo "gallery: $name is left out: $(cat "$folder/said")" >&2
        continue
    fi
    {
        printf '\n## %s\n\n' "$name"
        "$program" list "$name" | sed -n "1s/^$name: \\(.*\\)/\\u\\1./p"
        sed -n 's/^subquad: show: \(.*\)/The picture: \1./p' "$folder/said"
        # shellcheck disable=SC2016
        printf '\n`subquad show %s%s`\n\n![%s](gallery/%s.png)\n' "$name" "${chosen:+ $chosen}" "$name" "$name"
    } >> "$folder/page"
done
mv "$folder/page" docs/GALLERY.md
rm -f "$folder"/*.gp "$folder"/*.tsv "$folder/said"
