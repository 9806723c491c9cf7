#include "nn/layers.h"

#include <math.h>

sq_status sq__linear_create(sq_linear *layer, sq_parameters *set, const char *prefix, int64_t in, int64_t out, bool bias, sq_error *error)
{
    *layer = (sq_linear){ set, -1, -1 };
    SQ_TRY(sq__parameters_add(set,
                              &(sq_parameter_spec){ .prefix = prefix,
                                                    .name = "weight",
                                                    .rank = 2,
                                                    .shape = { out, in },
                                                    .initial = SQ_INITIAL_UNIFORM,
                                                    .scale = sq__glorot(in, out),
                                                    .decay = true },
                              &layer->weight, error));
    if (!bias) return SQ_OK;
    return sq__parameters_add(set, &(sq_parameter_spec){ .prefix = prefix, .name = "bias", .rank = 1, .shape = { out } }, &layer->bias, error);
}

sq_var *sq__linear_run_residual(const sq_linear *layer, sq_tape *tape, sq_var *x, float dropout, sq_var *residual)
{
    return sq__linear_residual(tape, x, sq__parameters_var(layer->set, layer->weight, tape),
                               sq__parameters_var(layer->set, layer->bias, tape), dropout, residual);
}

sq_var *sq__linear_run(const sq_linear *layer, sq_tape *tape, sq_var *x) { return sq__linear_run_residual(layer, tape, x, 0, NULL); }

sq_status sq__rms_create(sq_norm *layer, sq_parameters *set, const char *prefix, int64_t width, float eps, sq_error *error)
{
    *layer = (sq_norm){ set, -1, -1, eps };
    return sq__parameters_add(
        set, &(sq_parameter_spec){ .prefix = prefix, .name = "weight", .rank = 1, .shape = { width }, .initial = SQ_INITIAL_ONE },
        &layer->weight, error);
}

sq_status sq__norm_create(sq_norm *layer, sq_parameters *set, const char *prefix, int64_t width, float eps, sq_error *error)
{
    SQ_TRY(sq__rms_create(layer, set, prefix, width, eps, error));
    return sq__parameters_add(set, &(sq_parameter_spec){ .prefix = prefix, .name = "bias", .rank = 1, .shape = { width } }, &layer->bias, error);
}

sq_var *sq__norm_run(const sq_norm *layer, sq_tape *tape, sq_var *x)
{
    if (layer->bias < 0) return sq__rms_norm(tape, x, sq__parameters_var(layer->set, layer->weight, tape), layer->eps);
    return sq__layer_norm(tape, x, sq__parameters_var(layer->set, layer->weight, tape), sq__parameters_var(layer->set, layer->bias, tape),
                          layer->eps);
}

sq_status sq__embedding_create(sq_embedding *layer, sq_parameters *set, const char *prefix, int64_t words, int64_t width, sq_error *error)
{
    layer->set = set;
    return sq__parameters_add(set,
                              &(sq_parameter_spec){ .prefix = prefix,
                                                    .name = "weight",
                                                    .rank = 2,
                                                    .shape = { words, width },
                                                    .initial = SQ_INITIAL_NORMAL,
                                                    .scale = (float)(1 / sqrt((double)width)) },
                              &layer->weight, error);
}

sq_var *sq__repeat_rows(const sq_parameters *set, int index, sq_tape *tape, int64_t B)
{
    sq_var *all = sq__parameters_var(set, index, tape);
    if (!all) return NULL;
    const int64_t width = all->shape[all->rank - 1], rows = all->count / width;
    int32_t *ids = sq__tape_memory(tape, (size_t)(B * rows) * sizeof *ids);
    if (!ids) return NULL;
    for (int64_t i = 0; i < B * rows; i++) ids[i] = (int32_t)(i % rows);
    sq_var *table = sq__reshape(tape, all, 2, (const int64_t[]){ rows, width });
    return sq__embedding(tape, table, ids, 2, (const int64_t[]){ B, rows });
}

/* sin(t / 10000^(2i/E)) in column 2i, cos in column 2i+1 */
static void fill_waves(float *table, int64_t length, int64_t width)
{
    for (int64_t t = 0; t < length; t++)
        for (int64_t i = 0; i < width; i++) {
            double angle = (double)t * pow(10000, -(double)(i - i % 2) / (double)width);
            table[t * width + i] = (float)(i % 2 ? cos(angle) : sin(angle));
        }
}

sq_status sq__positions_create(sq_embedding *layer, sq_parameters *set, const char *prefix, bool learned, int64_t length, int64_t width,
                               sq_error *error)
{
    if (learned) return sq__embedding_create(layer, set, prefix, length, width, error);
    layer->set = set;
    SQ_TRY(sq__parameters_add(set, &(sq_parameter_spec){ .prefix = prefix, .name = "weight", .rank = 2, .shape = { length, width }, .frozen = true },
                              &layer->weight, error));
    fill_waves(set->items[layer->weight].value, length, width);
    return SQ_OK;
}
