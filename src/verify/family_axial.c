/* axial: the module of lucidrains/axial-attention, projections of its own for each axis, over the mechanism; the axes' results are summed
 * or the axes follow each other. axial_position: Reformer's position embedding. */
#include <stdio.h>

#include "base/status.h"
#include "nn/axial_positions.h"
#include "verify/families.h"
#include "verify/module.h"

enum { AXES = 3 };

typedef struct axial {
    sq_module module;
    int axes;
    int64_t B, N, E, H, inner;         /* inner: heads x head size */
    char shape[96];
    sq_attention *plans[AXES];
} axial;

static sq_var *input(axial *a, const char *stem, int axis, int64_t rows, int64_t columns)
{
    const char *name = sq__golden_numbered(a->module.golden, stem, axis);
    return columns ? sq__module_input(&a->module, name, SQ_SHAPE(rows, columns)) : sq__module_input(&a->module, name, SQ_SHAPE(rows));
}

static sq_attention *plan_along(axial *a, int axis)
{
    sq_golden *golden = a->module.golden;
    const sq_option options[] = { { "shape", a->shape }, { "axis", sq__golden_digits(golden, axis) } };
    const int64_t size = a->inner / a->H;
    const sq_attention_desc desc = { .mechanism = "axial", .options = options, .option_count = 2, .B = a->B, .H = a->H, .T = a->N, .N = a->N, .D = size,
                                     .M = size };
    sq_error error;
    sq__golden_status(golden, sq_attention_create(&a->plans[axis], &desc, &error), &error);
    return a->plans[axis];
}

/* x [B,N,E] through the projections and the attention of one axis. */
static sq_var *attend(axial *a, sq_var *x, int axis)
{
    sq_module *m = &a->module;
    sq_var *wq = input(a, "wq_%d", axis, a->inner, a->E), *wkv = input(a, "wkv_%d", axis, 2 * a->inner, a->E);
    sq_var *wo = input(a, "wo_%d", axis, a->E, a->inner), *bo = input(a, "bo_%d", axis, a->E, 0);
    if (!sq__module_going(m) || !plan_along(a, axis)) return NULL;
    sq_var *kv = sq__linear(m->tape, x, wkv, NULL);
    const sq_attention_inputs inputs = { .q = sq__linear(m->tape, x, wq, NULL), .k = sq__slice(m->tape, kv, 0, a->inner),
                                         .v = sq__slice(m->tape, kv, a->inner, a->inner) };
    return sq__module_going(m) ? sq__linear(m->tape, sq__attention(m->tape, a->plans[axis], &inputs), wo, bo) : NULL;
}

static bool read_shape(axial *a, const sq_st_tensor *x)
{
    sq_golden *golden = a->module.golden;
    const sq_st_tensor *wq = sq__golden_tensor(golden, "wq_0", SQ_SHAPE(SQ_ANY, SQ_ANY));
    int written = 0;
    if (!x || !wq) return false;
    a->axes = x->rank - 2;
    a->B = x->shape[0], a->E = x->shape[x->rank - 1], a->N = 1;
    a->H = sq__golden_count(golden, "H", -1);
    a->inner = wq->shape[0];
    if (a->H < 1 || a->inner % a->H) sq__golden_fail(golden, "%lld rows of wq_0 cannot be shared by %lld heads", (long long)a->inner, (long long)a->H);
    for (int axis = 0; axis < a->axes; axis++) {
        a->N *= x->shape[axis + 1];
        written += snprintf(a->shape + written, sizeof a->shape - (size_t)written, "%s%lld", axis ? "x" : "", (long long)x->shape[axis + 1]);
    }
    return sq__golden_going(golden);
}

static void run(axial *a, bool sequential)
{
    sq_module *m = &a->module;
    static const int64_t any[SQ_MAX_RANK] = { SQ_ANY, SQ_ANY, SQ_ANY, SQ_ANY, SQ_ANY };
    const int rank = sq__golden_rank(m->golden, "x");
    if (rank < 3 || rank > AXES + 2) sq__golden_skip(m->golden, "x with %d axes is unknown to this build", rank);
    if (!sq__golden_going(m->golden) || !read_shape(a, sq__golden_tensor(m->golden, "x", rank, any))) return;
    sq_var *entry = sq__module_input(m, "x", rank, any), *x = NULL, *sum = NULL;
    if (entry) x = sq__reshape(m->tape, entry, SQ_SHAPE(a->B, a->N, a->E));
    for (int axis = 0; axis < a->axes && x && sq__module_going(m); axis++) {
        sq_var *y = attend(a, x, axis);
        if (sequential) x = sum = y;
        else sum = sum && y ? sq__add(m->tape, sum, y) : y;
    }
    if (sum && sq__module_going(m)) sq__module_finish(m, sq__reshape(m->tape, sum, entry->rank, entry->shape));
}

void sq__family_axial(sq_golden *golden)
{
    const char *variant = sq__golden_text(golden, "case", sq__golden_text(golden, "variant", NULL));
    if (sq__golden_starts(variant, "large_")) variant += 6;
    const bool sequential = sq__golden_variant(variant, "seq_");
    if (!sequential && !sq__golden_variant(variant, "sum_")) sq__golden_skip(golden, "variant '%.80s' is unknown to this build", variant);
    axial a = { .axes = 0 };
    if (sq__golden_going(golden) && sq__module_open(&a.module, golden)) {
        run(&a, sequential);
        sq__module_close(&a.module);
    }
    for (int axis = 0; axis < AXES; axis++) sq_attention_destroy(&a.plans[axis]);
}

void sq__family_axial_position(sq_golden *golden)
{
    sq_module m;
    const sq_st_tensor *w0 = sq__golden_tensor(golden, "w0", SQ_SHAPE(SQ_ANY, 1, SQ_ANY)), *w1 = sq__golden_tensor(golden, "w1", SQ_SHAPE(1, SQ_ANY, SQ_ANY));
    const sq_st_tensor *ids = sq__golden_tensor(golden, "position_ids", SQ_SHAPE(SQ_ANY, SQ_ANY));
    if (!w0 || !w1 || !ids || !sq__module_open(&m, golden)) return;
    const int64_t rows = w0->shape[0], columns = w1->shape[1], *shape = ids->shape;
    const int32_t *positions = sq__golden_ints(golden, "position_ids", SQ_SHAPE(shape[0], shape[1]));
    sq_var *first = sq__module_input(&m, "w0", SQ_SHAPE(rows, 1, w0->shape[2])), *second = sq__module_input(&m, "w1", SQ_SHAPE(1, columns, w1->shape[2]));
    if (first && second && positions && sq__module_going(&m)) {
        first = sq__reshape(m.tape, first, SQ_SHAPE(rows, w0->shape[2]));
        second = sq__reshape(m.tape, second, SQ_SHAPE(columns, w1->shape[2]));
        sq__module_finish(&m, sq__axial_positions_look_up(m.tape, first, second, positions, 2, shape));
    }
    sq__module_close(&m);
}
