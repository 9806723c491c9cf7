#include "nn/decoding.h"

#include <string.h>

/* Keys and values of one layer: of the tokens [rows, longest, width], twice, for beams that go on from one another, and of the sources
 * [B, N, width]. */
typedef struct kept { float *keys[2], *values[2], *source_keys, *source_values; } kept;

struct sq_decoding {
    sq_decoding_spec spec;
    int64_t rows, width, said;         /* said: tokens so far */
    int now;                           /* which of the two */
    sq_tape *tape;
    sq_attention *own, *cross;         /* plans: one query over all that was said; the beam's queries over the source */
    kept *layers;
    int32_t *lengths;                  /* [rows] */
};

static sq_status make_plan(const sq_decoding *d, sq_attention **plan, int64_t B, int64_t T, int64_t N, sq_error *error)
{
    const sq_decoder_config *c = &d->spec.decoder->config;
    const int64_t size = c->width / c->heads;
    return sq_attention_create(plan, &(sq_attention_desc){ .mechanism = "softmax", .B = B, .H = c->heads, .T = T, .N = N, .D = size, .M = size,
                                                           .lengths = true, .threads = c->threads }, error);
}

static sq_status make_room(sq_decoding *d, sq_error *error)
{
    const size_t own = (size_t)(d->rows * d->spec.longest * d->width), source = (size_t)(d->spec.B * d->spec.N * d->width);
    const int copies = d->spec.beam > 1 ? 2 : 1;
    d->layers = sq__alloc_array((size_t)d->spec.decoder->count, sizeof *d->layers);
    d->lengths = sq__alloc_array((size_t)d->rows, sizeof *d->lengths);
    d->tape = sq__tape_create(false);
    if (!d->layers || !d->lengths || !d->tape) return sq__no_memory(error);
    for (int i = 0; i < d->spec.decoder->count; i++) {
        kept *k = &d->layers[i];
        for (int copy = 0; copy < copies; copy++) {
            k->keys[copy] = sq__alloc_array(own, sizeof(float));
            k->values[copy] = sq__alloc_array(own, sizeof(float));
            if (!k->keys[copy] || !k->values[copy]) return sq__no_memory(error);
        }
        k->source_keys = sq__alloc_array(source, sizeof(float));
        k->source_values = sq__alloc_array(source, sizeof(float));
        if (!k->source_keys || !k->source_values) return sq__no_memory(error);
    }
    return SQ_OK;
}

/* What every token will ask of the sources. */
static sq_status project_sources(sq_decoding *d, sq_error *error)
{
    const int64_t width = d->spec.decoder->config.memory_width ? d->spec.decoder->config.memory_width : d->width;
    for (int i = 0; i < d->spec.decoder->count; i++) {
        const sq_attention_block *cross = &d->spec.decoder->layers[i].cross;
        sq__tape_reset(d->tape);
        sq_var *memory = sq__tape_input(d->tape, 3, (const int64_t[]){ d->spec.B, d->spec.N, width }, d->spec.memory, false);
        const sq_var *keys = sq__linear_run(&cross->key, d->tape, memory), *values = sq__linear_run(&cross->value, d->tape, memory);
        SQ_TRY(sq__tape_status(d->tape, error));
        memcpy(d->layers[i].source_keys, keys->value, (size_t)keys->count * sizeof(float));
        memcpy(d->layers[i].source_values, values->value, (size_t)values->count * sizeof(float));
    }
    return SQ_OK;
}

sq_status sq__decoding_create(sq_decoding **decoding, const sq_decoding_spec *spec, sq_error *error)
{
    sq_decoding *d = *decoding = sq__alloc_zero(sizeof *d);
    if (!d) return sq__no_memory(error);
    d->spec = *spec;
    d->rows = spec->B * spec->beam;
    d->width = spec->decoder->config.width;
    sq_status status = spec->longest < 1 || spec->longest > spec->decoder->config.longest
                           ? sq__fail(error, SQ_INVALID, "%lld tokens are to be decoded; expected 1 to %lld", (long long)spec->longest, (long long)spec->decoder->config.longest)
                           : SQ_OK;
    if (status == SQ_OK) status = make_plan(d, &d->own, d->rows, 1, spec->longest, error);
    if (status == SQ_OK) status = make_plan(d, &d->cross, spec->B, spec->beam, spec->N, error);
    if (status == SQ_OK) status = make_room(d, error);
    if (status == SQ_OK) status = project_sources(d, error);
    if (status != SQ_OK) sq__decoding_destroy(decoding);
    return status;
}

void sq__decoding_destroy(sq_decoding **decoding)
{
    sq_decoding *d = *decoding;
    if (!d) return;
    for (int i = 0; d->layers && i < d->spec.decoder->count; i++) {
        kept *k = &d->layers[i];
        float *all[] = { k->keys[0], k->keys[1], k->values[0], k->values[1], k->source_keys, k->source_values };
        for (int j = 0; j < 6; j++) sq__free(all[j]);
    }
    sq__free(d->layers);
    sq__free(d->lengths);
    sq_attention_destroy(&d->own);
    sq_attention_destroy(&d->cross);
    sq__tape_destroy(d->tape);
    sq__free(d);
    *decoding = NULL;
}

sq_tape *sq__decoding_tape(sq_decoding *decoding) { return decoding->tape; }

/* Rows take what their parents said. */
static void follow(sq_decoding *d, const int32_t *parents)
{
    const int64_t stride = d->spec.longest * d->width;
    const size_t bytes = (size_t)(d->said * d->width) * sizeof(float);
    bool moved = false;
    for (int64_t row = 0; row < d->rows; row++) moved |= parents[row] != row;
    if (!moved) return;
    for (int i = 0; i < d->spec.decoder->count; i++) {
        const kept *k = &d->layers[i];
        for (int64_t row = 0; row < d->rows; row++) {
            memcpy(k->keys[!d->now] + row * stride, k->keys[d->now] + parents[row] * stride, bytes);
            memcpy(k->values[!d->now] + row * stride, k->values[d->now] + parents[row] * stride, bytes);
        }
    }
    d->now = !d->now;
}

/* The new token's key and value behind those before it; then its query over all. packed [rows, 1, 3 width] */
static sq_var *attend_own(sq_decoding *d, int layer, sq_var *packed)
{
    const int64_t E = d->width, longest = d->spec.longest, shape[3] = { d->rows, longest, E };
    const kept *k = &d->layers[layer];
    if (!packed) return NULL;
    for (int64_t row = 0; row < d->rows; row++) {
        memcpy(k->keys[d->now] + (row * longest + d->said) * E, packed->value + (3 * row + 1) * E, (size_t)E * sizeof(float));
        memcpy(k->values[d->now] + (row * longest + d->said) * E, packed->value + (3 * row + 2) * E, (size_t)E * sizeof(float));
    }
    return sq__attention(d->tape, d->own, &(sq_attention_inputs){ .q = sq__slice(d->tape, packed, 0, E), .k = sq__tape_input(d->tape, 3, shape, k->keys[d->now], false),
                         .v = sq__tape_input(d->tape, 3, shape, k->values[d->now], false), .lengths = d->lengths });
}

/* The beam's queries are those of one sequence over its source. */
static sq_var *attend_source(sq_decoding *d, int layer, sq_var *queries)
{
    const int64_t E = d->width, shape[3] = { d->spec.B, d->spec.N, E };
    const kept *k = &d->layers[layer];
    if (!queries) return NULL;
    sq_var *mixed = sq__attention(d->tape, d->cross, &(sq_attention_inputs){
        .q = sq__reshape(d->tape, queries, 3, (const int64_t[]){ d->spec.B, d->spec.beam, E }), .k = sq__tape_input(d->tape, 3, shape, k->source_keys, false),
        .v = sq__tape_input(d->tape, 3, shape, k->source_values, false), .lengths = d->spec.memory_lengths });
    return mixed ? sq__reshape(d->tape, mixed, 3, (const int64_t[]){ d->rows, 1, E }) : NULL;
}

static sq_var *run_layer(sq_decoding *d, int i, sq_var *x)
{
    const sq_transformer_layer *layer = &d->spec.decoder->layers[i];
    const bool pre = layer->config.pre_norm;
    sq_tape *tape = d->tape;
    sq_var *in = pre ? sq__norm_run(&layer->attention_norm, tape, x) : x;
    x = sq__linear_run_residual(&layer->attention.output, tape, attend_own(d, i, sq__linear_run(&layer->attention.packed, tape, in)), 0, x);
    if (!pre) x = sq__norm_run(&layer->attention_norm, tape, x);
    in = pre ? sq__norm_run(&layer->cross_norm, tape, x) : x;
    x = sq__linear_run_residual(&layer->cross.output, tape, attend_source(d, i, sq__linear_run(&layer->cross.query, tape, in)), 0, x);
    if (!pre) x = sq__norm_run(&layer->cross_norm, tape, x);
    in = pre ? sq__norm_run(&layer->feed_forward_norm, tape, x) : x;
    x = sq__feed_forward_run(&layer->feed_forward, tape, in, 0, x);
    return pre ? x : sq__norm_run(&layer->feed_forward_norm, tape, x);
}

sq_var *sq__decoding_step(sq_decoding *d, const int32_t *tokens, const int32_t *parents)
{
    sq_error error;
    sq__tape_reset(d->tape);
    if (d->said == d->spec.longest) {
        sq__fail(&error, SQ_INVALID, "decoding: all %lld tokens have been said", (long long)d->spec.longest);
        sq__tape_fail(d->tape, &error);
        return NULL;
    }
    if (parents && d->spec.beam > 1) follow(d, parents);
    for (int64_t row = 0; row < d->rows; row++) d->lengths[row] = (int32_t)(d->said + 1);
    sq_var *x = sq__decoder_embed(d->spec.decoder, d->tape, tokens, d->rows, 1, d->said);
    for (int i = 0; i < d->spec.decoder->count; i++) x = run_layer(d, i, x);
    d->said++;
    return d->spec.decoder->config.pre_norm ? sq__norm_run(&d->spec.decoder->norm, d->tape, x) : x;
}
