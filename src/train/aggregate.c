#include "train/aggregate.h"

#include <math.h>

#include "base/memory.h"

enum { MOST_WORDS = 1000, PER_NUMBER = 5, PER_CLIENT = 2 };

struct sq_aggregator { const sq_schema *schema; int32_t *counts, *seen; };   /* [ids of the largest column] */

static int64_t ids_of(const sq_category *category)
{
    return (category->count < MOST_WORDS ? category->count : MOST_WORDS) + 1;
}

int64_t sq__aggregate_features(const sq_schema *schema)
{
    int64_t features = PER_NUMBER * (int64_t)schema->number_count + PER_CLIENT;
    for (int c = 0; c < schema->category_count; c++) features += 2 * ids_of(&schema->categories[c]);
    return features;
}

int64_t sq__aggregate_most(const sq_schema *schema, int64_t n)
{
    int64_t most = PER_NUMBER * (int64_t)schema->number_count + PER_CLIENT;
    for (int c = 0; c < schema->category_count; c++) {
        const int64_t ids = ids_of(&schema->categories[c]);
        most += 2 * (ids < n ? ids : n);
    }
    return most;
}

sq_aggregator *sq__aggregator_create(const sq_schema *schema)
{
    sq_aggregator *made = sq__alloc_zero(sizeof *made);
    if (!made) return NULL;
    made->schema = schema;
    made->counts = sq__alloc_array(MOST_WORDS + 1, sizeof *made->counts);
    made->seen = sq__alloc_array(MOST_WORDS + 1, sizeof *made->seen);
    if (made->counts && made->seen) return made;
    sq__aggregator_destroy(made);
    return NULL;
}

void sq__aggregator_destroy(sq_aggregator *aggregator)
{
    if (!aggregator) return;
    sq__free(aggregator->counts);
    sq__free(aggregator->seen);
    sq__free(aggregator);
}

typedef struct row { int32_t *index; float *value; int64_t used; } row;

static void put(row *r, int64_t feature, double value)
{
    r->index[r->used] = (int32_t)feature;
    r->value[r->used++] = (float)value;
}

static void count_words(sq_aggregator *a, const sq_dataset *dataset, int column, int64_t start, int64_t n, int64_t first, row *r)
{
    const int64_t ids = ids_of(&a->schema->categories[column]);
    int kinds = 0;
    for (int64_t i = start; i < start + n; i++) {
        int32_t id = dataset->bytes ? dataset->bytes[i] + 1 : dataset->categories[column][i];
        if (id < 0 || id >= ids) id = 0;
        if (a->counts[id]++ == 0) a->seen[kinds++] = id;
    }
    for (int k = 0; k < kinds; k++) {
        const int32_t id = a->seen[k];
        put(r, first + 2 * id, log1p(a->counts[id]));
        put(r, first + 2 * id + 1, (double)a->counts[id] / (double)n);
        a->counts[id] = 0;
    }
}

static void summarise(const float *x, int64_t n, int64_t first, row *r)
{
    double sum = 0, square = 0, least = INFINITY, most = -INFINITY;
    int64_t kept = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) continue;
        sum += x[i];
        least = fmin(least, x[i]);
        most = fmax(most, x[i]);
        kept++;
    }
    if (kept == 0) return;
    const double mean = sum / (double)kept;
    for (int64_t i = 0; i < n; i++)
        if (isfinite(x[i])) square += (x[i] - mean) * (x[i] - mean);
    const double values[PER_NUMBER] = { mean, sqrt(square / (double)kept), least, most, sum };
    for (int k = 0; k < PER_NUMBER; k++) put(r, first + k, values[k]);
}

int64_t sq__aggregate(sq_aggregator *a, const sq_dataset *dataset, int64_t example, int32_t *index, float *value)
{
    const int64_t start = dataset->start[example], n = dataset->length[example];
    int64_t first = 0;
    row r = { index, value, 0 };
    for (int c = 0; c < a->schema->category_count; c++) {
        count_words(a, dataset, c, start, n, first, &r);
        first += 2 * ids_of(&a->schema->categories[c]);
    }
    for (int c = 0; c < a->schema->number_count; c++, first += PER_NUMBER) summarise(dataset->numbers[c] + start, n, first, &r);
    put(&r, first, (double)n);
    put(&r, first + 1, log1p((double)n));
    return r.used;
}
