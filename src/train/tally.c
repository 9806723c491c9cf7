#include "train/tally.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "report/metric.h"
#include "train/metrics.h"

sq_status sq__tally_create(sq_tally *tally, const sq_dataset *dataset, sq_split split, sq_error *error)
{
    const sq_schema *schema = dataset->schema;
    const size_t n = (size_t)dataset->split_size[split], K = (size_t)sq__schema_outputs(schema);
    *tally = (sq_tally){ .dataset = dataset, .split = split, .n = (int64_t)n };
    bool good = true;
    if (sq__schema_per_event(schema)) {
        good = (tally->rows = sq__alloc_array(n, sizeof *tally->rows)) != NULL;
        if (schema->target == SQ_TARGET_EVENT_CLASS && K <= SQ_MAX_CLASSES) good = (tally->confusion = sq__alloc_array(K * K, sizeof *tally->confusion)) && good;
    } else {
        good = (tally->outputs = sq__alloc_array(n * K, sizeof *tally->outputs)) != NULL;
        good = (tally->labels = sq__alloc_array(n, sizeof *tally->labels)) && good;
        for (size_t i = 0; good && i < n; i++) tally->labels[i] = dataset->label[dataset->split[split][i]];
    }
    if (good) return SQ_OK;
    sq__tally_clear(tally);
    return sq__no_memory(error);
}

void sq__tally_clear(sq_tally *tally)
{
    sq__free(tally->labels);
    sq__free(tally->outputs);
    sq__free(tally->rows);
    sq__free(tally->confusion);
    *tally = (sq_tally){ .n = 0 };
}

void sq__tally_begin(sq_tally *tally)
{
    const size_t K = (size_t)sq__schema_outputs(tally->dataset->schema);
    if (tally->confusion) memset(tally->confusion, 0, K * K * sizeof *tally->confusion);
}

/* ---- one sequence ---- */

static void take_classes(sq_tally *t, sq_tally_row *row, const int32_t *labels, const float *outputs, int64_t rows)
{
    const int C = t->dataset->schema->class_count;
    for (int64_t i = 0; i < rows; i++, outputs += C) {
        int best = 0;
        double sum = 0;
        if (labels[i] == SQ_NOT_ASKED) continue;
        for (int c = 1; c < C; c++)
            if (outputs[c] > outputs[best]) best = c;
        for (int c = 0; c < C; c++) sum += exp((double)outputs[c] - outputs[best]);
        row->asked++;
        row->wrong += best != labels[i];
        row->nats += outputs[best] + log(sum) - outputs[labels[i]];
        if (t->confusion) t->confusion[labels[i] * C + best]++;
    }
}

static void take_bits(sq_tally_row *row, const uint8_t *bits, const float *outputs, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        const double x = outputs[i];
        if (bits[i] == SQ_BIT_NOT_ASKED) continue;
        row->asked++;
        row->wrong += (x > 0) != bits[i];
        row->nats += fmax(x, 0) - x * bits[i] + log1p(exp(-fabs(x)));
    }
}

void sq__tally_take(void *tally, int64_t place, int64_t example, const float *outputs, int64_t rows)
{
    sq_tally *t = tally;
    const sq_dataset *d = t->dataset;
    const int K = sq__schema_outputs(d->schema);
    if (!t->rows) {
        memcpy(t->outputs + place * K, outputs, (size_t)K * sizeof *outputs);
        return;
    }
    t->rows[place] = (sq_tally_row){ 0, 0, 0 };
    if (d->event_label) take_classes(t, &t->rows[place], d->event_label + d->start[example], outputs, rows);
    else take_bits(&t->rows[place], d->event_bits + d->start[example] * K, outputs, rows * K);
}

/* ---- all of them ---- */

static void measure_numbers(const sq_tally *t, sq_quality *quality)
{
    const sq_dataset *d = t->dataset;
    double squares = 0, absolute = 0, mean = 0, spread = 0;
    for (int64_t i = 0; i < t->n; i++) {
        const double is = d->number[d->split[t->split][i]], away = is - mean;
        const double off = (double)t->outputs[i] * d->schema->target_deviation + d->schema->target_mean - is;
        squares += off * off;
        absolute += fabs(off);
        mean += away / (double)(i + 1);
        spread += away * (is - mean);
    }
    quality->mse = squares / (double)t->n;
    quality->mae = absolute / (double)t->n;
    quality->r2 = spread > 0 ? 1 - squares / spread : NAN;
}

static void measure_events(const sq_tally *t, sq_quality *quality)
{
    double nats = 0;
    int64_t asked = 0, wrong = 0, sequences = 0, exact = 0;
    for (int64_t i = 0; i < t->n; i++) {
        nats += t->rows[i].nats;
        asked += t->rows[i].asked;
        wrong += t->rows[i].wrong;
        sequences += t->rows[i].asked > 0;
        exact += t->rows[i].asked > 0 && t->rows[i].wrong == 0;
    }
    if (asked == 0) return;
    quality->exact = (double)exact / (double)sequences;
    if (t->dataset->event_label) {
        quality->accuracy = 1 - (double)wrong / (double)asked;
        quality->log_loss = nats / (double)asked;
        quality->perplexity = exp(quality->log_loss);
    } else {
        quality->bits = nats / log(2) / (double)sequences;
        quality->bit_errors = (double)wrong / (double)sequences;
    }
}

sq_status sq__tally_quality(const sq_tally *t, sq_quality *quality, int64_t *confusion, int *classes, sq_error *error)
{
    const sq_schema *schema = t->dataset->schema;
    const int C = schema->class_count;
    const bool shown = schema->target == SQ_TARGET_CLASS || t->confusion;
    *quality = sq__quality_unknown;
    if (classes) *classes = shown ? C : 0;
    if (schema->target == SQ_TARGET_CLASS) return sq__metrics(t->outputs, t->labels, t->n, C, quality, confusion, error);
    if (confusion && t->confusion) memcpy(confusion, t->confusion, (size_t)C * (size_t)C * sizeof *confusion);
    if (t->n == 0) return SQ_OK;
    if (t->rows) measure_events(t, quality);
    else measure_numbers(t, quality);
    return SQ_OK;
}

/* ---- without looking ---- */

void sq__count_classes(const sq_dataset *d, double *counts)
{
    for (int64_t i = 0; i < d->split_size[SQ_SPLIT_TRAIN]; i++) {
        const int64_t example = d->split[SQ_SPLIT_TRAIN][i], start = d->start[example];
        if (d->schema->target == SQ_TARGET_CLASS) counts[d->label[example]] += 1;
        for (int64_t t = start; d->event_label && t < start + d->length[example]; t++)
            if (d->event_label[t] != SQ_NOT_ASKED) counts[d->event_label[t]] += 1;
    }
}

/* Logarithms of frequencies; a class that training never shows counts half a time. */
static void fit_constant(const sq_dataset *d, double *counts, float *outputs)
{
    const int K = sq__schema_outputs(d->schema);
    double all = 0;
    sq__count_classes(d, counts);
    for (int64_t i = 0; d->event_bits && i < d->split_size[SQ_SPLIT_TRAIN]; i++) {
        const int64_t example = d->split[SQ_SPLIT_TRAIN][i], start = d->start[example];
        for (int64_t t = start; t < start + d->length[example]; t++) {
            if (d->event_bits[t * K] == SQ_BIT_NOT_ASKED) continue;
            all += 1;
            for (int k = 0; k < K; k++) counts[k] += d->event_bits[t * K + k];
        }
    }
    for (int k = 0; k < K; k++)
        outputs[k] = d->schema->target == SQ_TARGET_NUMBER ? 0 : (float)(d->event_bits ? log((counts[k] + 0.5) / (all - counts[k] + 0.5)) : log(fmax(counts[k], 0.5)));
}

sq_status sq__constant_quality(const sq_dataset *d, sq_split split, sq_quality *quality, sq_error *error)
{
    const bool each = sq__schema_per_event(d->schema);
    const size_t K = (size_t)sq__schema_outputs(d->schema);
    int64_t longest = 1;
    sq_tally tally;
    for (int64_t i = 0; each && i < d->split_size[split]; i++) longest = d->length[d->split[split][i]] > longest ? d->length[d->split[split][i]] : longest;
    SQ_TRY(sq__tally_create(&tally, d, split, error));
    float *outputs = sq__alloc_array((size_t)longest * K, sizeof *outputs);
    double *counts = sq__alloc_array(K, sizeof *counts);
    sq_status status = outputs && counts ? SQ_OK : sq__no_memory(error);
    if (status == SQ_OK) fit_constant(d, counts, outputs);
    for (int64_t t = 1; status == SQ_OK && t < longest; t++) memcpy(outputs + (size_t)t * K, outputs, K * sizeof *outputs);
    for (int64_t i = 0; status == SQ_OK && i < tally.n; i++) sq__tally_take(&tally, i, d->split[split][i], outputs, each ? d->length[d->split[split][i]] : 1);
    if (status == SQ_OK) status = sq__tally_quality(&tally, quality, NULL, NULL, error);
    sq__free(counts);
    sq__free(outputs);
    sq__tally_clear(&tally);
    return status;
}
