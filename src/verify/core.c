#include "verify/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attention/engine/normalise.h"

void sq__core_option(sq_core *core, const char *key, const char *value)
{
    core->options[core->option_count++] = (sq_option){ key, value };
}

float sq__golden_scale(sq_golden *golden)
{
    const char *text = sq__golden_text(golden, "scale", "1/sqrt(D)");
    char *end;
    double number = strtod(text, &end);
    if (end != text && !*end && number > 0) return (float)number;
    if (!strstr(text, "1/sqrt(")) sq__golden_skip(golden, "scale '%.60s' is unknown to this build", text);
    return 0;
}

typedef struct buffers {
    const uint8_t *key_keep, *pair_keep;
    float *out, *dq, *dk, *dv, *tensors[SQ_CORE_TENSORS], *dtensors[SQ_CORE_TENSORS];
    void *saved, *workspace;
} buffers;

static void *aligned(sq_golden *golden, size_t bytes)
{
    return sq__golden_memory(golden, (int64_t)bytes, 1);
}

static void check_tensors(sq_golden *golden, const sq_core *core, const sq_attention *plan, buffers *b)
{
    int expected = sq_attention_tensor_count(plan);
    if (expected != core->tensor_count)
        sq__golden_fail(golden, "the mechanism has %d tensors of its own; the file gives %d", expected, core->tensor_count);
    for (int i = 0; i < expected && sq__golden_going(golden); i++) {
        sq_attention_tensor info;
        int64_t count = 1;
        sq_error error;
        memset(&info, 0, sizeof info);
        sq__golden_status(golden, sq_attention_tensor_get(plan, i, &info), &error);
        for (int j = 0; j < info.rank; j++) count *= info.shape[j];
        if (count != core->tensors[i].count)
            sq__golden_fail(golden, "the mechanism's tensor %s has %lld numbers; the file gives %lld", info.name, (long long)count,
                            (long long)core->tensors[i].count);
        b->tensors[i] = sq__golden_room(golden, count);
        if (b->tensors[i]) memcpy(b->tensors[i], core->tensors[i].value, (size_t)count * sizeof(float));
        b->dtensors[i] = info.trainable ? sq__golden_room(golden, count) : NULL;
        if (!info.trainable && core->tensors[i].gradient)
            sq__golden_skip(golden, "this build gives no gradient for the mechanism's tensor %s", info.name);
    }
}

/* What may be seen of [B,N]: by the mask, and before the lengths. */
static const uint8_t *key_mask(sq_golden *golden, const sq_core *core)
{
    const int64_t B = core->desc.B, N = core->desc.N;
    if (!core->key_keep && !core->lengths) return NULL;
    const uint8_t *keep = core->key_keep ? sq__golden_mask(golden, core->key_keep, SQ_SHAPE(B, N)) : NULL;
    const int32_t *lengths = core->lengths ? sq__golden_ints(golden, core->lengths, SQ_SHAPE(B)) : NULL;
    uint8_t *mask = sq__golden_memory(golden, B * N, 1);
    if (!mask) return NULL;
    for (int64_t b = 0; b < B; b++) {
        if (lengths && (lengths[b] < 0 || lengths[b] > N))
            sq__golden_fail(golden, "%s holds %d; expected 0 to %lld", core->lengths, lengths[b], (long long)N);
        for (int64_t n = 0; n < N; n++) mask[b * N + n] = (!keep || keep[b * N + n]) && (!lengths || n < lengths[b]);
    }
    return mask;
}

/* [B,H,rows,width], or without B in files that have no such axis; counts are those of the file. */
typedef struct axes { int rank; int64_t size[4]; } axes;

static axes axes_of(sq_golden *golden, const sq_core *core, const char *name, int64_t B, int64_t width)
{
    const int rank = sq__golden_rank(golden, name) == 3 ? 3 : 4;
    axes a = { rank, { rank == 3 ? 1 : B, rank == 3 && core->entries ? B : SQ_ANY, SQ_ANY, width } };
    const sq_st_tensor *tensor = sq__golden_tensor(golden, name, rank, a.size + 4 - rank);
    for (int i = 4 - rank; tensor && i < 4; i++) a.size[i] = tensor->shape[i - (4 - rank)];
    if (rank == 3 && core->entries) a.size[0] = a.size[1], a.size[1] = 1;
    return a;
}

static const float *values_of(sq_golden *golden, const char *name, const axes *a)
{
    const int64_t folded[3] = { a->size[0] * a->size[1], a->size[2], a->size[3] };   /* one of the two is 1 */
    return sq__golden_floats(golden, name, a->rank, a->rank == 3 ? folded : a->size);
}

/* x [outer, from, width] with rows left off or zeros added: [outer, to, width]. */
static float *with_rows(sq_golden *golden, const float *x, int64_t outer, int64_t from, int64_t to, int64_t width)
{
    float *y = from == to ? (float *)(uintptr_t)x : sq__golden_room(golden, outer * to * width);
    const int64_t rows = from < to ? from : to;
    for (int64_t o = 0; x && y && y != x && o < outer; o++) memcpy(y + o * to * width, x + o * from * width, (size_t)(rows * width) * sizeof *y);
    return y;
}

static sq_normalise unit(int64_t D) { return (sq_normalise){ .D = D, .length = 1 }; }

static const float *unit_rows(sq_golden *golden, const float *x, int64_t rows, int64_t D)
{
    float *y = sq__golden_room(golden, rows * D);
    const sq_normalise form = unit(D);
    if (x && y) sq__normalise(&form, x, D, rows, y, sq__kernels());
    return y;
}

/* dq + dk, the second through the scaling of the keys. */
static void add_keys(sq_golden *golden, const sq_core *core, const buffers *b, const float *q, int64_t rows)
{
    const int64_t D = core->desc.D;
    const sq_normalise form = unit(D);
    float *scratch = sq__golden_room(golden, D);
    if (core->unit_keys && scratch) sq__normalise_backward(&form, q, D, rows, b->dk, b->dq, D, scratch, sq__kernels());
    for (int64_t i = 0; !core->unit_keys && i < rows * D; i++) b->dq[i] += b->dk[i];
}

static void compare_inputs(sq_golden *golden, const sq_core *core, const buffers *b, const float *q, bool has_keys, int64_t rows)
{
    const sq_attention_desc *d = &core->desc;
    const int64_t heads = d->B * d->H, key_heads = d->B * d->key_heads, left_off = core->padded ? core->padded - rows : 0, keys = d->N - left_off;
    char name[64];
    if (core->derivative) {
        snprintf(name, sizeof name, "dq%s", core->derivative);
        sq__golden_compare(golden, name, b->dq, heads * d->T * d->D);
        snprintf(name, sizeof name, "dk%s", core->derivative);
        sq__golden_compare(golden, name, b->dk, key_heads * d->N * d->D);
        snprintf(name, sizeof name, "dv%s", core->derivative);
        if (sq__golden_has(golden, name)) sq__golden_compare(golden, name, b->dv, key_heads * d->N * d->M);
        return;
    }
    if (core->qk) {
        snprintf(name, sizeof name, "d%s", core->qk);
        add_keys(golden, core, b, q, heads * d->T);
        sq__golden_compare(golden, name, with_rows(golden, b->dq, heads, d->T, rows, d->D), heads * rows * d->D);
    } else if (core->shared) {
        const float *rest = sq__golden_floats(golden, "dk", SQ_SHAPE(d->B, d->key_heads, d->N, d->D));
        for (int64_t i = 0; rest && i < key_heads * d->N * d->D; i++) b->dq[i] += b->dk[i] - rest[i];
        sq__golden_compare(golden, "dq", b->dq, heads * d->T * d->D);
    } else {
        if (q) sq__golden_compare(golden, "dq", with_rows(golden, b->dq, heads, d->T, rows, d->D), heads * rows * d->D);
        if (has_keys) sq__golden_compare(golden, "dk", with_rows(golden, b->dk, key_heads, d->N, keys, d->D), key_heads * keys * d->D);
    }
    sq__golden_compare(golden, "dv", with_rows(golden, b->dv, key_heads, d->N, keys, d->M), key_heads * keys * d->M);
}

static void run_plan(sq_golden *golden, sq_core *core, const sq_attention *plan, const float *q, const float *k, const float *v, const axes *rows)
{
    const sq_attention_desc *d = &core->desc;
    const int64_t B = d->B, H = d->H, T = d->T, N = d->N, D = d->D, M = d->M, Hk = d->key_heads;
    const bool backward = sq__golden_has(golden, "g");
    const int64_t shown = rows->size[2];
    const axes out = { rows->rank, { rows->size[0], rows->size[1], shown, M } };
    const float *g = backward ? with_rows(golden, values_of(golden, "g", &out), B * H, shown, T, M) : NULL;
    size_t workspace = sq_attention_workspace_bytes(plan, SQ_FORWARD), more = sq_attention_workspace_bytes(plan, SQ_BACKWARD);
    buffers b = { .key_keep = key_mask(golden, core), .pair_keep = core->pair_keep ? sq__golden_mask(golden, core->pair_keep, SQ_SHAPE(T, N)) : NULL,
                  .out = sq__golden_room(golden, B * H * T * M) };
    check_tensors(golden, core, plan, &b);
    if (backward) {
        b.dq = sq__golden_room(golden, B * H * T * D);
        b.dk = sq__golden_room(golden, B * Hk * N * D);
        b.dv = sq__golden_room(golden, B * Hk * N * M);
        b.saved = aligned(golden, sq_attention_saved_bytes(plan));
    }
    b.workspace = aligned(golden, more > workspace ? more : workspace);
    float *moved[SQ_CORE_TENSORS] = { core->moved ? sq__golden_room(golden, core->tensors[0].count) : NULL }, auxiliary = 0;
    if (!sq__golden_going(golden)) return;

    sq_attention_call call = { .q = sq_view_bhtd(q, T, H, D), .k = sq_view_bhtd(k, N, Hk, D), .v = sq_view_bhtd(v, N, Hk, M),
                               .out = sq_view_bhtd(b.out, T, H, M), .key_keep = b.key_keep, .pair_keep = b.pair_keep, .query_lengths = core->query_lengths,
                               .lengths = core->key_lengths, .tensors = b.tensors, .saved = b.saved, .workspace = b.workspace,
                               .training = backward, .auxiliary = &auxiliary, .moved = moved };
    sq_attention_forward(plan, &call);
    if (core->moved) sq__golden_compare(golden, core->moved, moved[0], core->tensors[0].count);
    if (core->only_moved) return;
    if (core->auxiliary) sq__golden_compare(golden, core->auxiliary, &auxiliary, 1);
    if (!core->derivative) sq__golden_compare_rows(golden, "out", with_rows(golden, b.out, B * H, T, shown, M), B * H, shown, M);
    if (!backward) return;
    sq_attention_gradients gradients = { .dout = sq_view_bhtd(g, T, H, M), .dq = sq_view_bhtd(b.dq, T, H, D), .dk = sq_view_bhtd(b.dk, N, Hk, D),
                                         .dv = sq_view_bhtd(b.dv, N, Hk, M), .dtensors = b.dtensors };
    sq_attention_backward(plan, &call, &gradients);
    compare_inputs(golden, core, &b, q, k != NULL, shown);
    for (int i = 0; i < core->tensor_count; i++)
        if (core->tensors[i].gradient) sq__golden_compare(golden, core->tensors[i].gradient, b.dtensors[i], core->tensors[i].count);
}

/* A file has no q or k where the mechanism reads none. */
static bool has_what_is_read(sq_golden *golden, const sq_attention *plan, bool queries, bool keys)
{
    const unsigned ignores = sq_attention_ignores(plan);
    if (!queries && !(ignores & SQ_READS_QUERY)) sq__golden_fail(golden, "there is no tensor 'q'");
    if (!keys && !(ignores & SQ_READS_KEY)) sq__golden_fail(golden, "there is no tensor 'k'");
    return sq__golden_going(golden);
}

void sq__core_run(sq_golden *golden, sq_core *core)
{
    const char *q_name = core->qk ? core->qk : "q", *k_name = core->qk ? core->qk : "k";
    const bool queries = sq__golden_has(golden, q_name), keys = sq__golden_has(golden, k_name);
    const axes v_axes = axes_of(golden, core, "v", SQ_ANY, SQ_ANY), q_axes = queries ? axes_of(golden, core, q_name, v_axes.size[0], SQ_ANY) : v_axes;
    const axes k_axes = keys ? axes_of(golden, core, k_name, v_axes.size[0], queries ? q_axes.size[3] : SQ_ANY) : v_axes;
    if (!sq__golden_going(golden)) return;
    const int64_t entries = core->fold ? 1 : q_axes.size[0], heads = core->fold ? q_axes.size[0] : 1;
    if (v_axes.size[1] != k_axes.size[1] || v_axes.size[2] != k_axes.size[2])
        sq__golden_fail(golden, "tensor 'v' has %lld heads of %lld rows; expected %lld of %lld as the keys", (long long)v_axes.size[1],
                        (long long)v_axes.size[2], (long long)k_axes.size[1], (long long)k_axes.size[2]);
    sq_attention_desc *d = &core->desc;
    d->B = entries, d->H = heads * q_axes.size[1], d->T = q_axes.size[2], d->N = k_axes.size[2], d->D = q_axes.size[3], d->M = v_axes.size[3];
    d->key_heads = heads * k_axes.size[1];
    d->options = core->options;
    d->option_count = core->option_count;
    d->mask = core->pair_keep != NULL;
    d->key_mask = core->key_keep || core->lengths;
    const int64_t T = d->T, N = d->N;
    if (core->padded) d->T = core->padded, d->N += d->T - T;
    const float *q = queries ? with_rows(golden, values_of(golden, q_name, &q_axes), d->B * d->H, T, d->T, d->D) : NULL;
    const float *k = keys ? with_rows(golden, values_of(golden, k_name, &k_axes), d->B * d->key_heads, N, d->N, d->D) : NULL;
    const float *v = with_rows(golden, values_of(golden, "v", &v_axes), d->B * d->key_heads, N, d->N, d->M);
    if (core->unit_keys) k = unit_rows(golden, k, d->B * d->key_heads * d->N, d->D);
    if (!sq__golden_going(golden)) return;
    sq_attention *plan = NULL;
    sq_error error;
    sq__golden_status(golden, sq_attention_create(&plan, d, &error), &error);
    if (plan && has_what_is_read(golden, plan, queries, keys)) run_plan(golden, core, plan, q, k, v, &q_axes);
    sq_attention_destroy(&plan);
}
