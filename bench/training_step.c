/* One training step (forward, backward, AdamW) of an encoder classifier on random events: milliseconds (by the clock, and of the
 * processor), GFLOP/s, peak bytes.
 * bench/training_step_torch.py times the same model in PyTorch. Usage: training-step [key=value ...], keys as in `options` below;
 * attention=NAME is a mechanism, or gru for the recurrent classifier. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cpu.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/random.h"
#include "models/model.h"
#include "train/optimizer.h"

enum { WORDS = 100, CLASSES = 2 };

typedef struct options { int64_t n, batch, layers, width, heads, feed_forward, steps, threads; double dropout; char mechanism[64]; } options;

static options parse(int argc, char **argv)
{
    options o = { 1024, 8, 2, 128, 4, 512, 5, 1, 0, "softmax" };
    const struct {
        const char *name;
        int64_t *value;
    } numbers[] = { { "n", &o.n },         { "batch", &o.batch },    { "layers", &o.layers },
                    { "width", &o.width }, { "heads", &o.heads },    { "feed_forward", &o.feed_forward },
                    { "steps", &o.steps }, { "threads", &o.threads } };
    for (int i = 1; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (!value) continue;
        *value++ = 0;
        for (size_t k = 0; k < sizeof numbers / sizeof numbers[0]; k++)
            if (strcmp(argv[i], numbers[k].name) == 0) *numbers[k].value = atoll(value);
        if (strcmp(argv[i], "dropout") == 0) o.dropout = atof(value);
        if (strcmp(argv[i], "attention") == 0) snprintf(o.mechanism, sizeof o.mechanism, "%s", value);
    }
    return o;
}

static bool is_gru(const options *o) { return strcmp(o->mechanism, "gru") == 0; }

/* Products of the layers (forward, and twice that backward) and the plan's own count. */
static double count_flops(const options *o, sq_error *error)
{
    if (is_gru(o)) return 6.0 * (double)(o->layers * o->n * o->batch) * 6.0 * (double)(o->width * o->width);
    sq_attention *plan;
    const double rows = (double)(o->n * o->batch), weights = 4.0 * (double)(o->width * o->width) + 2.0 * (double)(o->width * o->feed_forward);
    if (sq_attention_create(&plan,
                            &(sq_attention_desc){ .mechanism = o->mechanism,
                                                  .B = o->batch,
                                                  .H = o->heads,
                                                  .T = o->n,
                                                  .N = o->n,
                                                  .D = o->width / o->heads,
                                                  .M = o->width / o->heads },
                            error) != SQ_OK)
        return NAN;
    double flops = (double)o->layers * (6 * rows * weights + sq_attention_flops(plan, SQ_FORWARD) + sq_attention_flops(plan, SQ_BACKWARD));
    sq_attention_destroy(&plan);
    return flops;
}

/* Seconds of processor time: steadier than the clock where others use the machine. */
static double processor_time(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

typedef struct moments { float *m, *v; } moments;

static sq_status step(sq_model *model, sq_tape *tape, const sq_batch *batch, moments *states, int64_t t, double *loss, sq_error *error)
{
    int count;
    sq_parameter *parameters = sq__model_parameters(model, &count);
    sq__model_zero_gradients(model);
    sq__tape_reset(tape);
    sq__tape_mode(tape, true, 1, (uint64_t)t);
    sq_var *logits = sq__model_forward(model, tape, batch, NULL);
    sq_var *entropy = sq__cross_entropy(tape, logits, batch->labels, &(sq_cross_entropy){ .ignore = -100 });
    SQ_TRY(sq__tape_status(tape, error));
    *loss = entropy->value[0];
    SQ_TRY(sq__tape_backward(tape, entropy, NULL, error));
    const sq_adam adam = { 1e-3, 0.9, 0.999, 1e-8, 0.01, true };
    for (int i = 0; i < count; i++)
        if (parameters[i].trainable)
            sq__adam_step(&adam, t, parameters[i].count, parameters[i].value, parameters[i].gradient, states[i].m, states[i].v, NULL);
    return SQ_OK;
}

static sq_status run(const options *o, sq_error *error)
{
    sq_category category = { .name = "code", .count = WORDS };
    sq_schema schema = { .category_count = 1, .class_count = CLASSES, .categories = &category, .max_length = o->n };
    sq_model_config config;
    sq__fields_defaults(sq__model_fields, &config);
    config.layers = o->layers;
    config.width = o->width;
    config.heads = o->heads;
    config.feed_forward = o->feed_forward;
    config.dropout = config.embedding_dropout = o->dropout;
    sq_model *model;
    SQ_TRY(sq__model_create(
        &model, &config, &(sq_model_spec){ .schema = &schema, .name = o->mechanism, .seed = 1, .threads = (int)o->threads }, error));
    int count;
    sq_parameter *parameters = sq__model_parameters(model, &count);
    sq_tape *tape = sq__tape_create(true);
    moments *states = sq__alloc_array((size_t)count, sizeof *states);
    int32_t *ids = sq__alloc_array((size_t)(o->n * o->batch), sizeof *ids), *lengths = sq__alloc_array((size_t)o->batch, sizeof *lengths);
    int32_t *labels = sq__alloc_array((size_t)o->batch, sizeof *labels);
    if (!tape || !states || !ids || !lengths || !labels) return sq__no_memory(error);
    for (int i = 0; i < count; i++) {
        states[i] = (moments){ sq__alloc_array((size_t)parameters[i].count, sizeof(float)),
                               sq__alloc_array((size_t)parameters[i].count, sizeof(float)) };
        if (!states[i].m || !states[i].v) return sq__no_memory(error);
    }
    sq_random random = sq__random_stream(1, "training step", 0);
    for (int64_t i = 0; i < o->n * o->batch; i++) ids[i] = (int32_t)sq__random_below(&random, (uint64_t)i, WORDS + 1);
    for (int64_t b = 0; b < o->batch; b++) {
        lengths[b] = (int32_t)o->n;
        labels[b] = (int32_t)(b % CLASSES);
    }
    const sq_batch batch = { .B = o->batch, .T = o->n, .category_count = 1, .categories = &ids, .lengths = lengths, .labels = labels };
    double best = INFINITY, busy = INFINITY, loss = NAN;
    sq__set_threads((int)o->threads);
    for (int64_t t = 1; t <= o->steps + 1; t++) {   /* the first warms up */
        double begin = sq__clock(), begin_busy = processor_time();
        SQ_TRY(step(model, tape, &batch, states, t, &loss, error));
        if (t == 1) continue;
        best = fmin(best, sq__clock() - begin);
        busy = fmin(busy, processor_time() - begin_busy);
    }
    const double flops = count_flops(o, error);
    printf(
        "{\"model\": \"subquad\", \"attention\": \"%s\", \"n\": %lld, \"batch\": %lld, \"threads\": %lld, \"dropout\": %g, \"ms\": %.1f, \"cpu_ms\": %.1f, \"gflop\": %.2f, "
        "\"gflops\": %.1f, \"peak_bytes\": %zu, \"resident_bytes\": %zu, \"loss\": %.6f}\n",
        o->mechanism, (long long)o->n, (long long)o->batch, (long long)o->threads, o->dropout, best * 1e3, busy * 1e3, flops * 1e-9,
        flops * 1e-9 / best, sq_memory_peak(), sq_memory_resident(), loss);
    for (int i = 0; i < count; i++) {
        sq__free(states[i].m);
        sq__free(states[i].v);
    }
    sq__free(states);
    sq__free(ids);
    sq__free(lengths);
    sq__free(labels);
    sq__tape_destroy(tape);
    sq__model_destroy(&model);
    return SQ_OK;
}

int main(int argc, char **argv)
{
    sq_error error = { 0 };
    options o = parse(argc, argv);
    if (run(&o, &error) == SQ_OK) return 0;
    fprintf(stderr, "training-step: %s\n", error.message);
    return 1;
}
