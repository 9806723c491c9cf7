/* deepspeed_layouts: the sparse engine over the layouts of blocks that the files hold. */
#include <math.h>
#include <string.h>

#include "attention/engine/layout.h"
#include "verify/families.h"

typedef struct shape { int64_t B, H, N, D, block, blocks; bool causal, backward; } shape;

typedef struct arrays { const float *q, *k, *v, *g; float *out, *dq, *dk, *dv, *stats; void *workspace; const uint8_t *seen; } arrays;

static sq_layout layout_of(const shape *s, const arrays *a, int64_t h)
{
    return (sq_layout){ s->N, s->N, s->block, a->seen + h * s->blocks * s->blocks, s->causal };
}

static void run_head(const shape *s, const arrays *a, int64_t b, int64_t h)
{
    const int64_t at = (b * s->H + h) * s->N * s->D;
    const sq_layout layout = layout_of(s, a, h);
    const sq_sparse_pattern pattern = sq__layout_pattern(&layout);
    const sq_sparse sparse = {
        .T = s->N, .N = s->N, .D = s->D, .M = s->D, .scale = 1 / sqrtf((float)s->D), .mode = SQ_SPARSE_MERGE, .pattern = &pattern, .q = a->q + at,
        .k = a->k + at, .v = a->v + at, .q_row = s->D, .k_row = s->D, .v_row = s->D, .out = a->out + at, .out_row = s->D, .stats = a->stats,
    };
    sq__sparse_forward(&sparse, sq__kernels(), a->workspace);
    if (!s->backward) return;
    const sq_dense_gradients gradients = { a->g + at, s->D, a->dq + at, a->dk + at, a->dv + at, s->D, s->D, s->D, false };
    sq__sparse_backward(&sparse, &gradients, sq__kernels(), a->workspace);
}

void sq__family_layouts(sq_golden *golden)
{
    const sq_st_tensor *q = sq__golden_tensor(golden, "q", SQ_SHAPE(SQ_ANY, SQ_ANY, SQ_ANY, SQ_ANY));
    shape s = { .block = sq__golden_count(golden, "block", -1), .backward = sq__golden_has(golden, "g"),
                .causal = sq__golden_flag(golden, "token_level_causal_mask_added", false) };
    if (s.block < 1) sq__golden_fail(golden, "metadata 'block' is %lld; expected 1 or more", (long long)s.block);
    if (!q || !sq__golden_going(golden)) return;
    s.B = q->shape[0], s.H = q->shape[1], s.N = q->shape[2], s.D = q->shape[3], s.blocks = (s.N + s.block - 1) / s.block;
    const int64_t count = q->count;
    arrays a = { .q = sq__golden_floats(golden, "q", SQ_SHAPE(s.B, s.H, s.N, s.D)), .k = sq__golden_floats(golden, "k", SQ_SHAPE(s.B, s.H, s.N, s.D)),
                 .v = sq__golden_floats(golden, "v", SQ_SHAPE(s.B, s.H, s.N, s.D)), .seen = sq__golden_mask(golden, "layout", SQ_SHAPE(s.H, s.blocks, s.blocks)),
                 .g = s.backward ? sq__golden_floats(golden, "g", SQ_SHAPE(s.B, s.H, s.N, s.D)) : NULL };
    float **const rooms[] = { &a.out, &a.dq, &a.dk, &a.dv };
    for (int i = 0; i < 4; i++) *rooms[i] = sq__golden_room(golden, count);
    const sq_layout layout = layout_of(&s, &a, 0);
    const sq_sparse_pattern pattern = sq__layout_pattern(&layout);
    size_t forward = sq__sparse_workspace(s.N, s.N, s.D, s.D, &pattern, SQ_SPARSE_MERGE, SQ_FORWARD);
    const size_t backward = sq__sparse_workspace(s.N, s.N, s.D, s.D, &pattern, SQ_SPARSE_MERGE, SQ_BACKWARD);
    a.workspace = sq__golden_memory(golden, (int64_t)(forward > backward ? forward : backward), 1);
    a.stats = sq__golden_room(golden, (int64_t)sq__sparse_stats_floats(s.N, &pattern, SQ_SPARSE_MERGE));
    for (int64_t head = 0; sq__golden_going(golden) && head < s.B * s.H; head++) run_head(&s, &a, head / s.H, head % s.H);
    static const char *const names[] = { "out", "dq", "dk", "dv" };
    for (int i = 0; i < (s.backward ? 4 : 1); i++) sq__golden_compare(golden, names[i], *rooms[i], count);
}
