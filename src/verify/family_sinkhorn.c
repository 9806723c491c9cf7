/* sinkhorn: the sorting matrix and the attention of one public implementation, every entry's heads as heads of one entry unless causal. */
#include <math.h>
#include <stdio.h>

#include "attention/sinkhorn.h"
#include "verify/core.h"
#include "verify/families.h"

typedef struct sizes { int64_t entries, B, H, N, D; } sizes;

static sizes sizes_of(sq_golden *golden)
{
    const sq_st_tensor *q = sq__golden_tensor(golden, "q", SQ_SHAPE(SQ_ANY, SQ_ANY, SQ_ANY, SQ_ANY));
    return q ? (sizes){ q->shape[0], q->shape[0], q->shape[1], q->shape[2], q->shape[3] } : (sizes){ 0 };
}

/* Nulls are the same block and score, so that which of them is picked first is nobody's promise: ours are put where the file's are. */
static void follow_nulls(float *matrix, const float *given, int64_t rows, int64_t width, int64_t nulls)
{
    for (int64_t i = 0; i < rows; i++) {
        int64_t at = 0;
        float weight = 0;
        for (int64_t j = 0; j < nulls; j++) {
            if (given[i * width + j] != 0) at = j;
            weight += matrix[i * width + j];
            matrix[i * width + j] = 0;
        }
        if (nulls) matrix[i * width + at] = weight;
    }
}

static void check_matrix(sq_golden *golden, const sq_core *core, const sq_sinkhorn_config *config, const sizes *s)
{
    const sq_problem problem = { .B = s->B, .H = s->H, .Hk = s->H, .T = s->N, .N = s->N, .D = s->D, .M = s->D, .max_length = s->N, .threads = 1,
                                 .causal = core->desc.causal, .scale = core->desc.scale != 0 ? core->desc.scale : (float)(1 / sqrt((double)s->D)) };
    const sq_sinkhorn_shape shape = sq__sinkhorn_shape(config, &problem);
    const int64_t nulls = shape.causal ? shape.picks : 0, width = nulls + shape.blocks;
    const float *given = sq__golden_floats(golden, "sort_matrix", SQ_SHAPE(s->B * s->H, shape.sorted, width));
    const int64_t B = core->fold ? s->entries : s->B, H = s->B * s->H / B;   /* as the file has them */
    const float *q = sq__golden_floats(golden, "q", SQ_SHAPE(B, H, s->N, s->D)), *k = sq__golden_floats(golden, "k", SQ_SHAPE(B, H, s->N, s->D));
    float *tensors[SQ_CORE_TENSORS], *matrix = sq__golden_room(golden, s->B * s->H * shape.sorted * width);
    sq_sizes bytes = { 0 };
    sq__attention_kind("sinkhorn")->sizes(config, &problem, &bytes);
    void *workspace = sq__golden_memory(golden, (int64_t)bytes.forward_workspace, 1);
    if (!sq__golden_going(golden)) return;
    for (int i = 0; i < core->tensor_count; i++) tensors[i] = (float *)(uintptr_t)core->tensors[i].value;
    const sq_attention_call call = { .q = sq_view_bhtd(q, s->N, s->H, s->D), .k = sq_view_bhtd(k, s->N, s->H, s->D), .v = sq_view_bhtd(k, s->N, s->H, s->D),
                                     .tensors = tensors, .workspace = workspace };
    const sq_run run = { .problem = &problem, .config = config, .kernels = sq__kernels(), .call = &call };
    for (int64_t head = 0; head < s->B * s->H; head++)
        sq__sinkhorn_matrix(&run, head / s->H, head % s->H, matrix + head * shape.sorted * width);
    follow_nulls(matrix, given, s->B * s->H * shape.sorted, width, nulls);
    sq__golden_compare(golden, "sort_matrix", matrix, s->B * s->H * shape.sorted * width);
}

static int sorting_of(sq_golden *golden, bool causal)
{
    if (causal) return SQ_SINKHORN_TOPK;
    if (sq__golden_count(golden, "options.n_sortcut", 0) > 0) return SQ_SINKHORN_SORTCUT;
    return sq__golden_has(golden, "gumbel") ? SQ_SINKHORN_BALANCE : SQ_SINKHORN_TOPK;
}

static const char *number_text(sq_golden *golden, double number)
{
    enum { ROOM = 32 };
    char *text = sq__golden_memory(golden, ROOM, 1);
    if (text) snprintf(text, ROOM, "%.17g", number);
    return text ? text : "";
}

void sq__family_sinkhorn(sq_golden *golden)
{
    static const char *const sortings[] = { "sinkhorn", "topk", "sortcut" };
    sizes s = sizes_of(golden);
    sq_core core = { .desc = { .mechanism = "sinkhorn", .causal = sq__golden_flag(golden, "causal", false), .scale = sq__golden_scale(golden) } };
    sq_sinkhorn_config config = { .block = sq__golden_count(golden, "bucket_size", -1), .noise = SQ_SINKHORN_FIXED,
                                  .sorting = sorting_of(golden, core.desc.causal) };
    const bool balanced = config.sorting == SQ_SINKHORN_BALANCE, backward = sq__golden_has(golden, "g");
    const char *picks = config.sorting == SQ_SINKHORN_SORTCUT ? "options.n_sortcut" : "options.n_top_buckets";
    config.convention = balanced || config.sorting == SQ_SINKHORN_TOPK ? !core.desc.causal && !sq__golden_flag(golden, "corrected_copy", false) : 0;
    config.topk = balanced ? 1 : sq__golden_count(golden, picks, 1);
    config.iterations = balanced ? sq__golden_count(golden, "options.sinkhorn_iter", -1) : 0;
    config.temperature = balanced || core.desc.causal ? sq__golden_number(golden, "options.temperature", NAN) : 1;
    core.fold = !core.desc.causal;
    if (core.fold) s.H *= s.B, s.B = 1;
    if (balanced) {
        const int64_t blocks = config.block ? (s.N + config.block - 1) / config.block : 0;
        core.tensors[0] = (sq_core_tensor){ sq__golden_floats(golden, "gumbel", SQ_SHAPE(s.H, blocks, blocks)), s.H * blocks * blocks, NULL };
        core.tensor_count = 1;
    } else if (core.desc.causal) {
        core.tensors[0] = (sq_core_tensor){ sq__golden_floats(golden, "null_k", SQ_SHAPE(s.H, 1, s.D)), s.H * s.D, backward ? "dnull_k" : NULL };
        core.tensors[1] = (sq_core_tensor){ sq__golden_floats(golden, "null_v", SQ_SHAPE(s.H, 1, s.D)), s.H * s.D, backward ? "dnull_v" : NULL };
        core.tensor_count = 2;
    }
    sq__core_option(&core, "block", sq__golden_digits(golden, config.block));
    sq__core_option(&core, "sorting", sortings[config.sorting]);
    sq__core_option(&core, "topk", sq__golden_digits(golden, config.topk));
    sq__core_option(&core, "iterations", sq__golden_digits(golden, config.iterations));
    sq__core_option(&core, "temperature", number_text(golden, config.temperature));
    sq__core_option(&core, "noise", "fixed");
    sq__core_option(&core, "convention", config.convention ? "lucidrains" : "paper");
    if (sq__golden_going(golden)) check_matrix(golden, &core, &config, &s);
    if (sq__golden_going(golden)) sq__core_run(golden, &core);
}
