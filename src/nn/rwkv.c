#include "nn/rwkv.h"

#include <math.h>

#include "attention/engine/wkv.h"
#include "autograd/gated.h"

static const char *const names[SQ_RWKV_PARTS] = { "receptance", "key", "value" };

/* ---- creation ---- */

/* How deep the layer lies: 0 first to 1 last; and 1 first to nearly 0 last. */
static double depth(const sq_rwkv_config *c) { return c->layers > 1 ? (double)c->layer / (double)(c->layers - 1) : 0; }
static double height(const sq_rwkv_config *c) { return 1 - (double)c->layer / (double)c->layers; }

static sq_status add_mix(sq_rwkv *layer, const char *prefix, const char *part, int which, int *index, sq_error *error)
{
    const sq_rwkv_config *c = &layer->config;
    char name[48];
    snprintf(name, sizeof name, "%s.%s_mix", part, names[which]);
    SQ_TRY(sq__parameters_add(layer->set, &(sq_parameter_spec){ .prefix = prefix, .name = name, .rank = 2, .shape = { c->width, 1 } }, index, error));
    float *mix = layer->set->items[*index].value;
    for (int64_t i = 0; i < c->width; i++) {
        const double ramp = pow((double)i / (double)c->width, height(c));
        const bool time = part[0] == 't';
        mix[i] = (float)(!time ? ramp : which == SQ_RWKV_VALUE ? ramp + 0.3 * depth(c) : which == SQ_RWKV_KEY ? ramp : 0.5 * ramp);
    }
    return SQ_OK;
}

static sq_status create_part(sq_rwkv *layer, sq_linear *linear, const char *prefix, const char *name, int64_t in, int64_t out, sq_error *error)
{
    char full[96];
    snprintf(full, sizeof full, "%.60s.%.30s", prefix, name);
    return sq__linear_create(linear, layer->set, full, in, out, false, error);
}

static sq_status create_time(sq_rwkv *layer, const char *prefix, sq_error *error)
{
    const sq_rwkv_config *c = &layer->config;
    const int64_t n = c->width;
    char full[96];
    snprintf(full, sizeof full, "%.70s.time.norm", prefix);
    SQ_TRY(sq__norm_create(&layer->time_norm, layer->set, full, n, c->eps, error));
    for (int i = 0; i < SQ_RWKV_PARTS; i++) {
        snprintf(full, sizeof full, "time.%s", names[i]);
        SQ_TRY(create_part(layer, &layer->time[i], prefix, full, n, n, error));
        SQ_TRY(add_mix(layer, prefix, "time", i, &layer->time_mix[i], error));
    }
    SQ_TRY(sq__parameters_add(layer->set, &(sq_parameter_spec){ .prefix = prefix, .name = "time.rate", .rank = 1, .shape = { n } }, &layer->rate, error));
    SQ_TRY(sq__parameters_add(layer->set, &(sq_parameter_spec){ .prefix = prefix, .name = "time.bonus", .rank = 1, .shape = { n } }, &layer->bonus, error));
    float *rate = layer->set->items[layer->rate].value, *bonus = layer->set->items[layer->bonus].value;
    for (int64_t i = 0; i < n; i++) {
        rate[i] = (float)(-5 + 8 * pow(n > 1 ? (double)i / (double)(n - 1) : 0, 0.7 + 1.3 * depth(c)));
        bonus[i] = (float)(log(0.3) + 0.5 * (double)((i + 1) % 3 - 1));
    }
    return create_part(layer, &layer->output, prefix, "time.output", n, n, error);
}

static sq_status create_channel(sq_rwkv *layer, const char *prefix, sq_error *error)
{
    const sq_rwkv_config *c = &layer->config;
    const int64_t n = c->width, in[] = { n, n, c->feed_forward }, out[] = { n, c->feed_forward, n };
    char full[96];
    snprintf(full, sizeof full, "%.70s.channel.norm", prefix);
    SQ_TRY(sq__norm_create(&layer->channel_norm, layer->set, full, n, c->eps, error));
    for (int i = 0; i < SQ_RWKV_PARTS; i++) {
        snprintf(full, sizeof full, "channel.%s", names[i]);
        SQ_TRY(create_part(layer, &layer->channel[i], prefix, full, in[i], out[i], error));
        if (i != SQ_RWKV_VALUE) SQ_TRY(add_mix(layer, prefix, "channel", i, &layer->channel_mix[i], error));
    }
    return SQ_OK;
}

sq_status sq__rwkv_create(sq_rwkv *layer, sq_parameters *set, sq_carry_layout *layout, const char *prefix, const sq_rwkv_config *config, sq_error *error)
{
    const int64_t row[2] = { 1, config->width }, state[2] = { SQ_WKV_STATE, config->width };
    *layer = (sq_rwkv){ .config = *config, .set = set };
    SQ_TRY(create_time(layer, prefix, error));
    SQ_TRY(create_channel(layer, prefix, error));
    SQ_TRY(sq__carry_add(layout, prefix, "time.row", 2, row, &layer->time_row, error));
    SQ_TRY(sq__carry_add(layout, prefix, "channel.row", 2, row, &layer->channel_row, error));
    return sq__carry_add(layout, prefix, "state", 2, state, &layer->state, error);
}

/* ---- running ---- */

typedef struct shift { sq_tape *tape; sq_var *h, *before, *last; const int32_t *lengths; } shift;

/* m h_t + (1 - m) h_t-1 as a convolution of two taps. */
static sq_var *shifted(shift *s, const sq_rwkv *layer, int index)
{
    static const float one = 1;
    sq_var *mix = sq__parameters_var(layer->set, index, s->tape), *ones = sq__tape_input(s->tape, 1, (const int64_t[]){ 1 }, &one, false);
    sq_var *past = sq__scale(s->tape, sq__subtract(s->tape, mix, ones), -1);
    sq_var *taps = sq__concatenate(s->tape, (sq_var *[]){ past, mix }, 2);
    return sq__short_convolution(s->tape, s->h, taps, NULL, s->before, s->lengths, &s->last);
}

static shift begin(sq_tape *tape, const sq_norm *norm, sq_var *x, const int32_t *lengths, const sq_carry *carry, int slot)
{
    return (shift){ tape, sq__norm_run(norm, tape, x), carry ? sq__carry_var(carry, slot, tape) : NULL, NULL, lengths };
}

static sq_var *mix_time(const sq_rwkv *layer, sq_tape *tape, sq_var *x, const int32_t *lengths, sq_carry *carry)
{
    shift s = begin(tape, &layer->time_norm, x, lengths, carry, layer->time_row);
    sq_var *parts[SQ_RWKV_PARTS], *last, *initial = carry ? sq__carry_var(carry, layer->state, tape) : NULL;
    for (int i = 0; i < SQ_RWKV_PARTS; i++) parts[i] = sq__linear_run(&layer->time[i], tape, shifted(&s, layer, layer->time_mix[i]));
    sq_var *rate = sq__parameters_var(layer->set, layer->rate, tape), *bonus = sq__parameters_var(layer->set, layer->bonus, tape);
    sq_var *out = sq__wkv(tape, parts[SQ_RWKV_RECEPTANCE], parts[SQ_RWKV_KEY], parts[SQ_RWKV_VALUE], rate, bonus, initial, lengths, &last);
    if (carry) {
        sq__carry_put(carry, layer->time_row, s.last);
        sq__carry_put(carry, layer->state, last);
    }
    return sq__linear_run_residual(&layer->output, tape, out, layer->config.dropout, x);
}

static sq_var *mix_channels(const sq_rwkv *layer, sq_tape *tape, sq_var *x, const int32_t *lengths, sq_carry *carry)
{
    shift s = begin(tape, &layer->channel_norm, x, lengths, carry, layer->channel_row);
    sq_var *r = sq__linear_run(&layer->channel[SQ_RWKV_RECEPTANCE], tape, shifted(&s, layer, layer->channel_mix[SQ_RWKV_RECEPTANCE]));
    sq_var *k = sq__linear_run(&layer->channel[SQ_RWKV_KEY], tape, shifted(&s, layer, layer->channel_mix[SQ_RWKV_KEY]));
    if (carry) sq__carry_put(carry, layer->channel_row, s.last);
    k = sq__activate(tape, k, SQ_RELU);
    sq_var *v = sq__linear_run(&layer->channel[SQ_RWKV_VALUE], tape, sq__multiply(tape, k, k));
    sq_var *mixed = sq__multiply(tape, sq__activate(tape, r, SQ_SIGMOID), v);
    return sq__add(tape, x, sq__dropout(tape, mixed, layer->config.dropout));
}

sq_var *sq__rwkv_run(const sq_rwkv *layer, sq_tape *tape, sq_var *x, const int32_t *lengths, sq_carry *carry)
{
    return mix_channels(layer, tape, mix_time(layer, tape, x, lengths, carry), lengths, carry);
}
