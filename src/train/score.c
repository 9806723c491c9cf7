#include "train/score.h"

#include "base/cpu.h"

/* Place of every example in the split's list, [dataset->examples]. */
static int64_t *split_places(const sq_dataset *dataset, sq_split split)
{
    int64_t *places = sq__alloc_array((size_t)dataset->examples, sizeof *places);
    for (int64_t i = 0; places && i < dataset->split_size[split]; i++) places[dataset->split[split][i]] = i;
    return places;
}

sq_status sq__split_labels(const sq_dataset *dataset, sq_split split, int32_t **labels, sq_error *error)
{
    int32_t *made = *labels = sq__alloc_array((size_t)dataset->split_size[split], sizeof *made);
    if (!made) return sq__no_memory(error);
    for (int64_t i = 0; i < dataset->split_size[split]; i++) made[i] = dataset->label[dataset->split[split][i]];
    return SQ_OK;
}

static void give_out(const sq_dataset *dataset, const sq_batch *batch, const int64_t *places, const float *outputs, const sq_score_sink *sink)
{
    const bool each = sq__schema_per_event(dataset->schema);
    const int64_t K = sq__schema_outputs(dataset->schema), stride = each ? batch->T * K : K;
    for (int64_t b = 0; b < batch->B; b++)
        sink->take(sink->user, places[batch->examples[b]], batch->examples[b], outputs + b * stride, each ? batch->lengths[b] : 1);
}

static sq_status score_all(sq_model *model, sq_tape *tape, const sq_score_input *input, sq_batcher *batcher, const int64_t *places,
                           const sq_score_sink *sink, double *seconds, sq_error *error)
{
    const int64_t total = sq__batcher_count(batcher);
    for (int64_t i = 0; i < total; i++) {
        const sq_batch *batch;
        if (input->stop && *input->stop) return sq__fail(error, SQ_INTERRUPTED, "interrupted");
        SQ_TRY(sq__batcher_get(batcher, 0, i, &batch, error));
        const double begin = sq__clock();
        sq__tape_reset(tape);
        sq__tape_mode(tape, false, 0, 0);
        const sq_var *outputs = sq__model_forward(model, tape, batch, NULL);
        SQ_TRY(sq__tape_status(tape, error));
        if (seconds) *seconds += sq__clock() - begin;
        if (sink) give_out(input->dataset, batch, places, outputs->value, sink);
    }
    return SQ_OK;
}

sq_status sq__score_model(sq_model *model, sq_tape *tape, const sq_score_input *input, const sq_score_sink *sink, double *seconds, sq_error *error)
{
    if (seconds) *seconds = 0;
    sq_batcher *batcher = NULL;
    int64_t *places = split_places(input->dataset, input->split);
    sq_status status = places ? SQ_OK : sq__no_memory(error);
    if (status == SQ_OK) status = sq__batcher_create(&batcher, input->dataset, input->split, input->batch, false, 0, error);
    if (status == SQ_OK) status = score_all(model, tape, input, batcher, places, sink, seconds, error);
    sq__batcher_destroy(&batcher);
    sq__free(places);
    return status;
}
