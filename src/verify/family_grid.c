/* sstvos_grid, pattern_2d, longnet_dilated: mechanisms that are patterns, on given q, k, v. */
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "verify/core.h"
#include "verify/families.h"
#include "verify/module.h"

/* ---- which pairs a plan lists ---- */

/* [N, N], 1 where query i sees key j: with equal scores and one-hot values, row i of out is not 0 there. */
static const uint8_t *pairs_of(sq_golden *golden, sq_attention_desc desc)
{
    const int64_t N = desc.N;
    sq_attention *plan = NULL;
    sq_error error;
    desc.B = desc.H = desc.key_heads = 1;
    desc.M = N;
    float *q = sq__golden_room(golden, N * desc.D), *v = sq__golden_room(golden, N * N), *out = sq__golden_room(golden, N * N);
    uint8_t *pairs = sq__golden_memory(golden, N * N, 1);
    sq__golden_status(golden, sq_attention_create(&plan, &desc, &error), &error);
    void *workspace = plan ? sq__golden_memory(golden, (int64_t)sq_attention_workspace_bytes(plan, SQ_FORWARD), 1) : NULL;
    if (sq__golden_going(golden)) {
        for (int64_t i = 0; i < N; i++) v[i * N + i] = 1;
        const sq_view zeros = sq_view_bhtd(q, N, 1, desc.D);
        sq_attention_forward(plan, &(sq_attention_call){ .q = zeros, .k = zeros, .v = sq_view_bhtd(v, N, 1, N), .out = sq_view_bhtd(out, N, 1, N),
                                                         .workspace = workspace });
        for (int64_t i = 0; i < N * N; i++) pairs[i] = out[i] != 0;
    }
    sq_attention_destroy(&plan);
    return sq__golden_going(golden) ? pairs : NULL;
}

/* ---- sstvos_grid: channel first, q, k, v [heads, C, T, H, W] ---- */

static sq_var *reshape(sq_module *m, sq_var *x, int rank, const int64_t *shape)
{
    return x && sq__module_going(m) ? sq__reshape(m->tape, x, rank, shape) : NULL;
}

/* [n, C, N] to [n, N, C], or back with the two sizes exchanged. */
static sq_var *exchange(sq_module *m, sq_var *x, int64_t n, int64_t C, int64_t N)
{
    x = reshape(m, x, SQ_SHAPE(n, C, N));
    x = x ? sq__transpose(m->tape, x) : NULL;                    /* [C, n, N] */
    x = reshape(m, x, SQ_SHAPE(C, n * N));
    x = x ? sq__transpose(m->tape, x) : NULL;
    return reshape(m, x, SQ_SHAPE(n, N, C));
}

/* [n, N, C] to [n, C, N] */
static sq_var *channels_first(sq_module *m, sq_var *x, int64_t n, int64_t N, int64_t C)
{
    x = reshape(m, x, SQ_SHAPE(n * N, C));
    x = x ? sq__transpose(m->tape, x) : NULL;
    x = reshape(m, x, SQ_SHAPE(C, n, N));
    return x ? sq__transpose(m->tape, x) : NULL;
}

/* connectivity [N, keys] holds the keys of every query. */
static void check_connectivity(sq_golden *golden, const sq_attention_desc *desc, int64_t keys)
{
    const int64_t N = desc->N;
    const int32_t *listed = sq__golden_ints(golden, "connectivity", SQ_SHAPE(N, keys));
    const uint8_t *pairs = listed ? pairs_of(golden, *desc) : NULL;
    for (int64_t i = 0; pairs && i < N; i++) {
        int64_t seen = 0;
        for (int64_t j = 0; j < N; j++) seen += pairs[i * N + j];
        for (int64_t slot = 0; slot < keys; slot++) {
            const int32_t j = listed[i * keys + slot];
            if (j < 0 || j >= N || !pairs[i * N + j] || seen != keys) {
                sq__golden_fail(golden, "connectivity lists key %d for query %lld, which sees %lld other keys", j, (long long)i, (long long)seen);
                return;
            }
        }
    }
}

static void space_time(sq_module *m, sq_attention **plan)
{
    sq_golden *golden = m->golden;
    const sq_st_tensor *tensor = sq__golden_tensor(golden, "q", SQ_SHAPE(SQ_ANY, SQ_ANY, SQ_ANY, SQ_ANY, SQ_ANY));
    if (!tensor) return;
    const int64_t n = tensor->shape[0], C = tensor->shape[1], T = tensor->shape[2], H = tensor->shape[3], W = tensor->shape[4], N = T * H * W;
    static const char *const names[] = { "q", "k", "v" };
    sq_var *inputs[3];
    for (int i = 0; i < 3; i++) inputs[i] = exchange(m, sq__module_input(m, names[i], SQ_SHAPE(n, C, T, H, W)), n, C, N);
    char shape[96];
    snprintf(shape, sizeof shape, "%lldx%lldx%lld", (long long)T, (long long)H, (long long)W);
    const sq_option options[] = { { "shape", shape }, { "pattern", "grid" } };
    const sq_attention_desc desc = { .mechanism = "space-time", .options = options, .option_count = 2, .B = n, .H = 1, .T = N, .N = N, .D = C, .M = C,
                                     .scale = 1 };
    sq_error error;
    if (sq__golden_has(golden, "g")) check_connectivity(golden, &desc, T + H + W - 2);
    if (!sq__module_going(m)) return;
    sq__golden_status(golden, sq_attention_create(plan, &desc, &error), &error);
    if (!*plan) return;
    sq_var *out = sq__attention(m->tape, *plan, &(sq_attention_inputs){ .q = inputs[0], .k = inputs[1], .v = inputs[2] });
    out = reshape(m, channels_first(m, out, n, N, C), SQ_SHAPE(n, C, T, H, W));
    sq__module_finish(m, out);
}

void sq__family_space_time(sq_golden *golden)
{
    sq_module module;
    sq_attention *plan = NULL;
    if (!sq__golden_starts(sq__golden_text(golden, "scale", ""), "none")) sq__golden_skip(golden, "a scale of grid attention is unknown to this build");
    if (sq__golden_going(golden) && sq__module_open(&module, golden)) {
        space_time(&module, &plan);
        sq__module_close(&module);
    }
    sq_attention_destroy(&plan);
}

/* ---- pattern_2d ---- */

static void check_mask(sq_golden *golden, const sq_core *core, int64_t N)
{
    sq_attention_desc desc = core->desc;
    desc.options = core->options, desc.option_count = core->option_count;
    desc.T = desc.N = N, desc.D = 1;
    const uint8_t *mask = sq__golden_mask(golden, "mask", SQ_SHAPE(N, N)), *pairs = mask ? pairs_of(golden, desc) : NULL;
    for (int64_t i = 0; pairs && i < N * N; i++)
        if (mask[i] != pairs[i]) {
            sq__golden_fail(golden, "mask says %d for query %lld and key %lld", mask[i], (long long)(i / N), (long long)(i % N));
            return;
        }
}

void sq__family_pattern_2d(sq_golden *golden)
{
    const char *variant = sq__golden_text(golden, "variant", NULL), *arguments = sq__golden_text(golden, "args", "()");
    long long rows = 0, columns = 0, first = 0, second = 0;
    char shape[64], norm[16] = "", first_text[24], second_text[24];
    if (sscanf(sq__golden_text(golden, "grid", ""), "(%lld, %lld)", &rows, &columns) != 2) sq__golden_fail(golden, "metadata 'grid' is not (rows, columns)");
    snprintf(shape, sizeof shape, "%lldx%lld", rows, columns);
    const bool axial = strcmp(variant, "axial_2d_pattern") == 0;
    sq_core core = { .desc = { .mechanism = axial ? "axial" : "local-2d", .scale = sq__golden_scale(golden) } };
    sq__core_option(&core, "shape", shape);
    if (axial) {
        sq__core_option(&core, "combine", "joint");
    } else if (strcmp(variant, "local_2d_pattern") == 0 && sscanf(arguments, "(%lld, %15[a-z0-9.])", &first, norm) == 2) {
        const bool box = strcmp(norm, "inf") == 0, euclidean = strcmp(norm, "2.0") == 0 || strcmp(norm, "2") == 0;
        if (!box && !euclidean && strcmp(norm, "1.0") != 0 && strcmp(norm, "1") != 0) sq__golden_skip(golden, "norm '%s' is unknown to this build", norm);
        snprintf(first_text, sizeof first_text, "%lld", first);
        sq__core_option(&core, "distance", first_text);
        sq__core_option(&core, "norm", box ? "maximum" : euclidean ? "euclidean" : "manhattan");
    } else if (strcmp(variant, "swin_attention_pattern") == 0 && sscanf(arguments, "(%lld, %lld)", &first, &second) == 2) {
        snprintf(first_text, sizeof first_text, "%lld", first);
        snprintf(second_text, sizeof second_text, "%lld", second);
        sq__core_option(&core, "pattern", "window");
        sq__core_option(&core, "window", first_text);
        sq__core_option(&core, "shift", second_text);
    } else if (strcmp(variant, "dilated_2d_pattern") == 0 && sscanf(arguments, "(%lld", &first) == 1) {
        snprintf(first_text, sizeof first_text, "%lld", first);
        sq__core_option(&core, "pattern", "dilated");
        sq__core_option(&core, "dilation", first_text);
    } else {
        sq__golden_skip(golden, "pattern '%.60s' with arguments %.60s is unknown to this build", variant, arguments);
    }
    if (sq__golden_has(golden, "g")) check_mask(golden, &core, rows * columns);
    if (sq__golden_going(golden)) sq__core_run(golden, &core);
}

/* ---- longnet_dilated ---- */

/* "[32, 64]" as "32,64" */
static const char *list_of(sq_golden *golden, const char *key)
{
    const char *text = sq__golden_text(golden, key, NULL);
    char *list = sq__golden_memory(golden, (int64_t)strlen(text) + 1, 1), *to = list;
    for (; list && *text; text++)
        if (strchr("0123456789,", *text)) *to++ = *text;
    return list ? list : "";
}

/* The file's gradients are those of the reference, which holds the mixture constant; d*_full is the derivative. */
void sq__family_longnet(sq_golden *golden)
{
    const bool derivative = sq__golden_has(golden, "dq_full");
    if (derivative) sq__golden_tensor(golden, "dv_full", SQ_SHAPE(SQ_ANY, SQ_ANY, SQ_ANY, SQ_ANY));   /* sq_core compares it where it is there */
    for (int full = 0; full <= derivative && sq__golden_going(golden); full++) {
        sq_core core = { .desc = { .mechanism = "longnet", .scale = sq__golden_scale(golden), .causal = sq__golden_flag(golden, "causal", false) },
                         .derivative = full ? "_full" : NULL };
        sq__core_option(&core, "segments", list_of(golden, "segment_lengths"));
        sq__core_option(&core, "dilations", list_of(golden, "dilated_ratios"));
        sq__core_option(&core, "offsets", "group");
        sq__core_option(&core, "padding", "true");
        sq__core_option(&core, "mixture", full ? "trained" : "constant");
        if (sq__golden_going(golden)) sq__core_run(golden, &core);
    }
}
