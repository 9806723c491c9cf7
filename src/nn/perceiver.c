#include "nn/perceiver.h"

#include "autograd/inverted_attention.h"
#include "nn/gated_feed_forward.h"

/* ---- one step ---- */

typedef struct place { sq_parameters *set; const char *prefix; } place;

static sq_status create_norm(sq_norm *norm, const place *at, const char *name, int64_t width, sq_error *error)
{
    char full[96];
    snprintf(full, sizeof full, "%s.%s", at->prefix, name);
    return sq__norm_create(norm, at->set, full, width, 1e-5f, error);
}

/* attention holds sizes and whether it is cross; the rest is config's. */
static sq_status create_step(sq_perceiver_step *step, const place *at, const sq_perceiver_config *config, sq_attention_block_config attention,
                             const sq_perceiver_step *like, sq_error *error)
{
    char full[96];
    const int64_t width = attention.width, hidden = config->feed_forward ? config->feed_forward : 4 * width;
    attention.mechanism = "softmax";
    attention.bias = config->bias;
    attention.output_bias = true;
    attention.threads = config->threads;
    step->cross = attention.cross;
    step->dropout = config->dropout;
    step->gated = config->gated;
    SQ_TRY(create_norm(&step->norm, at, "norm", width, error));
    if (step->cross) SQ_TRY(create_norm(&step->input_norm, at, "input_norm", attention.key_width, error));
    snprintf(full, sizeof full, "%s.attention", at->prefix);
    SQ_TRY(sq__attention_block_create(&step->attention, at->set, full, &attention, like ? &like->attention : NULL, false, error));
    if (!step->feeds) return SQ_OK;
    SQ_TRY(create_norm(&step->feed_forward_norm, at, "feed_forward_norm", width, error));
    snprintf(full, sizeof full, "%s.feed_forward", at->prefix);
    return (step->gated ? sq__gated_feed_forward_create : sq__feed_forward_create)(&step->feed_forward, at->set, full, width, hidden, config->activation, error);
}

void sq__perceiver_step_clear(sq_perceiver_step *step)
{
    sq__attention_block_clear(&step->attention);
}

static sq_var *attend_inverted(const sq_perceiver_step *step, sq_tape *tape, sq_var *x, const sq_attention_block_inputs *in)
{
    const sq_attention_block *block = &step->attention;
    sq_var *q = sq__linear_run(&block->query, tape, x), *k = sq__linear_run(&block->key, tape, in->keys), *v = sq__linear_run(&block->value, tape, in->keys);
    sq_var *mixed = sq__inverted_attention(tape, q, k, v, block->config.heads, 0, in->lengths, in->key_keep);
    return sq__linear_run_residual(&block->output, tape, mixed, in->dropout, in->residual);
}

sq_var *sq__perceiver_step_run(const sq_perceiver_step *step, sq_tape *tape, sq_var *x, sq_var *inputs, const int32_t *lengths, const uint8_t *keep)
{
    sq_scope scope = sq__scope_begin(tape);
    sq_attention_block_inputs in = { .x = sq__norm_run(&step->norm, tape, x), .lengths = lengths, .key_keep = keep, .dropout = step->dropout,
                                     .residual = step->residual ? x : NULL };
    if (step->cross) in.keys = sq__norm_run(&step->input_norm, tape, inputs);
    x = step->inverted ? attend_inverted(step, tape, in.x, &in) : sq__attention_block_run(&step->attention, tape, &in);
    if (step->feeds)
        x = (step->gated ? sq__gated_feed_forward_run : sq__feed_forward_run)(&step->feed_forward, tape, sq__norm_run(&step->feed_forward_norm, tape, x),
                                                                             step->dropout, x);
    sq__scope_end(tape, scope, x, NULL);
    return x;
}

/* ---- the tower of latents ---- */

static sq_status create_block(sq_perceiver *p, const char *prefix, int64_t block, sq_error *error)
{
    const sq_perceiver_config *c = &p->config;
    const sq_attention_block_config cross = { .cross = true, .width = c->width, .key_width = c->input_width, .heads = c->cross_heads,
                                              .head_size = c->cross_head_size, .max_length = c->max_length > c->latents ? c->max_length : c->latents,
                                              .lengths = true, .mask = c->mask };
    const sq_attention_block_config self = { .width = c->width, .heads = c->heads, .head_size = c->head_size, .max_length = c->latents };
    for (int64_t j = -1; j < c->depth; j++, p->steps++) {
        sq_perceiver_step *step = &p->step[p->steps], *first = &p->step[j < 0 ? 0 : 1];
        char full[96];
        if (j < 0) snprintf(full, sizeof full, "%.60s.%d.cross", prefix, (int)block);
        else snprintf(full, sizeof full, "%.60s.%d.%d", prefix, (int)block, (int)j);
        *step = (sq_perceiver_step){ .residual = true, .feeds = true, .inverted = j < 0 && c->inverted };
        SQ_TRY(create_step(step, &(place){ p->set, full }, c, j < 0 ? cross : self, first < step ? first : NULL, error));
    }
    return SQ_OK;
}

sq_status sq__perceiver_create(sq_perceiver *perceiver, sq_parameters *set, const char *prefix, const sq_perceiver_config *config, sq_error *error)
{
    *perceiver = (sq_perceiver){ .config = *config, .set = set, .sets = config->shared && config->blocks > 2 ? 2 : config->blocks };
    if (config->blocks < 1 || config->depth < 0 || config->latents < 1)
        return sq__fail(error, SQ_INVALID, "perceiver: %lld blocks of depth %lld over %lld latents", (long long)config->blocks, (long long)config->depth,
                        (long long)config->latents);
    SQ_TRY(sq__parameters_add(set, &(sq_parameter_spec){ .prefix = prefix, .name = "latents", .rank = 2, .shape = { config->latents, config->width },
                                                         .initial = SQ_INITIAL_NORMAL, .scale = 0.02f }, &perceiver->latents, error));
    perceiver->step = sq__alloc_array((size_t)(perceiver->sets * (1 + config->depth)), sizeof *perceiver->step);
    if (!perceiver->step) return sq__no_memory(error);
    for (int64_t block = 0; block < perceiver->sets; block++) SQ_TRY(create_block(perceiver, prefix, block, error));
    return SQ_OK;
}

void sq__perceiver_clear(sq_perceiver *perceiver)
{
    for (int64_t i = 0; perceiver->step && i < perceiver->sets * (1 + perceiver->config.depth); i++) sq__perceiver_step_clear(&perceiver->step[i]);
    sq__free(perceiver->step);
    perceiver->step = NULL;
}

sq_var *sq__perceiver_run(const sq_perceiver *perceiver, sq_tape *tape, sq_var *inputs, const int32_t *lengths, const uint8_t *keep)
{
    const sq_perceiver_config *c = &perceiver->config;
    if (!inputs) return NULL;
    sq_scope scope = sq__scope_begin(tape);
    sq_var *x = sq__repeat_rows(perceiver->set, perceiver->latents, tape, inputs->shape[0]);
    for (int64_t block = 0; block < c->blocks; block++) {
        const sq_perceiver_step *step = &perceiver->step[(block < perceiver->sets ? block : perceiver->sets - 1) * (1 + c->depth)];
        for (int64_t j = 0; x && j <= c->depth; j++) {
            x = sq__perceiver_step_run(&step[j], tape, x, j ? NULL : inputs, j ? NULL : lengths, j ? NULL : keep);
            sq__scope_end(tape, scope, x, inputs);
        }
    }
    return x;
}

/* ---- the decoder ---- */

sq_status sq__perceiver_decoder_create(sq_perceiver_step *decoder, sq_parameters *set, const char *prefix, const sq_perceiver_config *config,
                                       int64_t query_width, int64_t max_queries, bool residual, bool feeds, sq_error *error)
{
    const sq_attention_block_config cross = { .cross = true, .width = query_width, .key_width = config->width, .heads = config->cross_heads,
                                              .head_size = config->cross_head_size,
                                              .max_length = max_queries > config->latents ? max_queries : config->latents };
    *decoder = (sq_perceiver_step){ .residual = residual, .feeds = feeds };
    return create_step(decoder, &(place){ set, prefix }, config, cross, NULL, error);
}
