#include "data/fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { QUANTILES = 256, MOST_SAMPLE = 1 << 20 };

/* ---- vocabularies ---- */

typedef struct word_count { const char *text; int64_t count; } word_count;

/* Falling frequency, ties by text. */
static int by_frequency(const void *a, const void *b)
{
    const word_count *x = a, *y = b;
    return x->count != y->count ? (x->count < y->count) - (x->count > y->count) : strcmp(x->text, y->text);
}

static sq_status take_words(sq_category *category, const word_count *counts, int64_t words, const sq_data_categorical *wanted, sq_error *error)
{
    int64_t keep = 0;
    while (keep < words && keep < wanted->vocabulary && counts[keep].count >= wanted->minimum && counts[keep].count > 0) keep++;
    category->words = sq__alloc_array((size_t)keep, sizeof *category->words);
    if (!category->words) return sq__no_memory(error);
    for (; category->count < keep; category->count++)
        if (!(category->words[category->count] = sq__strdup(counts[category->count].text))) return sq__no_memory(error);
    return SQ_OK;
}

static sq_status fit_category(sq_category *category, const sq_raw_events *raw, int column, const sq_data_categorical *wanted, const bool *train,
                              sq_error *error)
{
    int64_t words = sq__intern_count(raw->words[column]);
    word_count *counts = sq__alloc_array((size_t)words, sizeof *counts);
    if (!counts) return sq__no_memory(error);
    snprintf(category->name, sizeof category->name, "%.63s", wanted->column);
    for (int64_t i = 0; i < words; i++) counts[i].text = sq__intern_text(raw->words[column], (int32_t)i);
    for (int64_t c = 0; c < raw->store.count; c++)
        for (int64_t i = 0; train[c] && i < raw->store.clients[c].count; i++) {
            int32_t word = sq__event_categories(raw->store.clients[c].events + (size_t)i * raw->store.layout.bytes)[column];
            if (word >= 0) counts[word].count++;
        }
    qsort(counts, (size_t)words, sizeof *counts, by_frequency);
    sq_status status = take_words(category, counts, words, wanted, error);
    sq__free(counts);
    return status;
}

/* ---- scalings ---- */

typedef struct moments { double mean, sum_squares; int64_t count; float *sample; int64_t sampled, stride; } moments;

/* Welford's update: no cancellation where the mean is far from 0. */
static void add_values(moments *m, const float *values, int64_t count, bool log_first)
{
    for (int64_t i = 0; i < count; i++) {
        if (isnan(values[i])) continue;
        double value = log_first ? copysign(log1p(fabs((double)values[i])), (double)values[i]) : (double)values[i];
        if (m->sample && m->count % m->stride == 0 && m->sampled < MOST_SAMPLE) m->sample[m->sampled++] = values[i];
        double before = value - m->mean;
        m->mean += before / (double)++m->count;
        m->sum_squares += before * (value - m->mean);
    }
}

static int by_float(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Rising edges at even ranks of the sample; equal neighbours are one edge. */
static sq_status take_quantiles(sq_number *number, moments *m, sq_error *error)
{
    qsort(m->sample, (size_t)m->sampled, sizeof *m->sample, by_float);
    number->quantiles = sq__alloc_array(QUANTILES, sizeof *number->quantiles);
    if (!number->quantiles) return sq__no_memory(error);
    for (int64_t i = 0; i < QUANTILES && m->sampled; i++) {
        double edge = m->sample[i * (m->sampled - 1) / (QUANTILES - 1)];
        if (number->quantile_count == 0 || edge > number->quantiles[number->quantile_count - 1]) number->quantiles[number->quantile_count++] = edge;
    }
    return SQ_OK;
}

static sq_status finish_number(sq_number *number, moments *m, bool *constant, sq_error *error)
{
    double deviation = m->count ? sqrt(m->sum_squares / (double)m->count) : 0.0;
    *constant = !(deviation > 1e-6 * fabs(m->mean) && deviation > 1e-12);
    bool scaled = number->transform == SQ_TRANSFORM_STANDARD || number->transform == SQ_TRANSFORM_LOG;
    number->mean = scaled ? m->mean : 0.0;
    number->deviation = scaled && !*constant ? deviation : 1.0;
    return number->transform == SQ_TRANSFORM_QUANTILE ? take_quantiles(number, m, error) : SQ_OK;
}

static sq_status fit_number(sq_number *number, const sq_raw_events *raw, const sq_calendar *calendar, const sq_feature *feature, const bool *train,
                            float *values, bool *constant, sq_error *error)
{
    moments m = { .stride = 1 };
    int64_t events = 0;
    for (int64_t c = 0; c < raw->store.count; c++) events += train[c] ? raw->store.clients[c].count : 0;
    if (number->transform == SQ_TRANSFORM_QUANTILE) {
        m.stride = events / MOST_SAMPLE + 1;
        m.sample = sq__alloc_array((size_t)(events < MOST_SAMPLE ? events : MOST_SAMPLE), sizeof *m.sample);
        if (!m.sample) return sq__no_memory(error);
    }
    for (int64_t c = 0; c < raw->store.count; c++) {
        if (!train[c]) continue;
        sq__feature_values(feature, calendar, &raw->store.layout, raw->store.clients[c].events, raw->store.clients[c].count, values);
        add_values(&m, values, raw->store.clients[c].count, number->transform == SQ_TRANSFORM_LOG);
    }
    sq_status status = finish_number(number, &m, constant, error);
    sq__free(m.sample);
    return status;
}

/* A time feature that never changes in training (hours of plain dates, gaps of single events) says nothing and is left out. */
static sq_status fit_numbers(sq_schema *schema, const sq_data_config *config, const sq_raw_events *raw, const sq_feature *features, int count,
                             const bool *train, float *values, sq_error *error)
{
    sq_calendar calendar;
    sq__calendar_fill(&calendar, raw->form);
    for (int i = 0; i < count; i++) {
        sq_number *number = &schema->numbers[schema->number_count];
        bool constant = false;
        *number = (sq_number){ .transform = (sq_transform)sq__feature_transform(config, &features[i]) };
        snprintf(number->name, sizeof number->name, "%.63s", sq__feature_name(config, &features[i]));
        schema->number_count++;
        SQ_TRY(fit_number(number, raw, &calendar, &features[i], train, values, &constant, error));
        if (!constant || features[i].column >= 0) continue;
        sq__free(number->quantiles);
        schema->number_count--;
    }
    return SQ_OK;
}

sq_status sq__fit_schema(sq_schema **schema, const sq_data_config *config, const sq_raw_events *raw, const bool *train, sq_error *error)
{
    int64_t longest = 1;
    for (int64_t c = 0; c < raw->store.count; c++)
        if (raw->store.clients[c].count > longest) longest = raw->store.clients[c].count;
    sq_feature *features = sq__alloc_array((size_t)config->numeric_count + SQ_TIME_FEATURE_COUNT, sizeof *features);
    float *values = sq__alloc_array((size_t)longest, sizeof *values);
    int count = features ? sq__features_list(config, raw->form, features) : 0;
    *schema = features && values ? sq__schema_create(config->categorical_count, count) : NULL;
    sq_status status = *schema ? SQ_OK : sq__no_memory(error);
    if (status == SQ_OK) (*schema)->number_count = 0;
    for (int i = 0; status == SQ_OK && i < config->categorical_count; i++)
        status = fit_category(&(*schema)->categories[i], raw, i, &config->categorical[i], train, error);
    if (status == SQ_OK) status = fit_numbers(*schema, config, raw, features, count, train, values, error);
    if (status == SQ_OK && (*schema)->category_count + (*schema)->number_count == 0)
        status = sq__fail(error, SQ_INVALID, "no input is left: the times never differ and no other column is given");
    sq__free(features);
    sq__free(values);
    if (status != SQ_OK) {
        sq__schema_destroy(*schema);
        *schema = NULL;
    }
    return status;
}
