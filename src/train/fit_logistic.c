/* Fitting the logistic baseline: sparse rows of aggregates, L-BFGS for a falling list of penalties, the best on the validation split. */
#include <math.h>
#include <string.h>

#include "base/cpu.h"
#include "base/parallel.h"
#include "report/metric.h"
#include "train/aggregate.h"
#include "train/description.h"
#include "train/fit.h"
#include "train/lbfgs.h"
#include "train/logistic.h"
#include "train/score.h"
#include "train/tally.h"

static const double strengths[] = { 1, 0.1, 0.01, 0.001, 0.0001 };
enum { STRENGTHS = sizeof strengths / sizeof *strengths, USUAL = 2, PARTS = 16 };   /* USUAL: without a validation split */

typedef struct regression {
    sq_fit *fit;
    int64_t n, F;
    int C, threads;
    int64_t *row;                      /* [n + 1] where each client's entries begin */
    int32_t *index;
    float *value;
    int32_t *label;                    /* [n]; NULL: numbers */
    double *number;                    /* [n] scaled */
    double *weight;                    /* [C] of the classes in the loss */
    double *mean, *deviation;          /* [F] */
    double *parameters;                /* [F, C] weights of standardised features, then [C] biases */
    double *scaled;                    /* [F, C] weights / deviation; of the value under way */
    double *offset;                    /* [C] bias - scaled . mean */
    double *partial;                   /* [PARTS] gradients, each as parameters */
    double part_loss[PARTS], strength, total_weight;
} regression;

static const int64_t worth_threads = 2000000;   /* products per evaluation, below which starting threads costs more */

static int64_t parameter_count(const regression *r) { return r->C * r->F + r->C; }

/* ---- rows ---- */

static sq_status make_rows(regression *r, sq_error *error)
{
    const sq_dataset *data = r->fit->job->dataset;
    const int64_t *examples = data->split[SQ_SPLIT_TRAIN];
    int64_t room = 0;
    for (int64_t i = 0; i < r->n; i++) room += sq__aggregate_most(data->schema, data->length[examples[i]]);
    sq_aggregator *aggregator = sq__aggregator_create(data->schema);
    r->row = sq__alloc_array((size_t)r->n + 1, sizeof *r->row);
    r->index = sq__alloc_array((size_t)room, sizeof *r->index);
    r->value = sq__alloc_array((size_t)room, sizeof *r->value);
    const bool made = aggregator && r->row && r->index && r->value;
    for (int64_t i = 0; i < r->n && made; i++)
        r->row[i + 1] = r->row[i] + sq__aggregate(aggregator, data, examples[i], r->index + r->row[i], r->value + r->row[i]);
    sq__aggregator_destroy(aggregator);
    return made ? SQ_OK : sq__no_memory(error);
}

/* Absent entries are zeros. A feature that never changes gets deviation 1 and, by its mean, always the value 0. */
static void standardise(regression *r)
{
    const int64_t entries = r->row[r->n];
    for (int64_t e = 0; e < entries; e++) r->mean[r->index[e]] += r->value[e] / (double)r->n;
    for (int64_t f = 0; f < r->F; f++) r->deviation[f] = (double)r->n * r->mean[f] * r->mean[f];   /* as if all were absent */
    for (int64_t e = 0; e < entries; e++) {
        const double mean = r->mean[r->index[e]], away = r->value[e] - mean;
        r->deviation[r->index[e]] += away * away - mean * mean;
    }
    for (int64_t f = 0; f < r->F; f++) {
        const double variance = r->deviation[f] / (double)r->n;
        r->deviation[f] = variance > 1e-12 * (1 + r->mean[f] * r->mean[f]) ? sqrt(variance) : 1;
    }
}

static void weigh_classes(regression *r)
{
    r->total_weight = r->number ? (double)r->n : 0;
    if (r->number) return;
    for (int64_t i = 0; i < r->n; i++) r->weight[r->label[i]] += 1;
    for (int c = 0; c < r->C; c++) {
        const double count = r->weight[c];
        r->weight[c] = r->fit->job->train.class_weights == 0 ? 1 : count > 0 ? (double)r->n / (r->C * count) : 0;
        r->total_weight += r->weight[c] * count;
    }
}

/* ---- the function ---- */

/* scores += row . scaled, and the other way: gradient += row outer residuals. */
static void score_row(const regression *r, int64_t i, double *scores)
{
    memcpy(scores, r->offset, (size_t)r->C * sizeof *scores);
    for (int64_t e = r->row[i]; e < r->row[i + 1]; e++) {
        const double *w = r->scaled + (int64_t)r->index[e] * r->C, value = r->value[e];
        for (int c = 0; c < r->C; c++) scores[c] += w[c] * value;
    }
}

static void add_row(const regression *r, int64_t i, const double *residuals, double *gradient)
{
    for (int64_t e = r->row[i]; e < r->row[i + 1]; e++) {
        double *g = gradient + (int64_t)r->index[e] * r->C, value = r->value[e];
        for (int c = 0; c < r->C; c++) g[c] += residuals[c] * value;
    }
}

/* scores become residuals; returns the client's loss. */
static double judge_class(const regression *r, int64_t i, double *scores)
{
    const double weight = r->weight[r->label[i]] / r->total_weight;
    const double right = scores[r->label[i]];
    double most = -INFINITY, sum = 0;
    for (int c = 0; c < r->C; c++) most = fmax(most, scores[c]);
    for (int c = 0; c < r->C; c++) sum += exp(scores[c] - most);
    for (int c = 0; c < r->C; c++) scores[c] = weight * (exp(scores[c] - most) / sum - (c == r->label[i]));
    return weight * (most + log(sum) - right);
}

static double judge_number(const regression *r, int64_t i, double *scores)
{
    const double off = scores[0] - r->number[i];
    scores[0] = off / r->total_weight;
    return off * off / (2 * r->total_weight);
}

/* Loss and gradient (in scaled parameters) of one part of the clients, in their order. */
static void evaluate_part(void *context, int64_t part, int thread)
{
    (void)thread;
    regression *r = context;
    double *gradient = r->partial + part * parameter_count(r), *sums = gradient + r->C * r->F, scores[SQ_MAX_CLASSES], loss = 0;
    memset(gradient, 0, (size_t)parameter_count(r) * sizeof *gradient);
    for (int64_t i = r->n * part / PARTS; i < r->n * (part + 1) / PARTS; i++) {
        score_row(r, i, scores);
        loss += r->number ? judge_number(r, i, scores) : judge_class(r, i, scores);
        for (int c = 0; c < r->C; c++) sums[c] += scores[c];
        add_row(r, i, scores, gradient);
    }
    r->part_loss[part] = loss;
}

static void add_parts(regression *r, double *gradient)
{
    const int64_t count = parameter_count(r);
    memcpy(gradient, r->partial, (size_t)count * sizeof *gradient);
    for (int part = 1; part < PARTS; part++)
        for (int64_t k = 0; k < count; k++) gradient[k] += r->partial[part * count + k];
}

static sq_status evaluate(void *context, const double *x, double *gradient, double *out, sq_error *error)
{
    regression *r = context;
    if (sq__fit_stopped(r->fit)) return sq__fail(error, SQ_INTERRUPTED, "%s: interrupted", r->fit->job->folder);
    memcpy(r->offset, x + r->C * r->F, (size_t)r->C * sizeof *r->offset);
    for (int64_t f = 0, k = 0; f < r->F; f++)
        for (int c = 0; c < r->C; c++, k++) {
            r->scaled[k] = x[k] / r->deviation[f];
            r->offset[c] -= r->scaled[k] * r->mean[f];
        }
    sq__parallel(r->threads, PARTS, evaluate_part, r);
    add_parts(r, gradient);
    *out = 0;
    for (int part = 0; part < PARTS; part++) *out += r->part_loss[part];
    const double *sums = gradient + r->C * r->F;
    for (int64_t f = 0, k = 0; f < r->F; f++)
        for (int c = 0; c < r->C; c++, k++) {
            gradient[k] = (gradient[k] - sums[c] * r->mean[f]) / r->deviation[f] + r->strength * x[k];
            *out += r->strength / 2 * x[k] * x[k];
        }
    return SQ_OK;
}

/* ---- the choice ---- */

static void copy_out(const regression *r, sq_logistic *out)
{
    for (int64_t f = 0; f < r->F; f++) {
        out->mean[f] = (float)r->mean[f];
        out->deviation[f] = (float)r->deviation[f];
    }
    for (int64_t f = 0, k = 0; f < r->F; f++)
        for (int c = 0; c < r->C; c++, k++) out->weight[c * r->F + f] = (float)r->parameters[k];
    for (int c = 0; c < r->C; c++) out->bias[c] = (float)r->parameters[r->C * r->F + c];
}

static sq_status validate(const regression *r, const sq_logistic *logistic, sq_tally *tally, sq_quality *quality, sq_error *error)
{
    SQ_TRY(sq__logistic_score(logistic, r->fit->job->dataset, SQ_SPLIT_VALIDATION, r->fit->threads, r->fit->job->stop, tally->outputs, error));
    return sq__tally_quality(tally, quality, NULL, NULL, error);
}

typedef struct choice { sq_logistic now, best; sq_tally tally; double score; sq_epoch epoch; } choice;

static sq_status try_strengths(regression *r, choice *chosen, sq_error *error)
{
    const sq_train_config *train = &r->fit->job->train;
    const sq_schema *schema = r->fit->job->dataset->schema;
    const bool validated = r->fit->job->dataset->split_size[SQ_SPLIT_VALIDATION] > 0;
    const double begin = sq__clock();
    for (int k = 0; k < STRENGTHS; k++) {   /* from strong to weak, each from the last one's minimum */
        double loss;
        r->strength = strengths[k];
        const sq_lbfgs problem = { parameter_count(r), evaluate, r, 300, 1e-5 };
        SQ_TRY(sq__lbfgs_minimise(&problem, r->parameters, &loss, error));
        copy_out(r, &chosen->now);
        sq_quality quality = sq__quality_unknown;
        if (validated) SQ_TRY(validate(r, &chosen->now, &chosen->tally, &quality, error));
        const double score = validated ? sq__fit_score(train, schema->target, &quality) : -fabs(k - (double)USUAL);
        if (r->number) loss *= 2 * schema->target_deviation * schema->target_deviation;   /* as it is reported */
        r->fit->progress.loss = loss;
        sq__fit_report(r->fit, "training", k + 1, STRENGTHS, NULL);
        if (k > 0 && !(score > chosen->score)) continue;
        chosen->score = score;
        chosen->epoch = (sq_epoch){ 1, 1, loss, sq__fit_loss(schema->target, &quality), 0, quality };
        const sq_logistic swap = chosen->now;
        chosen->now = chosen->best;
        chosen->best = swap;
    }
    chosen->epoch.seconds = sq__clock() - begin;
    return SQ_OK;
}

static sq_status set_up(regression *r, choice *chosen, sq_error *error)
{
    const sq_dataset *data = r->fit->job->dataset;
    const size_t F = (size_t)r->F, C = (size_t)r->C, all = F * C + C;
    if (data->number) {
        r->number = sq__alloc_array((size_t)r->n, sizeof *r->number);
        if (!r->number) return sq__no_memory(error);
        for (int64_t i = 0; i < r->n; i++) r->number[i] = (data->number[data->split[SQ_SPLIT_TRAIN][i]] - data->schema->target_mean) / data->schema->target_deviation;
    } else {
        SQ_TRY(sq__split_labels(data, SQ_SPLIT_TRAIN, &r->label, error));
    }
    SQ_TRY(sq__tally_create(&chosen->tally, data, SQ_SPLIT_VALIDATION, error));
    SQ_TRY(sq__logistic_create(&chosen->now, data->schema, error));
    SQ_TRY(sq__logistic_create(&chosen->best, data->schema, error));
    double **arrays[] = { &r->weight, &r->mean, &r->deviation, &r->parameters, &r->scaled, &r->offset, &r->partial };
    const size_t counts[] = { C, F, F, all, F * C, C, all * PARTS };
    bool made = true;
    for (int i = 0; i < 7; i++) made = (*arrays[i] = sq__alloc_array(counts[i], sizeof(double))) && made;
    if (!made) return sq__no_memory(error);
    SQ_TRY(make_rows(r, error));
    r->threads = r->row[r->n] * r->C > worth_threads ? r->fit->threads : 1;
    standardise(r);
    weigh_classes(r);
    return SQ_OK;
}

static sq_status leave(const regression *r, const choice *chosen, sq_error *error)
{
    sq_fit *fit = r->fit;
    sq_run_result *result = fit->result;
    sq_model_metadata metadata;
    SQ_TRY(sq__model_metadata_make(fit->job, &metadata, error));
    sq_status status = sq__logistic_write(&chosen->best, fit->folder.model, (const char *const *)metadata.keys, (const char *const *)metadata.values,
                                          metadata.count, error);
    sq__model_metadata_clear(&metadata);
    SQ_TRY(status);
    SQ_TRY(sq__write_metrics(fit->folder.metrics, fit->job->dataset->schema->target, &chosen->epoch, 1, error));
    result->curve = sq__alloc_array(1, sizeof *result->curve);
    if (!result->curve) return sq__no_memory(error);
    result->curve[0] = chosen->epoch;
    result->epoch_count = 1;
    result->validation = chosen->epoch.validation;
    result->epochs = result->steps = result->best_epoch = 1;
    result->epoch_seconds = chosen->epoch.seconds;
    result->train_peak_bytes = sq__fit_peak(fit);
    result->train_resident_bytes = sq_memory_resident();
    return SQ_OK;
}

static void tear_down(regression *r, choice *chosen)
{
    void *const memory[] = { r->row, r->index, r->value, r->label, r->weight, r->mean, r->deviation, r->parameters, r->scaled, r->offset, r->partial, r->number };
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++) sq__free(memory[i]);
    sq__tally_clear(&chosen->tally);
    sq__logistic_clear(&chosen->now);
    sq__logistic_clear(&chosen->best);
}

sq_status sq__fit_logistic(sq_fit *fit, sq_error *error)
{
    const sq_dataset *data = fit->job->dataset;
    regression r = { .fit = fit, .n = data->split_size[SQ_SPLIT_TRAIN], .F = sq__aggregate_features(data->schema), .C = sq__schema_outputs(data->schema) };
    choice chosen = { 0 };
    fit->result->parameters = parameter_count(&r);
    fit->progress.epochs = fit->progress.epoch = 1;
    sq_status status = sq__fit_open(fit, error);
    if (status == SQ_OK) status = set_up(&r, &chosen, error);
    if (status == SQ_OK) status = try_strengths(&r, &chosen, error);
    if (status == SQ_OK) status = leave(&r, &chosen, error);
    tear_down(&r, &chosen);
    return status;
}
