#include "train/logistic.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/parallel.h"
#include "train/aggregate.h"

enum { PARTS = 64 };   /* of the clients, shared out over threads */

sq_status sq__logistic_create(sq_logistic *logistic, const sq_schema *schema, sq_error *error)
{
    *logistic = (sq_logistic){ .F = sq__aggregate_features(schema), .C = sq__schema_outputs(schema) };
    const size_t F = (size_t)logistic->F, C = (size_t)logistic->C;
    logistic->mean = sq__alloc_array(F, sizeof(float));
    logistic->deviation = sq__alloc_array(F, sizeof(float));
    logistic->weight = sq__alloc_array(F * C, sizeof(float));
    logistic->bias = sq__alloc_array(C, sizeof(float));
    if (logistic->mean && logistic->deviation && logistic->weight && logistic->bias) return SQ_OK;
    sq__logistic_clear(logistic);
    return sq__no_memory(error);
}

void sq__logistic_clear(sq_logistic *logistic)
{
    sq__free(logistic->mean);
    sq__free(logistic->deviation);
    sq__free(logistic->weight);
    sq__free(logistic->bias);
    *logistic = (sq_logistic){ 0 };
}

/* ---- files ---- */

enum { TENSORS = 4 };

static void list_tensors(const sq_logistic *logistic, sq_st_tensor *tensors)
{
    const int64_t F = logistic->F, C = logistic->C;
    const sq_st_tensor list[TENSORS] = {
        { "mean", SQ_ST_F32, 1, { F }, F, logistic->mean },
        { "deviation", SQ_ST_F32, 1, { F }, F, logistic->deviation },
        { "weight", SQ_ST_F32, 2, { C, F }, C * F, logistic->weight },
        { "bias", SQ_ST_F32, 1, { C }, C, logistic->bias },
    };
    memcpy(tensors, list, sizeof list);
}

sq_status sq__logistic_write(const sq_logistic *logistic, const char *path, const char *const *keys, const char *const *values, int count, sq_error *error)
{
    sq_st_tensor tensors[TENSORS];
    list_tensors(logistic, tensors);
    return sq__safetensors_write(path, tensors, TENSORS, keys, values, count, error);
}

sq_status sq__logistic_read(sq_logistic *logistic, const sq_safetensors *file, const char *path, const sq_schema *schema, sq_error *error)
{
    sq_st_tensor expected[TENSORS];
    SQ_TRY(sq__logistic_create(logistic, schema, error));
    list_tensors(logistic, expected);
    for (int i = 0; i < TENSORS; i++) {
        const sq_st_tensor *tensor = sq__safetensors_find(file, expected[i].name);
        if (!tensor || tensor->rank != expected[i].rank || memcmp(tensor->shape, expected[i].shape, (size_t)tensor->rank * sizeof(int64_t)) != 0)
            return sq__fail(error, SQ_FORMAT, "%s: has no tensor '%s' of the schema's size", path, expected[i].name);
        float *values = (float *)expected[i].data;
        SQ_TRY(sq__safetensors_floats(tensor, values, error));
        for (int64_t k = 0; k < tensor->count; k++)
            if (!isfinite(values[k]) || (i == 1 && values[k] <= 0))
                return sq__fail(error, SQ_FORMAT, "%s: tensor '%s' holds a value that is not finite or out of range", path, expected[i].name);
    }
    return SQ_OK;
}

/* ---- scoring ---- */

typedef struct scoring {
    const sq_logistic *logistic;
    const sq_dataset *dataset;
    const int64_t *examples;           /* [count] */
    int64_t count;
    double *offset;                    /* [C] bias - sum of weight mean / deviation */
    float *logits;
    sq_stop_flag *stop;
    bool failed[PARTS];
} scoring;

static void score_row(const scoring *s, const int32_t *index, const float *value, int64_t entries, double *sums, float *logits)
{
    const sq_logistic *l = s->logistic;
    memcpy(sums, s->offset, (size_t)l->C * sizeof *sums);
    for (int64_t e = 0; e < entries; e++) {
        const double z = (double)value[e] / l->deviation[index[e]];
        for (int c = 0; c < l->C; c++) sums[c] += z * l->weight[c * l->F + index[e]];
    }
    for (int c = 0; c < l->C; c++) logits[c] = (float)sums[c];
}

static void score_part(void *context, int64_t part, int thread)
{
    (void)thread;
    scoring *s = context;
    const sq_schema *schema = s->dataset->schema;
    const int64_t first = s->count * part / PARTS, end = s->count * (part + 1) / PARTS;
    int64_t longest = 1;
    for (int64_t i = first; i < end; i++)
        if (s->dataset->length[s->examples[i]] > longest) longest = s->dataset->length[s->examples[i]];
    const size_t most = (size_t)sq__aggregate_most(schema, longest);
    sq_aggregator *aggregator = sq__aggregator_create(schema);
    int32_t *index = sq__alloc_array(most, sizeof *index);
    float *value = sq__alloc_array(most, sizeof *value);
    double *sums = sq__alloc_array((size_t)s->logistic->C, sizeof *sums);
    s->failed[part] = !aggregator || !index || !value || !sums;
    for (int64_t i = first; i < end && !s->failed[part] && !(s->stop && *s->stop); i++) {
        const int64_t entries = sq__aggregate(aggregator, s->dataset, s->examples[i], index, value);
        score_row(s, index, value, entries, sums, s->logits + i * s->logistic->C);
    }
    sq__free(sums);
    sq__free(value);
    sq__free(index);
    sq__aggregator_destroy(aggregator);
}

sq_status sq__logistic_score(const sq_logistic *l, const sq_dataset *dataset, sq_split split, int threads, sq_stop_flag *stop, float *logits,
                             sq_error *error)
{
    scoring s = { .logistic = l, .dataset = dataset, .examples = dataset->split[split], .count = dataset->split_size[split], .logits = logits, .stop = stop };
    s.offset = sq__alloc_array((size_t)l->C, sizeof *s.offset);
    if (!s.offset) return sq__no_memory(error);
    for (int c = 0; c < l->C; c++) {
        s.offset[c] = l->bias[c];
        for (int64_t f = 0; f < l->F; f++) s.offset[c] -= (double)l->weight[c * l->F + f] * l->mean[f] / l->deviation[f];
    }
    sq__parallel(threads, PARTS, score_part, &s);
    sq__free(s.offset);
    for (int part = 0; part < PARTS; part++)
        if (s.failed[part]) return sq__no_memory(error);
    return stop && *stop ? sq__fail(error, SQ_INTERRUPTED, "interrupted") : SQ_OK;
}
