#!/bin/sh
# The program on processors without AVX-512 and without AVX at all, emulated: an instruction beyond the processor's own stops it.
# Status 77: the emulator is not there. Usage: check_old_processor.sh PROGRAM GOLDEN_FOLDER
set -eu
program=$1
golden=$2
emulator=$(command -v qemu-x86_64 || command -v qemu-x86_64-static) || { echo "qemu-x86_64 is not there"; exit 77; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export OMP_WAIT_POLICY=passive OMP_NUM_THREADS=2   # set already: the program need not start itself anew, which would leave the emulator

fail() {
    echo "$processor: $1"
    cat "$folder/$processor.log"
    exit 1
}

on_processor() {
    "$emulator" -cpu "$processor" "$@" >"$folder/$processor.log" 2>&1
}

# The emulator itself must stop at what the processor does not have, or this test could not fail.
refuses() {
    printf '#include <immintrin.h>\nint main(int c, char **v) { (void)v; %s }\n' "$2" >"$folder/$processor.c"
    cc "$1" -O1 -o "$folder/$processor.probe" "$folder/$processor.c"
    if on_processor "$folder/$processor.probe"; then fail "the emulator runs $1"; fi
}

check() {
    expected=$1
    on_processor "$program" info || fail "info"
    grep -q "^instruction sets detected: $expected (in use: " "$folder/$processor.log" || fail "info finds other instruction sets than $expected"
    for pass in forward backward; do
        on_processor "$program" bench attention --runs 1 --n 17 --heads 1 --dim 12 --pass "$pass" || fail "bench, $pass"
    done
    on_processor "$program" verify "$golden"/*.safetensors || fail "verify"
    verified=$(tail -n 1 "$folder/$processor.log")
    on_processor "$program" train "$folder/clients/task.yaml" --attention performer --out "$folder/$processor" --quiet \
        --set model.width=24 --set train.epochs=1 --set data.max_length=33 || fail "train"
    echo "$processor: $expected, vectors: $verified"
}

"$program" data clients --out "$folder/clients" --clients 24 --min-events 32 --max-events 40 --seed 1 >/dev/null
processor=Nehalem
refuses -mavx2 'volatile __m256i a = _mm256_set1_epi32(c); a = _mm256_add_epi32(a, a); return 0;'
check reference &
processor=Haswell-v4
refuses -mavx512f 'volatile __m512i a = _mm512_set1_epi32(c); a = _mm512_add_epi32(a, a); return 0;'
check avx2
wait $!
