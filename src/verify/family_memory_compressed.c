/* memory-compressed: the module of lucidrains/memory-compressed-attention, whose convolution, grouped by heads, serves keys and values. */
#include <math.h>

#include "autograd/tape.h"
#include "verify/families.h"
#include "verify/module.h"

static sq_var *as(sq_module *m, sq_var *x, int rank, const int64_t *shape)
{
    return x ? sq__reshape(m->tape, x, rank, shape) : NULL;
}

static sq_attention *plan_of(sq_golden *golden, int64_t B, int64_t T, int64_t H, int64_t D, int64_t window)
{
    const sq_option options[] = { { "window", sq__golden_digits(golden, window) }, { "joint", "true" }, { "null_key", "true" }, { "pad", "start" } };
    sq_attention *plan = NULL;
    sq_error error;
    sq__golden_status(golden, sq_attention_create(&plan, &(sq_attention_desc){
        .mechanism = "memory-compressed", .options = options, .option_count = 4, .B = B, .H = H, .T = T, .N = T, .D = D, .M = D,
        .causal = sq__golden_flag(golden, "causal", false), .scale = (float)(1 / sqrt((double)(H * D))) }, &error), &error);
    return plan;
}

static void run(sq_module *m, sq_attention **plan)
{
    sq_golden *golden = m->golden;
    const int64_t H = sq__golden_count(golden, "heads", -1), window = sq__golden_count(golden, "compression_factor", -1);
    sq_var *x = sq__module_input(m, "x", SQ_SHAPE(SQ_ANY, SQ_ANY, SQ_ANY));
    if (!x) return;
    const int64_t width = x->shape[2], D = H > 0 ? width / H : 0;
    if (H < 1 || D * H != width || window < 1) {
        sq__golden_fail(golden, "%lld heads of width %lld", (long long)H, (long long)width);
        return;
    }
    sq_var *tensors[] = {
        as(m, sq__module_input(m, "param.compress_fn.conv.weight", SQ_SHAPE(width, D, window)), SQ_SHAPE(H, D, D, window)),
        as(m, sq__module_input(m, "param.compress_fn.conv.bias", SQ_SHAPE(width)), SQ_SHAPE(H, D)),
        as(m, sq__module_input(m, "param.null_k", SQ_SHAPE(1, 1, width)), SQ_SHAPE(H, D)),
        as(m, sq__module_input(m, "param.null_v", SQ_SHAPE(1, 1, width)), SQ_SHAPE(H, D)),
    };
    sq_var *packed = sq__linear(m->tape, x, sq__module_input(m, "param.to_qkv.weight", SQ_SHAPE(3 * width, width)), NULL);
    sq_var *weight = sq__module_input(m, "param.to_out.weight", SQ_SHAPE(width, width)), *bias = sq__module_input(m, "param.to_out.bias", SQ_SHAPE(width));
    if (!sq__module_going(m)) return;
    *plan = plan_of(golden, x->shape[0], x->shape[1], H, D, window);
    if (!sq__module_going(m)) return;
    sq_var *mixed = sq__attention(m->tape, *plan, &(sq_attention_inputs){ .packed = packed, .tensors = tensors });
    sq_var *out = mixed ? sq__linear(m->tape, mixed, weight, bias) : NULL;
    if (out) sq__module_finish(m, out);
}

void sq__family_memory_compressed(sq_golden *golden)
{
    sq_module module;
    sq_attention *plan = NULL;
    if (sq__golden_going(golden) && sq__module_open(&module, golden)) {
        run(&module, &plan);
        sq__module_close(&module);
    }
    sq_attention_destroy(&plan);
}
