/* A trained model over a stream of events: one client's state in, the row's events through the model, the state out. */
#include <math.h>
#include <string.h>

#include "data/event_stream.h"
#include "data/reading.h"
#include "task/client_states.h"
#include "task/run.h"
#include "train/answer.h"

struct sq_predictor {
    sq_opened_run run;
    sq_client_states states;
    sq_carry *carry;                   /* of the client at hand */
    float *values;                     /* [outputs] of the event at hand */
};

static sq_status open_parts(sq_predictor *p, const char *folder, int threads, sq_error *error)
{
    SQ_TRY(sq__run_open(&p->run, folder, threads, error));
    const sq_data_config *data = p->run.task->data;
    const sq_carry_layout *layout = sq__scorer_layout(p->run.scorer, error);
    if (!layout) return SQ_UNSUPPORTED;
    const size_t event_bytes = sq__event_layout(data->categorical_count, data->numeric_count, sq__target_words(&data->target)).bytes;
    SQ_TRY(sq__client_states_create(&p->states, layout, event_bytes, sq__scorer_fingerprint(p->run.scorer), error));
    p->values = sq__alloc_array((size_t)sq__schema_outputs(p->run.schema), sizeof *p->values);
    return p->values ? sq__carry_create(&p->carry, layout, 1, error) : sq__no_memory(error);
}

sq_status sq_predictor_open(sq_predictor **predictor, const char *run_folder, int threads, sq_error *error)
{
    sq_predictor *made = *predictor = sq__alloc_zero(sizeof *made);
    if (!made) return sq__no_memory(error);
    sq_status status = open_parts(made, run_folder, threads, error);
    if (status != SQ_OK) sq_predictor_destroy(predictor);
    return status;
}

void sq_predictor_destroy(sq_predictor **predictor)
{
    if (!predictor || !*predictor) return;
    sq_predictor *old = *predictor;
    sq__carry_destroy(&old->carry);
    sq__free(old->values);
    sq__client_states_clear(&old->states);
    sq__run_close(&old->run);
    sq__free(old);
    *predictor = NULL;
}

sq_target_kind sq_predictor_target(const sq_predictor *p) { return p->run.schema->target; }
int sq_predictor_class_count(const sq_predictor *p) { return sq__schema_outputs(p->run.schema); }

const char *sq_predictor_class_name(const sq_predictor *p, int index)
{
    return sq__answer_name(p->run.schema, index);
}

int64_t sq_predictor_clients(const sq_predictor *p) { return p->states.count; }
size_t sq_predictor_state_bytes(const sq_predictor *p) { return sq__carry_bytes(p->states.layout) + p->states.event_bytes; }
sq_status sq_predictor_load(sq_predictor *p, const char *path, sq_error *error) { return sq__client_states_load(&p->states, path, error); }
sq_status sq_predictor_save(const sq_predictor *p, const char *path, sq_error *error) { return sq__client_states_save(&p->states, path, error); }

/* ---- running ---- */

typedef struct running { sq_predictor *predictor; sq_event_stream *stream; sq_event_prediction_fn each; void *user; } running;

static sq_status give_out(const running *r, const char *id, int64_t event, const float *outputs, sq_error *error)
{
    const sq_schema *schema = r->predictor->run.schema;
    float *values = r->predictor->values;
    sq_error why;
    const sq_status answered = sq__answer(schema, outputs, values, &why);
    if (answered != SQ_OK) return sq__fail(error, answered, "client %.64s, event %lld: %s", id, (long long)event, why.message);
    const sq_status status = r->each(r->user, id, event, values, sq__schema_outputs(schema));
    return status == SQ_OK ? SQ_OK : sq__fail(error, status, "client %.64s, event %lld: %s", id, (long long)event, sq_status_name(status));
}

/* The client's state moves on only when the row has been given out. */
static sq_status follow_row(const running *r, const char *id, size_t size, char *event, sq_error *error)
{
    sq_predictor *p = r->predictor;
    const int64_t client = sq__client_states_find(&p->states, id, size);
    const float *outputs;
    if (client < 0) return sq__no_memory(error);
    char *kept = p->states.events + (size_t)client * p->states.event_bytes;
    memcpy(event, kept, p->states.event_bytes);
    sq__client_states_take(&p->states, client, p->carry);
    const int64_t seen = p->carry->seen[0];
    const sq_batch *batch;
    SQ_TRY(sq__event_stream_batch(r->stream, event, seen > 0, &batch, error));
    if (!batch) return SQ_OK;
    SQ_TRY(sq__scorer_stream(p->run.scorer, batch, p->carry, &outputs, error));
    const char *name = sq__intern_text(p->states.ids, (int32_t)client);
    for (int64_t t = 0; t < batch->T; t++) SQ_TRY(give_out(r, name, seen + t + 1, outputs + t * sq__schema_outputs(p->run.schema), error));
    memcpy(kept, event, p->states.event_bytes);
    sq__client_states_put(&p->states, client, p->carry);
    return SQ_OK;
}

static sq_status follow(const running *r, sq_stop_flag *stop, sq_error *error)
{
    char *event = sq__alloc(r->predictor->states.event_bytes);
    sq_status status = event ? SQ_OK : sq__no_memory(error);
    while (status == SQ_OK) {
        const char *id;
        size_t size;
        if (stop && *stop) status = sq__fail(error, SQ_INTERRUPTED, "interrupted");
        else status = sq__event_stream_next(r->stream, &id, &size, error);
        if (status != SQ_OK || !id) break;
        status = follow_row(r, id, size, event, error);
    }
    sq__free(event);
    return status;
}

/* Standard input has no name that would tell its form: that of the training table. */
static sq_status open_stream(const running *r, const char *table, sq_event_stream **stream, sq_stop_flag *stop, sq_error *error)
{
    sq_data_config *data = r->predictor->run.task->data;
    const int format = data->format;
    const sq_text_list *files = data->files.count ? &data->files : &data->split.train_files;
    if (!table && files->count) data->format = sq__table_format(data, files->items[0], false);
    const sq_status status = sq__event_stream_open(stream, data, r->predictor->run.schema, table ? table : "/dev/stdin", stop, error);
    data->format = format;
    return status;
}

sq_status sq_predictor_run(sq_predictor *predictor, const char *table, sq_event_prediction_fn each, void *user, sq_stop_flag *stop, int64_t *skipped,
                           sq_error *error)
{
    running r = { predictor, NULL, each, user };
    SQ_TRY(open_stream(&r, table, &r.stream, stop, error));
    sq_status status = follow(&r, stop, error);
    if (skipped) *skipped = predictor->run.task->data->on_broken_row == SQ_BROKEN_SKIP ? sq__event_stream_broken(r.stream) : 0;
    sq__event_stream_close(&r.stream);
    return status;
}
