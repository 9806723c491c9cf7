#include <string.h>

#include "task/run.h"
#include "train/answer.h"
#include "train/predictions.h"

struct sq_classifier { sq_opened_run run; };

sq_status sq_classifier_open(sq_classifier **classifier, const char *run_folder, int threads, sq_error *error)
{
    sq_classifier *made = *classifier = sq__alloc_zero(sizeof *made);
    if (!made) return sq__no_memory(error);
    sq_status status = sq__run_open(&made->run, run_folder, threads, error);
    if (status != SQ_OK) sq_classifier_destroy(classifier);
    return status;
}

void sq_classifier_destroy(sq_classifier **classifier)
{
    if (!classifier || !*classifier) return;
    sq__run_close(&(*classifier)->run);
    sq__free(*classifier);
    *classifier = NULL;
}

sq_target_kind sq_classifier_target(const sq_classifier *classifier) { return classifier->run.schema->target; }

int sq_classifier_class_count(const sq_classifier *classifier) { return sq__schema_outputs(classifier->run.schema); }

const char *sq_classifier_class_name(const sq_classifier *classifier, int index) { return sq__answer_name(classifier->run.schema, index); }

/* ---- predicting ---- */

/* Outputs of a client, or of its events one after the other, kept until all are there: they are given out in the table's order. */
typedef struct kept { const sq_dataset *dataset; int64_t *first; float *outputs; } kept;

static void keep(void *user, int64_t place, int64_t example, const float *outputs, int64_t rows)
{
    const kept *k = user;
    const int64_t K = sq__schema_outputs(k->dataset->schema);
    (void)example;
    memcpy(k->outputs + k->first[place] * K, outputs, (size_t)(rows * K) * sizeof *outputs);
}

static sq_status give_out(const kept *k, float *values, sq_event_prediction_fn each, void *user, sq_error *error)
{
    const sq_dataset *d = k->dataset;
    const int K = sq__schema_outputs(d->schema);
    const bool events = sq__schema_per_event(d->schema);
    for (int64_t i = 0; i < d->split_size[SQ_SPLIT_TEST]; i++) {
        const int64_t example = d->split[SQ_SPLIT_TEST][i];
        for (int64_t row = k->first[i]; row < k->first[i + 1]; row++) {
            const int64_t event = events ? d->before[example] + row - k->first[i] + 1 : 0;
            sq_error why;
            sq_status status = sq__answer(d->schema, k->outputs + row * K, values, &why);
            if (status != SQ_OK) return sq__fail(error, status, "client %.64s: %s", d->id[example], why.message);
            status = each(user, d->id[example], event, values, K);
            if (status != SQ_OK) return sq__fail(error, status, "client %.64s: %s", d->id[example], sq_status_name(status));
        }
    }
    return SQ_OK;
}

static sq_status predict(sq_classifier *classifier, const sq_dataset *d, sq_event_prediction_fn each, void *user, sq_stop_flag *stop, sq_error *error)
{
    const size_t n = (size_t)d->split_size[SQ_SPLIT_TEST], K = (size_t)sq__schema_outputs(d->schema);
    const bool events = sq__schema_per_event(d->schema);
    kept k = { .dataset = d, .first = sq__alloc_array(n + 1, sizeof(int64_t)) };
    for (size_t i = 0; k.first && i < n; i++) k.first[i + 1] = k.first[i] + (events ? d->length[d->split[SQ_SPLIT_TEST][i]] : 1);
    k.outputs = k.first ? sq__alloc_array((size_t)k.first[n] * K, sizeof *k.outputs) : NULL;
    float *values = sq__alloc_array(K, sizeof *values);
    sq_status status = k.first && k.outputs && values ? SQ_OK : sq__no_memory(error);
    if (status == SQ_OK) status = sq__scorer_run(classifier->run.scorer, d, SQ_SPLIT_TEST, stop, &(sq_score_sink){ keep, &k }, NULL, error);
    if (status == SQ_OK) status = give_out(&k, values, each, user, error);
    sq__free(values);
    sq__free(k.outputs);
    sq__free(k.first);
    return status;
}

sq_status sq_classifier_predict_events(sq_classifier *classifier, const char *table, sq_event_prediction_fn each, void *user, sq_stop_flag *stop, sq_error *error)
{
    sq_dataset *dataset = NULL;
    const sq_dataset_options options = { .schema = classifier->run.schema, .files = &table, .file_count = 1, .stop = stop };
    sq_status status = sq__dataset_load(&dataset, classifier->run.task->data, &options, error);
    if (status != SQ_OK) return error && !strstr(error->message, table) ? sq__fail_at(error, status, table) : status;
    status = predict(classifier, dataset, each, user, stop, error);
    sq__dataset_destroy(&dataset);
    return status;
}

typedef struct clients { sq_prediction_fn each; void *user; } clients;

static sq_status pass_client(void *user, const char *id, int64_t event, const float *values, int count)
{
    const clients *to = user;
    (void)event;
    return to->each(to->user, id, values, count);
}

sq_status sq_classifier_predict(sq_classifier *classifier, const char *table, sq_prediction_fn each, void *user, sq_stop_flag *stop, sq_error *error)
{
    clients to = { each, user };
    if (sq__schema_per_event(classifier->run.schema))
        return sq__fail(error, SQ_UNSUPPORTED, "the model answers for events, not for clients: sq_classifier_predict_events");
    return sq_classifier_predict_events(classifier, table, pass_client, &to, stop, error);
}

/* ---- into a file ---- */

typedef struct rows { sq_output *output; const sq_schema *schema; int64_t count; const char *last; } rows;

static sq_status write_row(void *user, const char *id, int64_t event, const float *values, int count)
{
    rows *to = user;
    (void)count;
    sq__predictions_row(to->output, to->schema, id, event, values);
    to->count += event <= 1 || to->last != id;   /* windows and pieces of one client share its id */
    to->last = id;
    return SQ_OK;
}

sq_status sq_predict_file(const char *run_folder, const char *table, const char *output, int threads, sq_stop_flag *stop, int64_t *count, sq_error *error)
{
    sq_classifier *classifier;
    SQ_TRY(sq_classifier_open(&classifier, run_folder, threads, error));
    rows to = { .schema = classifier->run.schema };
    sq_status status = sq__predictions_open(&to.output, output, to.schema, error);
    if (status == SQ_OK) status = sq_classifier_predict_events(classifier, table, write_row, &to, stop, error);
    if (status == SQ_OK) status = sq__output_commit(&to.output, error);
    if (to.output) sq__output_discard(&to.output);
    sq_classifier_destroy(&classifier);
    if (status == SQ_OK && count) *count = to.count;
    return status;
}
