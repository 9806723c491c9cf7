/* performer: feature maps of six public implementations on given q, k, v; one module; the orthogonal matrix itself. How each maps onto
 * the mechanism's options is said in attention/performer.c. */
#include <string.h>

#include "attention/orthogonal.h"
#include "verify/core.h"
#include "verify/families.h"
#include "verify/heads.h"

typedef struct row {
    const char *prefix, *convention, *kernel;
    const char *projection;            /* tensor of directions; NULL: none */
    bool across;                       /* stored as [D,m] */
    bool per_head;
} row;
static const row rows[] = {   /* the first prefix that fits counts */
    { "softmax_", "lucidrains", "softmax", "proj", false, false },
    { "relu_", "lucidrains", "relu", "proj", false, false },
    { "noproj_", "lucidrains", "softmax", NULL, false, false },
    { "google_positive_", "google", "softmax", "proj", false, false },
    { "google_trig_", "google", "trigonometric", "proj", false, false },
    { "google_relu_noproj_", "google", "relu", NULL, false, false },
    { "google_relu_", "google", "relu", "proj", false, false },
    { "hyperbolic_", "idiap", "hyperbolic", "omega", true, false },
    { "rff_gaussian_", "idiap", "gaussian", "omega", true, false },
    { "hku_favorp_", "hku", "softmax", "proj", false, true },
    { "hku_fourier_", "hku", "trigonometric", "proj", false, true },
    { "xformers_smorf_", "paper", "softmax", "features", true, false },
    { "xformers_smhyp_", "paper", "hyperbolic", "features", true, false },
};

/* Directions as [m,D] (or [H,m,D]); their number m. */
static const float *read_projection(sq_golden *golden, const row *r, int64_t *m, int64_t *count)
{
    const sq_st_tensor *tensor = sq__golden_tensor(golden, r->projection, r->per_head ? 3 : 2, (const int64_t[]){ SQ_ANY, SQ_ANY, SQ_ANY });
    if (!tensor) return NULL;
    const float *values = sq__golden_floats(golden, r->projection, tensor->rank, tensor->shape);
    *count = tensor->count;
    *m = tensor->shape[r->per_head || r->across ? 1 : 0];
    if (!r->across || !values) return values;
    const int64_t D = tensor->shape[0];
    float *turned = sq__golden_room(golden, tensor->count);
    for (int64_t i = 0; turned && i < D; i++)
        for (int64_t j = 0; j < *m; j++) turned[j * D + i] = values[i * *m + j];
    return turned;
}

static void run_core(sq_golden *golden, const row *r)
{
    sq_core core = { .desc = { .mechanism = "performer", .causal = sq__golden_flag(golden, "causal", false) } };
    sq__core_option(&core, "convention", r->convention);
    sq__core_option(&core, "kernel", r->kernel);
    sq__core_option(&core, "project", r->projection ? "true" : "false");
    sq__core_option(&core, "per_head", r->per_head ? "true" : "false");
    if (strcmp(r->kernel, "hyperbolic") == 0 && strcmp(r->convention, "idiap") == 0)
        sq__core_option(&core, "stabilize", sq__golden_flag(golden, "stabilize", false) ? "true" : "false");
    if (r->projection) {
        int64_t m = 0;
        core.tensors[0].value = read_projection(golden, r, &m, &core.tensors[0].count);
        core.tensor_count = 1;
        sq__core_option(&core, "features", sq__golden_digits(golden, m));
    }
    if (sq__golden_has(golden, "mask_keep")) core.key_keep = "mask_keep";
    if (sq__golden_has(golden, "key_lengths")) core.lengths = "key_lengths";
    if (sq__golden_going(golden)) sq__core_run(golden, &core);
}

/* The mask of this module zeroes values only: masked keys still count in the denominator and in the stabiliser. */
static void run_module(sq_golden *golden)
{
    static const row softmax = { "module_", "lucidrains", "softmax", "proj", false, false };
    sq_heads h;
    if (sq__heads_open(&h, golden, "performer") && sq__heads_read(&h, false, false)) {
        int64_t m = 0, count = 0;
        const float *values = read_projection(golden, &softmax, &m, &count);
        h.desc.causal = sq__golden_flag(golden, "causal", false);
        sq__heads_option(&h, "convention", "lucidrains");
        sq__heads_option(&h, "kernel", "softmax");
        sq__heads_option(&h, "features", sq__golden_digits(golden, m));
        h.tensors[h.tensor_count++] = sq__module_values(&h.module, SQ_SHAPE(m, h.desc.D), values, false);
        if (m * h.desc.D != count)
            sq__golden_fail(golden, "tensor 'proj' has %lld columns; expected %lld", (long long)(count / m), (long long)h.desc.D);
        if (sq__golden_has(golden, "mask_keep")) h.v = sq__heads_mask(&h, h.v, sq__golden_mask(golden, "mask_keep", SQ_SHAPE(h.desc.B, h.desc.N)));
        sq__heads_finish(&h, sq__heads_attend(&h));
    }
    sq__heads_close(&h);
}

static void run_directions(sq_golden *golden)
{
    const int64_t scaling = sq__golden_count(golden, "scaling", -1);
    const int64_t m = sq__golden_count(golden, "rows", -1), D = sq__golden_count(golden, "columns", -1);
    if (!sq__golden_tensor(golden, "out", SQ_SHAPE(m, D))) return;
    const float *blocks = sq__golden_floats(golden, "block_draws", SQ_SHAPE((m + D - 1) / D, D, D));
    const float *norms = scaling == 0 ? sq__golden_floats(golden, "norm_draws", SQ_SHAPE(m, D)) : NULL;
    if (scaling > 1) sq__golden_skip(golden, "scaling %lld is unknown to this build", (long long)scaling);
    float *ours = sq__golden_room(golden, m * D);
    if (sq__golden_going(golden))
        sq__golden_status(golden, sq__orthogonal_directions(blocks, norms, m, D, ours), &(sq_error){ .message = "no memory" });
    sq__golden_compare(golden, "out", ours, m * D);
}

void sq__family_performer(sq_golden *golden)
{
    const char *variant = sq__golden_text(golden, "variant", NULL);
    if (sq__golden_starts(variant, "large_")) variant += strlen("large_");
    if (sq__golden_variant(variant, "ortho_")) {
        run_directions(golden);
        return;
    }
    if (sq__golden_variant(variant, "module_valuemask_")) {
        run_module(golden);
        return;
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (sq__golden_variant(variant, rows[i].prefix)) {
            run_core(golden, &rows[i]);
            return;
        }
    sq__golden_skip(golden, "variant '%.80s' is unknown to this build", variant);
}
