#include "train/scorer.h"

#include <string.h>

#include "base/cpu.h"
#include "base/parallel.h"
#include "base/random.h"
#include "train/description.h"
#include "train/logistic.h"
#include "train/score.h"
#include "train/weights.h"

struct sq_scorer {
    sq_model_description description;
    int threads;
    sq_model *model;                   /* NULL: logistic */
    sq_tape *tape;
    sq_logistic logistic;
};

static sq_status load_model(sq_scorer *scorer, const sq_safetensors *file, const char *path, const sq_schema *schema, sq_error *error)
{
    const sq_model_description *is = &scorer->description;
    const sq_model_spec spec = { schema, is->mechanism, is->options, is->option_count, is->seed, scorer->threads };
    int count;
    SQ_TRY(sq__model_create(&scorer->model, &is->model, &spec, error));
    sq_parameter *parameters = sq__model_parameters(scorer->model, &count);
    SQ_TRY(sq__weights_read_all(file, path, parameters, count, error));
    scorer->tape = sq__tape_create(false);
    return scorer->tape ? SQ_OK : sq__no_memory(error);
}

static sq_status load(sq_scorer *scorer, const sq_safetensors *file, const char *path, const sq_schema *schema, sq_error *error)
{
    SQ_TRY(sq__model_metadata_read(file, path, schema, &scorer->description, error));
    sq__set_threads(scorer->threads);
    if (strcmp(scorer->description.mechanism, sq__mechanism_logistic) == 0) return sq__logistic_read(&scorer->logistic, file, path, schema, error);
    return load_model(scorer, file, path, schema, error);
}

sq_status sq__scorer_open(sq_scorer **scorer, const char *model_path, const sq_schema *schema, int threads, sq_error *error)
{
    sq_scorer *made = *scorer = sq__alloc_zero(sizeof *made);
    if (!made) return sq__no_memory(error);
    made->threads = threads > 0 ? threads : sq__threads_available();
    sq_safetensors *file = NULL;
    sq_status status = sq__safetensors_open(&file, model_path, error);
    if (status == SQ_OK) status = load(made, file, model_path, schema, error);
    sq__safetensors_close(&file);
    if (status != SQ_OK) sq__scorer_destroy(scorer);
    return status;
}

const char *sq__scorer_mechanism(const sq_scorer *scorer) { return scorer->description.mechanism; }

int64_t sq__scorer_layers(const sq_scorer *scorer)
{
    return sq_mechanism_find(scorer->description.mechanism) >= 0 ? scorer->description.model.layers : 0;
}

void sq__scorer_observe(sq_scorer *scorer, sq_attention_observer observer, void *context)
{
    if (scorer->tape) sq__tape_observe(scorer->tape, observer, context);
}

void sq__scorer_destroy(sq_scorer **scorer)
{
    sq_scorer *old = *scorer;
    if (!old) return;
    sq__tape_destroy(old->tape);
    sq__model_destroy(&old->model);
    sq__logistic_clear(&old->logistic);
    sq__model_description_clear(&old->description);
    sq__free(old);
    *scorer = NULL;
}

static sq_status run_logistic(sq_scorer *scorer, const sq_dataset *dataset, sq_split split, sq_stop_flag *stop, const sq_score_sink *sink, double *seconds,
                              sq_error *error)
{
    const int64_t n = dataset->split_size[split], K = scorer->logistic.C;
    float *outputs = sq__alloc_array((size_t)n * (size_t)K, sizeof *outputs);
    if (!outputs) return sq__no_memory(error);
    const double begin = sq__clock();
    const sq_status status = sq__logistic_score(&scorer->logistic, dataset, split, scorer->threads, stop, outputs, error);
    if (seconds) *seconds = sq__clock() - begin;
    for (int64_t i = 0; status == SQ_OK && sink && i < n; i++) sink->take(sink->user, i, dataset->split[split][i], outputs + i * K, 1);
    sq__free(outputs);
    return status;
}

sq_status sq__scorer_run(sq_scorer *scorer, const sq_dataset *dataset, sq_split split, sq_stop_flag *stop, const sq_score_sink *sink, double *seconds,
                         sq_error *error)
{
    sq__set_threads(scorer->threads);
    if (!scorer->model) return run_logistic(scorer, dataset, split, stop, sink, seconds, error);
    const sq_score_input input = { dataset, split, scorer->description.batch, stop };
    return sq__score_model(scorer->model, scorer->tape, &input, sink, seconds, error);
}

/* ---- streams ---- */

const sq_carry_layout *sq__scorer_layout(const sq_scorer *scorer, sq_error *error)
{
    const char *name = scorer->description.mechanism;
    if (scorer->model && sq__model_streams(scorer->model)) return sq__model_layout(scorer->model);
    if (scorer->model && sq__model_layout(scorer->model)->count > 0)
        sq__fail(error, SQ_UNSUPPORTED, "%s predicts event by event only where model.pooling is last or mean", name);
    else if (sq_mechanism_find(name) >= 0)
        sq__fail(error, SQ_UNSUPPORTED, "%s cannot predict event by event: an encoder sees whole sequences; models that can: 'subquad list'", name);
    else
        sq__fail(error, SQ_UNSUPPORTED, "%s cannot predict event by event from a state of fixed size; models that can: 'subquad list'", name);
    return NULL;
}

uint64_t sq__scorer_fingerprint(const sq_scorer *scorer)
{
    int count = 0;
    uint64_t hash = 0;
    const sq_parameter *parameters = scorer->model ? sq__model_parameters(scorer->model, &count) : NULL;
    for (int i = 0; i < count; i++) hash = sq__hash_bytes(parameters[i].value, (size_t)parameters[i].count * sizeof(float), hash);
    return hash;
}

sq_status sq__scorer_stream(sq_scorer *scorer, const sq_batch *batch, sq_carry *carry, const float **outputs, sq_error *error)
{
    sq__set_threads(scorer->threads);
    sq__tape_reset(scorer->tape);
    sq__tape_mode(scorer->tape, false, 0, 0);
    const sq_var *out = sq__model_stream(scorer->model, scorer->tape, batch, carry);
    SQ_TRY(sq__tape_status(scorer->tape, error));
    *outputs = out->value;
    return SQ_OK;
}
