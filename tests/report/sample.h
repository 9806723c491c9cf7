/* An invented comparison of any size, for the tests of the writers: figures follow a fixed rule, names may be hostile. */
#ifndef TESTS_REPORT_SAMPLE_H
#define TESTS_REPORT_SAMPLE_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/comparison.h"

enum { SAMPLE_MOST = 32, SAMPLE_SEEDS = 5, SAMPLE_EPOCHS = 14, SAMPLE_LENGTHS = 7 };

typedef struct sample {
    sq_comparison comparison;
    sq_compared models[SAMPLE_MOST];
    sq_run_result *runs;
    sq_epoch *epochs;
    sq_sweep_point points[SAMPLE_MOST][SAMPLE_LENGTHS];
    const char *classes[SQ_MAX_CLASSES];
    char class_names[SQ_MAX_CLASSES][64];
} sample;

static const char *const sample_names[] = { "softmax", "linformer", "performer", "infinite-former", "nystromformer", "reformer", "longformer", "bigbird",
    "sinkhorn", "routing", "cosformer", "rfa", "luna", "perceiver", "informer", "clustered", "improved-clustered", "linear", "synthesizer", "longnet",
    "compressive", "transformer-xl", "memorizing", "axial", "long-short" };
static const char *const sample_baselines[] = { "logistic", "gru" };

/* Deterministic noise in [-1, 1]. */
static double sample_noise(int a, int b, int c)
{
    unsigned x = (unsigned)(a * 7919 + b * 104729 + c * 1299709 + 12345);
    x ^= x >> 13;
    x *= 0x5bd1e995u;
    x ^= x >> 15;
    x *= 0x27d4eb2du;
    x ^= x >> 16;
    return (double)(x % 20001) / 10000 - 1;
}

static void sample_run(sample *s, int model, int seed, int classes, sq_run_result *run, sq_epoch *curve)
{
    const double level = 0.80 + 0.09 * sin(model * 1.7) + 0.008 * sample_noise(model, seed, 1);
    const char *name = s->models[model].row.mechanism;
    snprintf(run->mechanism, sizeof run->mechanism, "%s", name);
    run->seed = (uint64_t)seed + 1;
    run->test = (sq_quality){ .accuracy = level - 0.05, .auc = level, .f1 = level - 0.06, .log_loss = 0.9 - level / 2 };
    run->validation = (sq_quality){ .accuracy = level - 0.04, .auc = level + 0.01, .f1 = level - 0.05, .log_loss = 0.89 - level / 2 };
    run->parameters = 123456 + 1000 * model;
    run->epochs = run->epoch_count = SAMPLE_EPOCHS - (seed + model) % 4;
    run->best_epoch = run->epochs - 2;
    run->steps = run->epochs * 88;
    run->epoch_seconds = model == 0 ? 7.9 : 1.3 + 0.31 * (model % 7) + 0.7 * (model % 3);
    run->clients_per_second = 9000 / run->epoch_seconds;
    run->tokens_per_second = 512 * run->clients_per_second;
    run->train_peak_bytes = (size_t)(180e6 / (1 + model % 5));
    run->inference_peak_bytes = (size_t)(31e6 / (1 + model % 5));
    run->train_resident_bytes = run->train_peak_bytes + 25000000;
    run->class_count = classes;
    for (int i = 0; i < classes; i++)
        for (int j = 0; j < classes; j++) run->confusion[i * classes + j] = i == j ? (int64_t)(400 * level) : (int64_t)(400 * (1 - level) / (classes - 1));
    run->curve = curve;
    for (int e = 0; e < run->epoch_count; e++) {
        const double learned = level * (1 - 0.4 * exp(-e / (2.0 + model % 3))) + 0.006 * sample_noise(model, seed, e + 2);
        curve[e] = (sq_epoch){ e + 1, (e + 1) * 88, 0.75 - 0.5 * learned - 0.004 * e, 0.78 - 0.5 * learned, run->epoch_seconds,
                               { .accuracy = learned - 0.04, .auc = learned + 0.01, .f1 = learned - 0.05, .log_loss = 0.8 - learned / 2 } };
    }
}

static void sample_summary(sq_compared *model)
{
    double *means[] = { &model->row.mean.accuracy, &model->row.mean.auc, &model->row.mean.f1, &model->row.mean.log_loss };
    double *deviations[] = { &model->row.deviation.accuracy, &model->row.deviation.auc, &model->row.deviation.f1, &model->row.deviation.log_loss };
    const int n = model->run_count;
    for (int q = 0; q < 4; q++) {
        double sum = 0, squares = 0;
        for (int r = 0; r < n; r++) sum += ((const double *)&model->runs[r].test)[q];
        for (int r = 0; r < n; r++) squares += pow(((const double *)&model->runs[r].test)[q] - sum / n, 2);
        *means[q] = n ? sum / n : NAN;
        *deviations[q] = n > 1 ? sqrt(squares / (n - 1)) : NAN;
    }
}

static sample *sample_make(int mechanisms, int baselines, int classes, int seeds)
{
    sample *s = calloc(1, sizeof *s);
    sq_comparison *c = &s->comparison;
    static const sq_report_pair environment[] = { { "version", "0.1.0" }, { "processor", "Example 3000, AVX-512" }, { "threads", "2" },
                                                  { "matrix backend", "libxsmm, 112 GFLOP/s a core" } };
    s->runs = calloc((size_t)((mechanisms + baselines) * seeds), sizeof *s->runs);
    s->epochs = calloc((size_t)((mechanisms + baselines) * seeds * SAMPLE_EPOCHS), sizeof *s->epochs);
    *c = (sq_comparison){ .name = "sample clients", .command = "subquad compare task.yaml --seeds 3", .started = "2026-01-02T03:04:05Z",
        .config_yaml = "data:\n  kind: events\n  files: transactions.csv\nmodel:\n  width: 64\n", .warning = "", .metric = "auc", .environment_count = 4,
        .environment = environment, .class_count = classes, .classes = s->classes, .majority = 0.52, .test_count = 800, .seeds = seeds, .first_seed = 1,
        .sweep_heads = 4, .sweep_head_size = 16, .sweep_fit_from = 1024, .count = mechanisms + baselines, .models = s->models };
    for (int i = 0; i < classes; i++) {
        snprintf(s->class_names[i], sizeof s->class_names[i], classes == 2 ? (i ? "male" : "female") : "class %d", i);
        s->classes[i] = s->class_names[i];
    }
    c->majority_class = s->classes[0];
    for (int i = 0; i < c->count; i++) {
        sq_compared *model = &s->models[i];
        const bool baseline = i >= mechanisms;
        snprintf(model->row.mechanism, sizeof model->row.mechanism, "%s", baseline ? sample_baselines[i - mechanisms] : sample_names[i]);
        model->row.baseline = baseline;
        model->options = baseline ? "" : "rank=64 sharing=none";
        model->sweep_note = "";
        model->runs = s->runs + i * seeds;
        model->run_count = model->row.seeds = seeds;
        for (int seed = 0; seed < seeds; seed++)
            sample_run(s, i, seed, classes, &s->runs[i * seeds + seed], s->epochs + (i * seeds + seed) * SAMPLE_EPOCHS);
        sample_summary(model);
        model->row.parameters = model->runs[0].parameters;
        model->row.epoch_seconds = model->runs[0].epoch_seconds;
        model->training_seconds = model->runs[0].epoch_seconds * (double)model->runs[0].epochs;
        model->row.clients_per_second = model->runs[0].clients_per_second;
        model->row.tokens_per_second = model->runs[0].tokens_per_second;
        model->row.train_peak_bytes = model->runs[0].train_peak_bytes;
        model->row.inference_peak_bytes = model->runs[0].inference_peak_bytes;
        for (int pass = 0; pass < SQ_PASSES; pass++) model->time_exponent[pass] = model->memory_exponent[pass] = model->crossover[pass] = NAN;
        if (baseline) continue;
        model->points = s->points[i];
        model->point_count = SAMPLE_LENGTHS;
        for (int p = 0; p < SAMPLE_LENGTHS; p++) {
            const double n = 256 << p, one = i == 0 ? 4e-9 * n * n + 1e-7 * n : (1 + 0.4 * i) * 4e-6 * n + 2e-5;
            s->points[i][p] = (sq_sweep_point){ (int64_t)n, { one, 3.2 * one }, { (size_t)(300 * n * (1 + i % 4)), (size_t)(1500 * n * (1 + i % 4)) } };
        }
        for (int pass = 0; pass < SQ_PASSES; pass++) {
            model->time_exponent[pass] = i == 0 ? 1.94 : 0.99;
            model->memory_exponent[pass] = 1.0;
            model->crossover[pass] = i == 0 || i % 6 == 5 ? NAN : 1000.0 * (1 + 0.4 * i);
        }
    }
    return s;
}

static void sample_free(sample *s)
{
    free(s->runs);
    free(s->epochs);
    free(s);
}

#endif
