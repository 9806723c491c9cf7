/* Time and memory of whole models over made-up events. */
#include <math.h>
#include <string.h>

#include "base/cpu.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/random.h"
#include "models/model.h"
#include "subquad/tools.h"

enum { WORDS = 64, CLASSES = 2 };

typedef struct workload {
    const sq_bench_model_case *bench;
    sq_category category;
    sq_schema schema;
    sq_model *model;
    sq_tape *tape;
    sq_carry *carry;
    int32_t *ids, *lengths, *labels;
    int32_t *now;                      /* [batch] STEP: the event at hand of each stream */
} workload;

static sq_status create(workload *w, sq_error *error)
{
    const sq_bench_model_case *b = w->bench;
    sq_model_config config;
    w->category = (sq_category){ .name = "code", .count = WORDS };
    w->schema = (sq_schema){ .category_count = 1, .class_count = CLASSES, .categories = &w->category, .max_length = b->n };
    sq__fields_defaults(sq__model_fields, &config);
    config.layers = b->layers;
    config.width = b->width;
    config.heads = b->heads;
    config.causal = b->causal;
    config.dropout = config.embedding_dropout = 0;
    const sq_model_spec spec = { &w->schema, b->model, b->options, b->option_count, b->seed, b->threads };
    SQ_TRY(sq__model_create(&w->model, &config, &spec, error));
    w->tape = sq__tape_create(b->pass == SQ_BENCH_MODEL_BACKWARD);
    w->ids = sq__alloc_array((size_t)(b->n * b->batch), sizeof *w->ids);
    w->lengths = sq__alloc_array((size_t)b->batch, sizeof *w->lengths);
    w->labels = sq__alloc_array((size_t)b->batch, sizeof *w->labels);
    w->now = sq__alloc_array((size_t)b->batch, sizeof *w->now);
    if (!w->tape || !w->ids || !w->lengths || !w->labels || !w->now) return sq__no_memory(error);
    sq_random random = sq__random_stream(b->seed, "bench model", 0);
    for (int64_t i = 0; i < b->n * b->batch; i++) w->ids[i] = (int32_t)sq__random_below(&random, (uint64_t)i, WORDS + 1);
    for (int64_t i = 0; i < b->batch; i++) w->labels[i] = (int32_t)(i % CLASSES);
    return SQ_OK;
}

static void clear(workload *w)
{
    sq__tape_destroy(w->tape);
    sq__carry_destroy(&w->carry);
    sq__model_destroy(&w->model);
    sq__free(w->ids);
    sq__free(w->lengths);
    sq__free(w->labels);
    sq__free(w->now);
}

static sq_status check(const workload *w, const sq_var *logits, sq_error *error)
{
    for (int64_t i = 0; i < logits->count; i++)
        if (!isfinite(logits->value[i])) return sq__fail(error, SQ_INTERNAL, "%s: a result is not finite", w->bench->model);
    return SQ_OK;
}

/* Whole sequences: one run. */
static sq_status run_whole(workload *w, double *seconds, sq_error *error)
{
    const sq_bench_model_case *b = w->bench;
    const sq_batch batch = { .B = b->batch, .T = b->n, .category_count = 1, .categories = &w->ids, .lengths = w->lengths, .labels = w->labels };
    for (int64_t i = 0; i < b->batch; i++) w->lengths[i] = (int32_t)b->n;
    sq__model_zero_gradients(w->model);
    const double begin = sq__clock();
    sq_var *auxiliary = NULL;
    sq__tape_reset(w->tape);
    sq__tape_mode(w->tape, b->pass == SQ_BENCH_MODEL_BACKWARD, b->seed, 1);
    sq_var *logits = sq__model_forward(w->model, w->tape, &batch, &auxiliary);
    SQ_TRY(sq__tape_status(w->tape, error));
    SQ_TRY(check(w, logits, error));
    if (b->pass == SQ_BENCH_MODEL_BACKWARD) {
        sq_var *loss = sq__cross_entropy(w->tape, logits, w->labels, &(sq_cross_entropy){ .ignore = -100 });
        if (auxiliary) loss = sq__add(w->tape, loss, auxiliary);
        SQ_TRY(sq__tape_status(w->tape, error));
        SQ_TRY(sq__tape_backward(w->tape, loss, NULL, error));
    }
    *seconds = sq__clock() - begin;
    return SQ_OK;
}

/* Streams: n events one by one; seconds of one event, over the last half. */
static sq_status run_steps(workload *w, double *seconds, sq_error *error)
{
    const sq_bench_model_case *b = w->bench;
    const int64_t half = b->n / 2;
    double begin = sq__clock();
    sq__carry_reset(w->carry, -1);
    for (int64_t t = 0; t < b->n; t++) {
        const sq_batch batch = { .B = b->batch, .T = 1, .category_count = 1, .categories = &w->now, .lengths = w->lengths, .labels = w->labels };
        if (t == half) begin = sq__clock();
        for (int64_t i = 0; i < b->batch; i++) w->now[i] = w->ids[i * b->n + t];
        sq__tape_reset(w->tape);
        sq__tape_mode(w->tape, false, b->seed, 1);
        const sq_var *logits = sq__model_stream(w->model, w->tape, &batch, w->carry);
        SQ_TRY(sq__tape_status(w->tape, error));
        SQ_TRY(check(w, logits, error));
    }
    *seconds = (sq__clock() - begin) / (double)(b->n - half);
    return SQ_OK;
}

static sq_status measure(workload *w, sq_bench_result *result, sq_error *error)
{
    const sq_bench_model_case *b = w->bench;
    const bool steps = b->pass == SQ_BENCH_MODEL_STEP;
    const double begin = sq__clock();
    const size_t before = sq_memory_current();
    const int least = b->runs > 0 ? b->runs : steps ? 1 : 3;
    sq_memory_reset_peak();
    result->ms = INFINITY;
    for (int i = 0; i < least || (b->runs == 0 && !steps && sq__clock() - begin < 1); i++) {
        double seconds;
        SQ_TRY(steps ? run_steps(w, &seconds, error) : run_whole(w, &seconds, error));
        result->ms = fmin(result->ms, 1e3 * seconds);
    }
    result->peak_bytes = steps ? (size_t)b->batch * sq__carry_bytes(sq__model_layout(w->model)) : sq_memory_peak() - before;
    return SQ_OK;
}

sq_status sq_bench_model(const sq_bench_model_case *bench, sq_bench_result *result, sq_error *error)
{
    sq_bench_model_case of = *bench;
    workload w = { .bench = &of };
    *result = (sq_bench_result){ .gflops = NAN, .roofline = NAN };
    if (of.threads == 0) of.threads = 1;
    if (of.n < 1 || of.batch < 1) return sq__fail(error, SQ_INVALID, "bench: %lld events in a batch of %lld; expected at least 1", (long long)of.n, (long long)of.batch);
    sq__set_threads(of.threads);
    sq_status status = create(&w, error);
    if (status == SQ_OK && of.pass == SQ_BENCH_MODEL_STEP) {
        for (int64_t i = 0; i < of.batch; i++) w.lengths[i] = 1;
        status = sq__model_streams(w.model) ? sq__carry_create(&w.carry, sq__model_layout(w.model), of.batch, error)
                                            : sq__fail(error, SQ_UNSUPPORTED, "%s has no state to go on from", of.model);
    }
    if (status == SQ_OK) status = measure(&w, result, error);
    clear(&w);
    return status;
}
