/* bigbird: block attention on given q, k, v and random blocks, and the module that short sequences get full attention from. */
#include <string.h>

#include "verify/core.h"
#include "verify/families.h"
#include "verify/heads.h"

/* The file's [H, blocks - 2, random] with rows for the first and last block, which draw none. */
static float *all_blocks(sq_golden *golden, const int32_t *given, int64_t H, int64_t blocks, int64_t random)
{
    float *all = sq__golden_room(golden, H * blocks * random);
    for (int64_t i = 0; all && i < H * blocks * random; i++) {
        const int64_t h = i / random / blocks, block = i / random % blocks;
        all[i] = !given || block == 0 || block == blocks - 1 ? -1 : (float)given[(h * (blocks - 2) + block - 1) * random + i % random];
    }
    return all;
}

/* Rows up to the last one kept. */
static int32_t *lengths_of(sq_golden *golden, const uint8_t *keep, int64_t B, int64_t N)
{
    int32_t *lengths = sq__golden_memory(golden, B, sizeof *lengths);
    for (int64_t i = 0; keep && lengths && i < B * N; i++)
        if (keep[i]) lengths[i / N] = (int32_t)(i % N + 1);
    return lengths;
}

typedef struct sizes { int64_t block, random; } sizes;

static bool read_sizes(sq_golden *golden, sizes *s)
{
    s->block = sq__golden_count(golden, "block_size", -1), s->random = sq__golden_count(golden, "num_random_blocks", -1);
    if (s->block < 1 || s->random < 1)
        sq__golden_fail(golden, "metadata 'block_size' and 'num_random_blocks' are %lld and %lld; expected 1 or more", (long long)s->block, (long long)s->random);
    return sq__golden_going(golden);
}

static void run_blocks(sq_golden *golden, const sizes *s)
{
    const sq_st_tensor *q = sq__golden_tensor(golden, "q", SQ_SHAPE(SQ_ANY, SQ_ANY, SQ_ANY, SQ_ANY));
    if (!q) return;
    const int64_t H = q->shape[1], N = q->shape[2], blocks = (N + s->block - 1) / s->block;
    if (blocks < 3) sq__golden_fail(golden, "%lld rows are %lld blocks; expected 3 or more", (long long)N, (long long)blocks);
    if (!sq__golden_going(golden)) return;
    sq_core core = { .desc = { .mechanism = "bigbird", .causal = sq__golden_flag(golden, "causal", false), .scale = sq__golden_scale(golden) } };
    const int32_t *given = sq__golden_ints(golden, "rand_blocks", SQ_SHAPE(H, blocks - 2, s->random));
    core.tensors[core.tensor_count++] = (sq_core_tensor){ all_blocks(golden, given, H, blocks, s->random), H * blocks * s->random, NULL };
    core.key_keep = "key_mask";
    core.query_lengths = lengths_of(golden, sq__golden_mask(golden, "key_mask", SQ_SHAPE(q->shape[0], N)), q->shape[0], N);
    sq__core_option(&core, "block", sq__golden_digits(golden, s->block));
    sq__core_option(&core, "window", sq__golden_digits(golden, s->block));
    sq__core_option(&core, "globals", sq__golden_digits(golden, 2 * s->block));
    sq__core_option(&core, "random", sq__golden_digits(golden, s->random));
    sq__core_option(&core, "convention", "huggingface");
    if (sq__golden_going(golden)) sq__core_run(golden, &core);
}

static void run_module(sq_golden *golden, const sizes *s)
{
    sq_heads h;
    if (sq__heads_open(&h, golden, "bigbird") && sq__heads_read(&h, true, true)) {
        const int64_t H = h.desc.H, blocks = (h.desc.N + s->block - 1) / s->block;
        sq__heads_option(&h, "block", sq__golden_digits(golden, s->block));
        sq__heads_option(&h, "random", sq__golden_digits(golden, s->random));
        sq__heads_option(&h, "convention", "huggingface");
        h.tensors[h.tensor_count++] = sq__module_values(&h.module, SQ_SHAPE(H, blocks, s->random), all_blocks(golden, NULL, H, blocks, s->random), false);
        h.key_keep = sq__golden_mask(golden, "key_mask", SQ_SHAPE(h.desc.B, h.desc.N));
        sq_var *out = sq__heads_attend(&h);
        if (out && sq__module_going(&h.module)) sq__module_finish(&h.module, out);
    }
    sq__heads_close(&h);
}

void sq__family_bigbird(sq_golden *golden)
{
    sizes s;
    if (!read_sizes(golden, &s)) return;
    if (sq__golden_has(golden, "x")) run_module(golden, &s);
    else run_blocks(golden, &s);
}
