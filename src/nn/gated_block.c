#include "nn/gated_block.h"

#include <math.h>

#include "attention/engine/gated_heads.h"
#include "base/random.h"
#include "nn/gated_feed_forward.h"

/* ---- creation ---- */

static int64_t features_of(const sq_gated_block_config *c) { return 2 * c->groups * c->rule.D + c->heads * c->rule.M; }

static sq_status create_norm(const sq_gated_block *block, sq_norm *norm, const char *prefix, const char *name, int64_t width, sq_error *error)
{
    char full[96];
    snprintf(full, sizeof full, "%.70s.%s", prefix, name);
    return (block->config.rms ? sq__rms_create : sq__norm_create)(norm, block->set, full, width, block->config.eps, error);
}

static sq_status create_linear(const sq_gated_block *block, sq_linear *layer, const char *prefix, const char *name, int64_t in, int64_t out, bool bias,
                               sq_error *error)
{
    char full[96];
    snprintf(full, sizeof full, "%.70s.%s", prefix, name);
    return sq__linear_create(layer, block->set, full, in, out, bias, error);
}

/* Taps uniform in +-1/sqrt(taps), as of any convolution with one input for each output. */
static sq_status create_convolution(sq_gated_block *block, const char *prefix, sq_error *error)
{
    const int64_t taps = block->config.taps, features = features_of(&block->config);
    SQ_TRY(sq__parameters_add(block->set, &(sq_parameter_spec){ .prefix = prefix, .name = "convolution.weight", .rank = 2, .shape = { features, taps },
                              .initial = SQ_INITIAL_UNIFORM, .scale = (float)(1 / sqrt((double)taps)) }, &block->taps, error));
    return sq__parameters_add(block->set, &(sq_parameter_spec){ .prefix = prefix, .name = "convolution.bias", .rank = 1, .shape = { features } },
                              &block->taps_bias, error);
}

static sq_status create_gate(sq_gated_block *block, const char *prefix, sq_error *error)
{
    const sq_gated_block_config *c = &block->config;
    const int64_t H = c->heads, out = H * c->rule.width;
    if (c->rule.gate < SQ_GATE_SIGMOID) return SQ_OK;
    if (c->gate_rank) {
        SQ_TRY(create_linear(block, &block->gate_in, prefix, "gate.in", c->width, c->gate_rank, false, error));
        return create_linear(block, &block->gate, prefix, "gate.out", c->gate_rank, out, true, error);
    }
    SQ_TRY(create_linear(block, &block->gate, prefix, "gate", c->width, out, false, error));
    if (c->rule.gate != SQ_GATE_SOFTPLUS) return SQ_OK;
    const uint64_t seed = sq__hash_bytes(&block->set->seed, sizeof block->set->seed, sq__hash_text(prefix));
    SQ_TRY(sq__parameters_add(block->set, &(sq_parameter_spec){ .prefix = prefix, .name = "rate", .rank = 1, .shape = { H } }, &block->rate, error));
    SQ_TRY(sq__parameters_add(block->set, &(sq_parameter_spec){ .prefix = prefix, .name = "step_bias", .rank = 1, .shape = { H } }, &block->bias, error));
    sq__gated_draw_rate(H, seed, 0, block->set->items[block->rate].value);
    sq__gated_draw_bias(H, seed, 0, block->set->items[block->bias].value);
    if (!c->rule.skips) return SQ_OK;
    return sq__parameters_add(block->set, &(sq_parameter_spec){ .prefix = prefix, .name = "skip", .rank = 1, .shape = { H }, .initial = SQ_INITIAL_ONE },
                              &block->skip, error);
}

static sq_status create_slots(sq_gated_block *block, sq_carry_layout *layout, const char *prefix, sq_error *error)
{
    const sq_gated_block_config *c = &block->config;
    SQ_TRY(sq__carry_add(layout, prefix, "state", 3, (const int64_t[]){ c->heads, c->rule.D, c->rule.M }, &block->state, error));
    if (c->taps < 2) return SQ_OK;
    return sq__carry_add(layout, prefix, "rows", 2, (const int64_t[]){ c->taps - 1, features_of(c) }, &block->rows, error);
}

static sq_status create_feed(sq_gated_block *block, const char *prefix, sq_error *error)
{
    const sq_gated_block_config *c = &block->config;
    char full[96];
    if (c->feed == SQ_FEED_NONE) return SQ_OK;
    snprintf(full, sizeof full, "%.70s.feed_forward", prefix);
    SQ_TRY(create_norm(block, &block->feed_norm, prefix, "feed_forward_norm", c->width, error));
    return c->feed == SQ_FEED_GELU ? sq__feed_forward_create(&block->feed, block->set, full, c->width, c->feed_forward, SQ_GELU, error)
                                   : sq__gated_feed_forward_create(&block->feed, block->set, full, c->width, c->feed_forward, SQ_SILU, error);
}

sq_status sq__gated_block_create(sq_gated_block *block, sq_parameters *set, sq_carry_layout *layout, const char *prefix, const sq_gated_block_config *config,
                                 sq_error *error)
{
    const int64_t values = config->heads * config->rule.M;
    *block = (sq_gated_block){ .config = *config, .set = set, .taps = -1, .taps_bias = -1, .rate = -1, .bias = -1, .skip = -1, .state = -1, .rows = -1 };
    SQ_TRY(create_norm(block, &block->mixer_norm, prefix, "mixer_norm", config->width, error));
    SQ_TRY(create_linear(block, &block->packed, prefix, "query_key_value", config->width, features_of(config), false, error));
    if (config->taps > 1) SQ_TRY(create_convolution(block, prefix, error));
    SQ_TRY(create_gate(block, prefix, error));
    if (config->rule.delta) SQ_TRY(create_linear(block, &block->strength, prefix, "strength", config->width, config->heads, false, error));
    SQ_TRY(create_norm(block, &block->head_norm, prefix, "head_norm", config->norm_gated ? values : config->rule.M, error));
    if (config->output_gate) SQ_TRY(create_linear(block, &block->output_gate, prefix, "output_gate", config->width, values, false, error));
    SQ_TRY(create_linear(block, &block->output, prefix, "output", values, config->width, false, error));
    SQ_TRY(create_feed(block, prefix, error));
    return create_slots(block, layout, prefix, error);
}

/* ---- running ---- */

static sq_var *parameter(const sq_gated_block *block, int index, sq_tape *tape) { return sq__parameters_var(block->set, index, tape); }

static sq_var *project(const sq_gated_block *block, sq_tape *tape, sq_var *h, const int32_t *lengths, sq_carry *carry)
{
    const sq_gated_block_config *c = &block->config;
    sq_var *packed = sq__linear_run(&block->packed, tape, h), *last;
    if (c->taps > 1) {
        sq_var *before = carry ? sq__carry_var(carry, block->rows, tape) : NULL;
        packed = sq__short_convolution(tape, packed, parameter(block, block->taps, tape), parameter(block, block->taps_bias, tape), before, lengths, &last);
        if (carry) sq__carry_put(carry, block->rows, last);
        packed = sq__activate(tape, packed, SQ_SILU);
    }
    return c->rotary ? sq__rotary(tape, packed, 2 * c->groups, c->rule.D) : packed;
}

/* Keys of the segment are turned by their distance from its beginning: from the next one's beginning they lie a segment back. */
static void turn_back(const sq_gated_block *block, sq_carry *carry, const int32_t *lengths, int64_t T)
{
    const sq_gated_block_config *c = &block->config;
    const int64_t D = c->rule.D, M = c->rule.M;
    for (int64_t b = 0; b < carry->B; b++)
        for (int64_t h = 0; h < c->heads; h++)
            for (int64_t i = 0; i < D / 2; i++) {
                const double angle = -(double)(lengths ? lengths[b] : T) * pow(10000, -2.0 * (double)i / (double)D);
                const double cosine = cos(angle), sine = sin(angle);   /* of float32, their squares would not sum to one, step after step */
                float *x = carry->values[block->state] + ((b * c->heads + h) * D + 2 * i) * M, *y = x + M;
                for (int64_t m = 0; m < M; m++) {
                    const double first = x[m] * cosine - y[m] * sine, second = x[m] * sine + y[m] * cosine;
                    x[m] = (float)first;
                    y[m] = (float)second;
                }
            }
}

static sq_var *scan(const sq_gated_block *block, sq_tape *tape, sq_var *h, const int32_t *lengths, sq_carry *carry)
{
    const sq_gated_block_config *c = &block->config;
    sq_gated_inputs in = { .packed = project(block, tape, h, lengths, carry), .rate = parameter(block, block->rate, tape),
                           .bias = parameter(block, block->bias, tape), .skip = parameter(block, block->skip, tape), .fixed = c->fixed, .lengths = lengths };
    if (c->rule.gate >= SQ_GATE_SIGMOID) in.gate = sq__linear_run(&block->gate, tape, c->gate_rank ? sq__linear_run(&block->gate_in, tape, h) : h);
    if (c->rule.delta) in.strength = sq__linear_run(&block->strength, tape, h);
    if (!carry) return sq__gated_scan(tape, &in, &c->rule, c->heads, c->groups, NULL);
    sq_var *last;
    in.initial = sq__carry_var(carry, block->state, tape);
    sq_var *out = sq__gated_scan(tape, &in, &c->rule, c->heads, c->groups, &last);
    sq__carry_put(carry, block->state, last);
    if (out && c->rotary) turn_back(block, carry, lengths, out->shape[1]);
    return out;
}

static sq_var *norm_heads(const sq_gated_block *block, sq_tape *tape, sq_var *o)
{
    if (!o) return NULL;
    const int64_t apart[4] = { o->shape[0], o->shape[1], block->config.heads, block->config.rule.M };
    return sq__reshape(tape, sq__norm_run(&block->head_norm, tape, sq__reshape(tape, o, 4, apart)), 3, o->shape);
}

static sq_var *mix(const sq_gated_block *block, sq_tape *tape, sq_var *x, const int32_t *lengths, sq_carry *carry)
{
    const sq_gated_block_config *c = &block->config;
    sq_var *h = sq__norm_run(&block->mixer_norm, tape, x), *o = scan(block, tape, h, lengths, carry);
    if (!c->norm_gated) o = norm_heads(block, tape, o);
    if (c->output_gate) o = sq__multiply(tape, o, sq__activate(tape, sq__linear_run(&block->output_gate, tape, h), SQ_SILU));
    if (c->norm_gated) o = sq__norm_run(&block->head_norm, tape, o);
    return sq__linear_run_residual(&block->output, tape, o, c->dropout, x);
}

sq_var *sq__gated_block_run(const sq_gated_block *block, sq_tape *tape, sq_var *x, const int32_t *lengths, sq_carry *carry)
{
    const sq_gated_block_config *c = &block->config;
    x = mix(block, tape, x, lengths, carry);
    if (c->feed == SQ_FEED_NONE) return x;
    sq_var *h = sq__norm_run(&block->feed_norm, tape, x);
    return (c->feed == SQ_FEED_GELU ? sq__feed_forward_run : sq__gated_feed_forward_run)(&block->feed, tape, h, c->dropout, x);
}
