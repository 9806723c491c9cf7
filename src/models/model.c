#include "models/model.h"

#include <math.h>
#include <string.h>

#include "attention/kind.h"
#include "models/backbone.h"
#include "models/catalogue.h"
#include "models/events.h"
#include "nn/set_transformer.h"

struct sq_model {
    sq_model_config config;            /* pooling: never "auto" */
    sq_parameters parameters;
    sq_carry_layout layout;
    sq_events events;
    sq_backbone *backbone;
    void *options;                     /* of the backbone's kind, while it is made */
    int class_token;                   /* parameter, or -1 */
    sq_pma pool;                       /* by attention */
    int mean_slot;                     /* of what streams: sum of the rows so far, when they are pooled by their mean; -1 */
    sq_linear head;
    bool per_event;                    /* the head reads every row, not what they are pooled to */
};

/* ---- creation ---- */

static sq_status find_kind(const char *name, const sq_backbone_kind **kind, sq_error *error)
{
    if (!name) return sq__fail(error, SQ_INVALID, "a model needs the name of a mechanism or of a kind");
    SQ_TRY(sq__name_check(NULL, name, NULL, error));
    *kind = sq_mechanism_find(name) >= 0 ? &sq__backbone_encoder : sq__backbone_kind(name);
    return SQ_OK;
}

/* The kind's own options as a config struct; an encoder's are its mechanism's and go there as text. */
static sq_status read_options(sq_model *model, const sq_backbone_kind *kind, const sq_model_spec *spec, sq_error *error)
{
    if (!kind->fields) return SQ_OK;
    model->options = sq__alloc_zero(kind->config_size);
    if (!model->options) return sq__no_memory(error);
    sq__fields_defaults(kind->fields, model->options);
    for (int i = 0; i < spec->option_count; i++)
        SQ_TRY(sq__fields_set(kind->fields, model->options, kind->name, spec->options[i].key, spec->options[i].value, error));
    return SQ_OK;
}

/* A row for every event, and none that saw what is asked of it. */
static sq_status check_rows(const sq_model *model, const char *name, const sq_schema *schema, sq_error *error)
{
    if (!model->per_event) return SQ_OK;
    if (model->backbone->can & SQ_MODEL_UNALIGNED)
        return sq__fail(error, SQ_UNSUPPORTED, "%s has no row per event, and the target asks of events", name);
    if (schema->next && !model->config.causal && !(model->backbone->can & SQ_MODEL_STREAMS))
        return sq__fail(error, SQ_UNSUPPORTED, "%s sees later events, and the next one is asked: set model.causal to true", name);
    return SQ_OK;
}

static sq_status check_pooling(sq_model *model, const sq_backbone_kind *kind, const char *name, sq_error *error)
{
    sq_model_config *c = &model->config;
    if (model->per_event && (c->pooling == SQ_BY_CLASS || c->pooling == SQ_BY_ATTENTION))
        return sq__fail(error, SQ_UNSUPPORTED, "the target asks of events: their rows are not pooled, and model.pooling must be auto");
    if (model->per_event) {
        c->pooling = SQ_BY_LAST;
        return SQ_OK;
    }
    if (kind->decode && c->pooling != SQ_BY_AUTO)
        return sq__fail(error, SQ_UNSUPPORTED, "%s says its answer by a decoder: rows are not pooled, and model.pooling must be auto", name);
    if (c->pooling == SQ_BY_AUTO) c->pooling = kind->can & SQ_MODEL_LAST ? SQ_BY_LAST : SQ_BY_MEAN;
    if (c->pooling == SQ_BY_CLASS && (c->causal || kind->can & SQ_MODEL_STREAMS))
        return sq__fail(error, SQ_UNSUPPORTED, "a causal model cannot pool by a class token, which stands first and would see nothing; pool by last or mean");
    if (kind->can & SQ_MODEL_UNALIGNED && c->pooling != SQ_BY_MEAN)
        return sq__fail(error, SQ_UNSUPPORTED, "%s has no row per event: it pools by mean", name);
    return SQ_OK;
}

static sq_status create_backbone(sq_model *model, const sq_backbone_kind *kind, const sq_model_spec *spec, sq_error *error)
{
    const sq_model_config *c = &model->config;
    const int class_token = c->pooling == SQ_BY_CLASS;
    const sq_backbone_spec of = { .model = c, .max_length = spec->schema->max_length + class_token, .classes = spec->schema->class_count,
                                  .target = spec->schema->target, .next = spec->schema->next,
                                  .mechanism = spec->name, .options = spec->options, .option_count = spec->option_count,
                                  .threads = spec->threads, .seed = spec->seed, .set = &model->parameters, .layout = &model->layout };
    if (class_token)
        SQ_TRY(sq__parameters_add(&model->parameters, &(sq_parameter_spec){ .prefix = "embedding", .name = "class", .rank = 1, .shape = { c->width },
                                  .initial = SQ_INITIAL_NORMAL, .scale = (float)(1 / sqrt((double)c->width)) }, &model->class_token, error));
    SQ_TRY(read_options(model, kind, spec, error));
    sq_status status = kind->create(&model->backbone, &of, model->options, error);
    if (model->backbone) {
        model->backbone->kind = kind;
        model->backbone->can = kind->can & ~model->backbone->cannot;
    }
    return status;
}

static sq_status create_pool(sq_model *model, const sq_model_spec *spec, sq_error *error)
{
    const sq_model_config *c = &model->config;
    const int64_t width = model->backbone->row_width;
    if (c->pooling == SQ_BY_MEAN && model->backbone->can & SQ_MODEL_STREAMS)
        return sq__carry_add(&model->layout, "pool", "sum", 1, &width, &model->mean_slot, error);
    if (c->pooling != SQ_BY_ATTENTION) return SQ_OK;
    return sq__pma_create(&model->pool, &model->parameters, "pool", 1,
                          &(sq_mab_config){ .key_width = width, .width = width, .heads = c->heads, .max_keys = spec->schema->max_length,
                                            .norm = true, .lengths = true, .activation = c->activation == 0 ? SQ_GELU : SQ_RELU,
                                            .threads = spec->threads }, error);
}

/* Small, so that training begins with nearly equal probabilities. Against Glorot's bound, over 8 seeds on 983 bank accounts: ROC-AUC
 * 0.918 for 0.898 (softmax) and 0.924 for 0.912 (gru), log-loss 0.19 for 0.27 and 0.17 for 0.20. */
static sq_status create_head(sq_model *model, int64_t outputs, sq_error *error)
{
    sq_parameter_spec weight = { .prefix = "head", .name = "weight", .rank = 2, .shape = { outputs, model->backbone->row_width },
                                 .initial = SQ_INITIAL_NORMAL, .scale = 0.02f, .decay = true };
    model->head = (sq_linear){ &model->parameters, -1, -1 };
    SQ_TRY(sq__parameters_add(&model->parameters, &weight, &model->head.weight, error));
    return sq__parameters_add(&model->parameters, &(sq_parameter_spec){ .prefix = "head", .name = "bias", .rank = 1, .shape = { outputs } },
                              &model->head.bias, error);
}

static sq_status create(sq_model *model, const sq_model_spec *spec, sq_error *error)
{
    const sq_model_config *c = &model->config;
    const sq_backbone_kind *kind = NULL;
    SQ_TRY(find_kind(spec->name, &kind, error));
    model->per_event = sq__schema_per_event(spec->schema);
    if (kind == &sq__backbone_encoder && sq__attention_kind(spec->name)->can & SQ_CAUSAL_ONLY) model->config.causal = true;
    SQ_TRY(check_pooling(model, kind, spec->name, error));
    if (spec->schema->target != SQ_TARGET_NUMBER && spec->schema->target != SQ_TARGET_EVENT_BITS && spec->schema->class_count < 2)
        return sq__fail(error, SQ_INVALID, "the data has %d classes; expected at least 2", spec->schema->class_count);
    SQ_TRY(sq__events_create(&model->events, &model->parameters, spec->schema, c->width,
                             kind->can & SQ_MODEL_POSITIONS ? (sq_positions)c->positions : SQ_POSITIONS_NONE, (float)c->embedding_dropout, error));
    SQ_TRY(create_backbone(model, kind, spec, error));
    SQ_TRY(check_rows(model, spec->name, spec->schema, error));
    SQ_TRY(create_pool(model, spec, error));
    return create_head(model, sq__schema_outputs(spec->schema), error);
}

sq_status sq__model_create(sq_model **model, const sq_model_config *config, const sq_model_spec *spec, sq_error *error)
{
    sq_model *made = sq__alloc_zero(sizeof *made);
    *model = NULL;
    if (!made) return sq__no_memory(error);
    made->config = *config;
    made->parameters.seed = spec->seed;
    made->class_token = made->mean_slot = -1;
    sq_status status = create(made, spec, error);
    sq__free(made->options);
    made->options = NULL;
    if (status != SQ_OK) sq__model_destroy(&made);
    *model = made;
    return status;
}

void sq__model_destroy(sq_model **model)
{
    if (!model || !*model) return;
    sq_model *m = *model;
    if (m->backbone) m->backbone->kind->destroy(m->backbone);
    sq__pma_clear(&m->pool);
    sq__events_clear(&m->events);
    sq__carry_layout_clear(&m->layout);
    sq__parameters_clear(&m->parameters);
    sq__free(m);
    *model = NULL;
}

/* ---- parameters ---- */

sq_parameter *sq__model_parameters(sq_model *model, int *count)
{
    *count = model->parameters.count;
    return model->parameters.items;
}

int64_t sq__model_parameter_count(const sq_model *model)
{
    int64_t total = 0;
    for (int i = 0; i < model->parameters.count; i++) total += model->parameters.items[i].trainable ? model->parameters.items[i].count : 0;
    return total;
}

void sq__model_zero_gradients(sq_model *model)
{
    for (int i = 0; i < model->parameters.count; i++) {
        sq_parameter *p = &model->parameters.items[i];
        if (p->trainable) memset(p->gradient, 0, (size_t)p->count * sizeof(float));
    }
}

sq_status sq__model_redraw(sq_model *model, uint64_t draw)
{
    return model->backbone->kind->redraw ? model->backbone->kind->redraw(model->backbone, draw, NULL) : SQ_OK;
}

/* ---- forward ---- */

/* One more than each length: the class token stands first. */
static const int32_t *lengths_with_token(sq_tape *tape, const sq_batch *batch)
{
    int32_t *lengths = sq__tape_memory(tape, (size_t)batch->B * sizeof *lengths);
    for (int64_t b = 0; lengths && b < batch->B; b++) lengths[b] = batch->lengths[b] + 1;
    return lengths;
}

/* The backbone's rows. */
static sq_var *run(const sq_model *model, sq_tape *tape, const sq_batch *batch, sq_backbone_call *call)
{
    call->x = sq__events_run(&model->events, tape, batch);
    call->lengths = batch->lengths;
    if (model->class_token >= 0) {
        call->x = sq__prepend(tape, sq__parameters_var(&model->parameters, model->class_token, tape), call->x);
        call->lengths = lengths_with_token(tape, batch);
    }
    return call->x && call->lengths ? model->backbone->kind->run(model->backbone, tape, call) : NULL;
}

static sq_var *pool(const sq_model *model, sq_tape *tape, sq_var *rows, const sq_backbone_call *call)
{
    static const sq_pooling by[] = { [SQ_BY_MEAN] = SQ_POOL_MEAN, [SQ_BY_LAST] = SQ_POOL_LAST, [SQ_BY_CLASS] = SQ_POOL_CLASS };
    if (!rows) return NULL;
    const int32_t *lengths = model->backbone->can & SQ_MODEL_UNALIGNED ? call->row_lengths : call->lengths;
    if (model->config.pooling != SQ_BY_ATTENTION) return sq__pool(tape, rows, lengths, by[model->config.pooling]);
    sq_var *pooled = sq__pma_run(&model->pool, tape, rows, lengths);
    return pooled ? sq__reshape(tape, pooled, 2, (const int64_t[]){ pooled->shape[0], pooled->shape[2] }) : NULL;
}

static sq_var *forward(sq_model *model, sq_tape *tape, const sq_batch *batch, sq_carry *carry, sq_var **auxiliary)
{
    sq_backbone_call call = { .carry = carry, .auxiliary = auxiliary, .scope = sq__scope_begin(tape) };
    if (auxiliary) *auxiliary = NULL;
    sq_var *rows = run(model, tape, batch, &call), *logits = NULL;
    call.asked = batch->event_labels;
    call.head = &model->head;
    if (model->backbone->kind->decode) logits = rows ? model->backbone->kind->decode(model->backbone, tape, &call, rows) : NULL;
    else logits = sq__linear_run(&model->head, tape, model->per_event ? rows : pool(model, tape, rows, &call));
    if (model->per_event && logits && !model->backbone->kind->decode) logits = sq__reshape(tape, logits, 2, (const int64_t[]){ batch->B * batch->T, logits->shape[2] });
    sq__scope_end(tape, call.scope, logits, auxiliary ? *auxiliary : NULL);
    return logits;
}

sq_var *sq__model_forward(sq_model *model, sq_tape *tape, const sq_batch *batch, sq_var **auxiliary)
{
    return forward(model, tape, batch, NULL, auxiliary);
}

/* ---- streams ---- */

bool sq__model_last(const sq_model *model) { return model->per_event || model->config.pooling == SQ_BY_LAST; }

static void see(sq_carry *carry, const sq_batch *batch)
{
    for (int64_t b = 0; b < batch->B; b++) carry->seen[b] += batch->lengths[b];
}

sq_var *sq__model_segment(sq_model *model, sq_tape *tape, const sq_batch *batch, sq_carry *carry, sq_var **auxiliary)
{
    sq_var *outputs = forward(model, tape, batch, carry, auxiliary);
    if (outputs) see(carry, batch);
    return outputs;
}

bool sq__model_streams(const sq_model *model)
{
    return model->backbone->can & SQ_MODEL_STREAMS && (model->config.pooling == SQ_BY_LAST || model->config.pooling == SQ_BY_MEAN);
}

const sq_carry_layout *sq__model_layout(const sq_model *model) { return &model->layout; }

/* Each row becomes the mean of all rows of its stream up to it. */
static sq_var *means_so_far(const sq_model *model, sq_tape *tape, sq_var *rows, const sq_batch *batch, sq_carry *carry)
{
    const int64_t T = rows->shape[1], E = rows->shape[2];
    float *means = sq__tape_memory(tape, (size_t)rows->count * sizeof *means);
    for (int64_t b = 0; means && b < batch->B; b++) {
        float *sum = carry->values[model->mean_slot] + b * E;
        memset(means + b * T * E, 0, (size_t)(T * E) * sizeof *means);
        for (int64_t t = 0; t < batch->lengths[b]; t++)
            for (int64_t e = 0; e < E; e++) {
                sum[e] += rows->value[(b * T + t) * E + e];
                means[(b * T + t) * E + e] = sum[e] / (float)(carry->seen[b] + t + 1);
            }
    }
    return means ? sq__tape_input(tape, 3, rows->shape, means, false) : NULL;
}

sq_var *sq__model_stream(sq_model *model, sq_tape *tape, const sq_batch *batch, sq_carry *carry)
{
    sq_backbone_call call = { .carry = carry, .scope = sq__scope_begin(tape) };
    sq_var *rows = run(model, tape, batch, &call);
    if (rows && model->config.pooling == SQ_BY_MEAN) rows = means_so_far(model, tape, rows, batch, carry);
    sq_var *logits = sq__linear_run(&model->head, tape, rows);
    sq__scope_end(tape, call.scope, logits, NULL);
    if (logits) see(carry, batch);
    return logits;
}
