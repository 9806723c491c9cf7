#include "nn/relative_attention.h"

#include <math.h>

static sq_status create_linear(sq_linear *layer, sq_parameters *set, const char *prefix, const char *name, int64_t in, int64_t out, sq_error *error)
{
    char full[96];
    snprintf(full, sizeof full, "%.70s.%s", prefix, name);
    return sq__linear_create(layer, set, full, in, out, false, error);
}

sq_status sq__relative_attention_create(sq_relative_attention_block *block, sq_parameters *set, const char *prefix, int64_t width, int64_t heads,
                                        int64_t head_size, const sq_relative_attention_block *like, sq_error *error)
{
    if (!head_size && (heads < 1 || width % heads))
        return sq__fail(error, SQ_INVALID, "%lld heads do not divide a width of %lld", (long long)heads, (long long)width);
    const int64_t D = head_size ? head_size : width / heads, E = heads * D;
    *block = (sq_relative_attention_block){ .set = set, .heads = heads };
    SQ_TRY(create_linear(&block->query, set, prefix, "query", width, E, error));
    SQ_TRY(create_linear(&block->key_value, set, prefix, "key_value", width, 2 * E, error));
    SQ_TRY(create_linear(&block->position, set, prefix, "position", width, E, error));
    SQ_TRY(create_linear(&block->output, set, prefix, "output", E, width, error));
    if (like) {
        block->u = like->u;
        block->v = like->v;
        return SQ_OK;
    }
    sq_parameter_spec bias = { .prefix = prefix, .name = "content_bias", .rank = 2, .shape = { heads, D }, .initial = SQ_INITIAL_NORMAL, .scale = 0.02f };
    SQ_TRY(sq__parameters_add(set, &bias, &block->u, error));
    bias.name = "position_bias";
    return sq__parameters_add(set, &bias, &block->v, error);
}

void sq__relative_waves(float *waves, int64_t places, int64_t width, int64_t clamp)
{
    const int64_t half = (width + 1) / 2;
    for (int64_t row = 0; row < places; row++) {
        int64_t distance = places - 1 - row;
        if (clamp && distance > clamp) distance = clamp;
        for (int64_t i = 0; i < half; i++) {
            const double angle = (double)distance * pow(10000, -2 * (double)i / (double)width);
            waves[row * width + i] = (float)sin(angle);
            if (half + i < width) waves[row * width + half + i] = (float)cos(angle);
        }
    }
}

sq_var *sq__relative_positions(const sq_relative_attention_block *block, sq_tape *tape, const float *waves, int64_t places, int64_t width)
{
    return sq__linear_run(&block->position, tape, sq__tape_input(tape, 2, (const int64_t[]){ places, width }, waves, false));
}

sq_var *sq__relative_attention_run(const sq_relative_attention_block *block, sq_tape *tape, const sq_relative_attention_inputs *in)
{
    sq_var *q = sq__linear_run(&block->query, tape, in->x);
    const sq_relative_inputs inputs = { .q = q, .kv = sq__linear_run(&block->key_value, tape, in->rows), .r = in->positions,
                                        .u = sq__parameters_var(block->set, block->u, tape), .v = sq__parameters_var(block->set, block->v, tape),
                                        .heads = block->heads, .window = in->window, .spans = in->spans, .span_count = in->span_count };
    if (in->query) *in->query = q;
    sq_var *residual = in->beside && q ? in->beside(in->context, tape, q, in->residual) : in->residual;
    return sq__linear_run_residual(&block->output, tape, sq__relative_attention(tape, &inputs), in->dropout, residual);
}
