#include "nn/set_transformer.h"

#include <math.h>

/* ---- MAB ---- */

typedef struct place { sq_parameters *set; const char *prefix; } place;

static sq_status create_linear(sq_linear *layer, const place *at, const char *name, int64_t in, int64_t out, sq_error *error)
{
    char full[96];
    snprintf(full, sizeof full, "%s.%s", at->prefix, name);
    return sq__linear_create(layer, at->set, full, in, out, true, error);
}

static sq_status create_norm(sq_norm *norm, const place *at, const char *name, int64_t width, sq_error *error)
{
    char full[96];
    snprintf(full, sizeof full, "%s.%s", at->prefix, name);
    return sq__norm_create(norm, at->set, full, width, 1e-5f, error);
}

static sq_status create_plans(sq_mab *mab, sq_error *error)
{
    const sq_mab_config *c = &mab->config;
    const sq_attention_desc desc = { .mechanism = "softmax", .B = 1, .H = c->heads, .T = c->max_queries, .N = c->max_keys, .D = c->width / c->heads,
                                     .M = c->width / c->heads, .lengths = c->lengths, .scale = c->scale, .threads = c->threads };
    sq_plans *plans = sq__alloc_zero(sizeof *plans);
    if (!plans) return sq__no_memory(error);
    const sq_status status = sq__plans_create(plans, &desc, error);
    if (status == SQ_OK) mab->plans = plans;
    else sq__free(plans);
    return status;
}

sq_status sq__mab_create(sq_mab *mab, sq_parameters *set, const char *prefix, const sq_mab_config *config, sq_error *error)
{
    const place at = { set, prefix };
    *mab = (sq_mab){ .config = *config };
    if (config->heads < 1 || config->width < 1 || config->width % config->heads)
        return sq__fail(error, SQ_INVALID, "%s: width is %lld; expected a multiple of the %lld heads", prefix, (long long)config->width,
                        (long long)config->heads);
    SQ_TRY(create_plans(mab, error));
    SQ_TRY(create_linear(&mab->query, &at, "query", config->query_width, config->width, error));
    SQ_TRY(create_linear(&mab->key, &at, "key", config->key_width, config->width, error));
    SQ_TRY(create_linear(&mab->value, &at, "value", config->key_width, config->width, error));
    SQ_TRY(create_linear(&mab->output, &at, "output", config->width, config->width, error));
    if (!config->norm) return SQ_OK;
    SQ_TRY(create_norm(&mab->attention_norm, &at, "attention_norm", config->width, error));
    return create_norm(&mab->output_norm, &at, "output_norm", config->width, error);
}

void sq__mab_clear(sq_mab *mab)
{
    if (mab->plans) sq__plans_clear(mab->plans);
    sq__free(mab->plans);
    *mab = (sq_mab){ .plans = NULL };
}

sq_var *sq__mab_run(const sq_mab *mab, sq_tape *tape, sq_var *x, sq_var *y, const int32_t *lengths, const int32_t *query_lengths)
{
    const sq_attention *plan = NULL;
    sq_error error;
    sq_scope scope = sq__scope_begin(tape);
    sq_attention_inputs in = { .q = sq__linear_run(&mab->query, tape, x), .k = sq__linear_run(&mab->key, tape, y),
                               .v = sq__linear_run(&mab->value, tape, y), .lengths = lengths, .query_lengths = query_lengths };
    if (sq__tape_status(tape, NULL) != SQ_OK) return NULL;
    if (sq__plans_get(mab->plans, x->shape[0], x->shape[1], y->shape[1], &plan, &error) != SQ_OK) {
        sq__tape_fail(tape, &error);
        return NULL;
    }
    sq_var *h = sq__add(tape, in.q, sq__attention(tape, plan, &in));
    if (mab->config.norm) h = sq__norm_run(&mab->attention_norm, tape, h);
    h = sq__add(tape, h, sq__activate(tape, sq__linear_run(&mab->output, tape, h), mab->config.activation));
    if (mab->config.norm) h = sq__norm_run(&mab->output_norm, tape, h);
    sq__scope_end(tape, scope, h, NULL);
    return h;
}

/* ---- learned rows ---- */

static sq_status create_rows(int *index, sq_parameters *set, const char *prefix, const char *name, int64_t rows, int64_t width, sq_error *error)
{
    return sq__parameters_add(set, &(sq_parameter_spec){ .prefix = prefix, .name = name, .rank = 3, .shape = { 1, rows, width },
                                                         .initial = SQ_INITIAL_UNIFORM, .scale = sq__glorot(rows, width) }, index, error);
}

/* ---- ISAB ---- */

sq_status sq__isab_create(sq_isab *isab, sq_parameters *set, const char *prefix, int64_t points, const sq_mab_config *config, sq_error *error)
{
    char full[96];
    sq_mab_config first = *config, second = *config;
    *isab = (sq_isab){ .set = set };
    first.key_width = config->query_width, first.query_width = config->width;
    first.max_keys = config->max_queries, first.max_queries = points;
    second.key_width = config->width, second.max_keys = points, second.lengths = false;
    SQ_TRY(create_rows(&isab->points, set, prefix, "points", points, config->width, error));
    snprintf(full, sizeof full, "%s.first", prefix);
    SQ_TRY(sq__mab_create(&isab->first, set, full, &first, error));
    snprintf(full, sizeof full, "%s.second", prefix);
    return sq__mab_create(&isab->second, set, full, &second, error);
}

void sq__isab_clear(sq_isab *isab)
{
    sq__mab_clear(&isab->first);
    sq__mab_clear(&isab->second);
}

sq_var *sq__isab_run(const sq_isab *isab, sq_tape *tape, sq_var *x, const int32_t *lengths)
{
    if (!x) return NULL;
    sq_scope scope = sq__scope_begin(tape);
    sq_var *points = sq__repeat_rows(isab->set, isab->points, tape, x->shape[0]);
    sq_var *seen = points ? sq__mab_run(&isab->first, tape, points, x, lengths, NULL) : NULL;
    sq_var *out = seen ? sq__mab_run(&isab->second, tape, x, seen, NULL, lengths) : NULL;
    sq__scope_end(tape, scope, out, NULL);
    return out;
}

/* ---- PMA ---- */

sq_status sq__pma_create(sq_pma *pma, sq_parameters *set, const char *prefix, int64_t seeds, const sq_mab_config *config, sq_error *error)
{
    char full[96];
    sq_mab_config block = *config;
    *pma = (sq_pma){ .set = set };
    block.query_width = config->width, block.max_queries = seeds;
    SQ_TRY(create_rows(&pma->seeds, set, prefix, "seeds", seeds, config->width, error));
    snprintf(full, sizeof full, "%s.block", prefix);
    return sq__mab_create(&pma->block, set, full, &block, error);
}

void sq__pma_clear(sq_pma *pma)
{
    sq__mab_clear(&pma->block);
}

sq_var *sq__pma_run(const sq_pma *pma, sq_tape *tape, sq_var *x, const int32_t *lengths)
{
    if (!x) return NULL;
    sq_scope scope = sq__scope_begin(tape);
    sq_var *seeds = sq__repeat_rows(pma->set, pma->seeds, tape, x->shape[0]);
    sq_var *out = seeds ? sq__mab_run(&pma->block, tape, seeds, x, lengths, NULL) : NULL;
    sq__scope_end(tape, scope, out, NULL);
    return out;
}
