#include "nn/decoder.h"

static sq_transformer_config layer_config(const sq_decoder_config *c)
{
    sq_transformer_config layer = {
        .attention = { .mechanism = "softmax", .width = c->width, .heads = c->heads, .max_length = c->longest, .causal = true, .lengths = true, .bias = true, .threads = c->threads },
        .feed_forward = c->feed_forward, .activation = c->activation, .pre_norm = c->pre_norm, .dropout = c->dropout, .eps = c->eps,
    };
    layer.cross = layer.attention;
    layer.cross.cross = true;
    layer.cross.causal = false;
    layer.cross.key_width = c->memory_width;
    layer.cross.max_length = c->longest_source > c->longest ? c->longest_source : c->longest;
    return layer;
}

sq_status sq__decoder_create(sq_decoder *decoder, sq_parameters *set, const char *prefix, const sq_decoder_config *config, sq_error *error)
{
    char full[80];
    const sq_transformer_config layer = layer_config(config);
    *decoder = (sq_decoder){ .config = *config };
    snprintf(full, sizeof full, "%s.tokens", prefix);
    SQ_TRY(sq__embedding_create(&decoder->tokens, set, full, config->words, config->width, error));
    snprintf(full, sizeof full, "%s.positions", prefix);
    SQ_TRY(sq__positions_create(&decoder->positions, set, full, config->learned_positions, config->longest, config->width, error));
    decoder->layers = sq__alloc_array((size_t)config->layers, sizeof *decoder->layers);
    if (!decoder->layers) return sq__no_memory(error);
    for (int i = 0; i < config->layers; i++) {
        snprintf(full, sizeof full, "%s.%d", prefix, i);
        decoder->count = i + 1;
        SQ_TRY(sq__transformer_layer_create(&decoder->layers[i], set, full, &layer, i ? &decoder->layers[0] : NULL, false, error));
    }
    snprintf(full, sizeof full, "%s.norm", prefix);
    return config->pre_norm ? sq__norm_create(&decoder->norm, set, full, config->width, config->eps, error) : SQ_OK;
}

void sq__decoder_clear(sq_decoder *decoder)
{
    for (int i = decoder->count; i-- > 0;) sq__transformer_layer_clear(&decoder->layers[i]);   /* the first owns the plans */
    sq__free(decoder->layers);
    decoder->layers = NULL;
    decoder->count = 0;
}

sq_var *sq__decoder_embed(const sq_decoder *decoder, sq_tape *tape, const int32_t *tokens, int64_t B, int64_t T, int64_t from)
{
    const sq_parameters *set = decoder->tokens.set;
    int32_t *places = sq__tape_memory(tape, (size_t)(B * T) * sizeof *places);
    if (!places) return NULL;
    for (int64_t i = 0; i < B * T; i++) places[i] = tokens[i] < 0 ? -1 : (int32_t)(from + i % T);
    sq_var *tables[] = { sq__parameters_var(set, decoder->tokens.weight, tape), sq__parameters_var(set, decoder->positions.weight, tape) };
    sq_var *x = sq__embedding_sum(tape, tables, (const int32_t *[]){ tokens, places }, 2, 2, (const int64_t[]){ B, T });
    return sq__dropout(tape, x, decoder->config.embedding_dropout);
}

sq_var *sq__decoder_run(const sq_decoder *decoder, sq_tape *tape, const sq_decoder_inputs *inputs)
{
    sq_scope scope = sq__scope_begin(tape);
    sq_var *x = sq__decoder_embed(decoder, tape, inputs->tokens, inputs->B, inputs->T, 0);
    for (int i = 0; i < decoder->count; i++) {
        x = sq__transformer_layer_run(&decoder->layers[i], tape, &(sq_transformer_inputs){ .x = x, .memory = inputs->memory, .lengths = inputs->lengths,
                                      .memory_lengths = inputs->memory_lengths });
        sq__scope_end(tape, scope, x, NULL);
    }
    if (decoder->config.pre_norm) x = sq__norm_run(&decoder->norm, tape, x);
    sq__scope_end(tape, scope, x, NULL);
    return x;
}
