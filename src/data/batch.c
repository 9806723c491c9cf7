#include "data/batch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"

enum { WINDOW_BATCHES = 64 };

struct sq_batcher {
    const sq_dataset *dataset;
    const int64_t *members;            /* examples of the split */
    int64_t count, size, batches;
    bool shuffle;
    uint64_t seed;
    int64_t epoch;                     /* that `order` holds; -1: none */
    int64_t *order;                    /* [count] example numbers, batch after batch */
    int64_t *place;                    /* [batches] which batch of `order` comes at an index */
    sq_batch batch;
    int64_t room;                      /* B*T that the arrays can hold */
};

/* qsort has no context: the keys lie beside what is sorted. */
typedef struct keyed { int32_t length; int64_t drawn, example; } keyed;

static int by_length(const void *a, const void *b)
{
    const keyed *x = a, *y = b;
    if (x->length != y->length) return (x->length < y->length) - (x->length > y->length);
    return (x->drawn > y->drawn) - (x->drawn < y->drawn);
}

static void sort_window(const sq_dataset *dataset, keyed *keys, int64_t *examples, int64_t count)
{
    for (int64_t i = 0; i < count; i++) keys[i] = (keyed){ dataset->length[examples[i]], i, examples[i] };
    qsort(keys, (size_t)count, sizeof *keys, by_length);
    for (int64_t i = 0; i < count; i++) examples[i] = keys[i].example;
}

/* The order of an epoch. A batch that is not full is the last in `order`, whatever its place in the epoch. */
static sq_status arrange(sq_batcher *b, int64_t epoch, sq_error *error)
{
    if (!b->shuffle) epoch = 0;
    if (b->epoch == epoch) return SQ_OK;
    int64_t window = b->shuffle && b->count > WINDOW_BATCHES * b->size ? WINDOW_BATCHES * b->size : b->count;
    keyed *keys = sq__alloc_array((size_t)window, sizeof *keys);
    if (!keys) return sq__no_memory(error);
    b->epoch = -1;
    for (int64_t i = 0; i < b->count; i++) b->order[i] = i;
    for (int64_t i = 0; i < b->batches; i++) b->place[i] = i;
    if (b->shuffle) {
        const sq_random examples = sq__random_stream(b->seed, "batch.examples", (uint64_t)epoch);
        const sq_random places = sq__random_stream(b->seed, "batch.places", (uint64_t)epoch);
        sq__random_permutation(&examples, b->order, b->count);
        sq__random_permutation(&places, b->place, b->batches);
    }
    for (int64_t i = 0; i < b->count; i++) b->order[i] = b->members[b->order[i]];
    for (int64_t i = 0; i < b->count; i += window) sort_window(b->dataset, keys, b->order + i, b->count - i < window ? b->count - i : window);
    sq__free(keys);
    b->epoch = epoch;
    return SQ_OK;
}

sq_status sq__batcher_create(sq_batcher **batcher, const sq_dataset *dataset, sq_split split, int64_t batch_size, bool shuffle,
                             uint64_t seed, sq_error *error)
{
    *batcher = NULL;
    if (batch_size < 1) return sq__fail(error, SQ_INVALID, "batch size is %lld; expected at least 1", (long long)batch_size);
    sq_batcher *fresh = sq__alloc_zero(sizeof *fresh);
    if (!fresh) return sq__no_memory(error);
    fresh->dataset = dataset;
    fresh->members = dataset->split[split];
    fresh->count = dataset->split_size[split];
    fresh->size = batch_size < fresh->count ? batch_size : fresh->count > 0 ? fresh->count : 1;
    fresh->batches = (fresh->count + fresh->size - 1) / fresh->size;
    fresh->shuffle = shuffle;
    fresh->seed = seed;
    fresh->epoch = -1;
    fresh->order = sq__alloc_array((size_t)fresh->count, sizeof *fresh->order);
    fresh->place = sq__alloc_array((size_t)fresh->batches, sizeof *fresh->place);
    sq_batch *batch = &fresh->batch;
    batch->category_count = dataset->schema->category_count;
    batch->number_count = dataset->schema->number_count;
    batch->categories = sq__alloc_array((size_t)batch->category_count, sizeof *batch->categories);
    batch->lengths = sq__alloc_array((size_t)fresh->size, sizeof *batch->lengths);
    batch->labels = sq__alloc_array((size_t)fresh->size, sizeof *batch->labels);
    const bool numbers = dataset->schema->target == SQ_TARGET_NUMBER;
    batch->bit_count = dataset->schema->bit_count;
    batch->targets = numbers ? sq__alloc_array((size_t)fresh->size, sizeof *batch->targets) : NULL;
    if ((!numbers || batch->targets) && fresh->order && fresh->place && batch->categories && batch->lengths && batch->labels) {
        *batcher = fresh;
        return SQ_OK;
    }
    sq__batcher_destroy(&fresh);
    return sq__no_memory(error);
}

void sq__batch_clear(sq_batch *batch)
{
    for (int c = 0; batch->categories && c < batch->category_count; c++) sq__free(batch->categories[c]);
    sq__free(batch->categories);
    sq__free(batch->numbers);
    sq__free(batch->lengths);
    sq__free(batch->labels);
    sq__free(batch->targets);
    sq__free(batch->event_labels);
    sq__free(batch->event_bits);
    *batch = (sq_batch){ .B = 0 };
}

void sq__batcher_destroy(sq_batcher **batcher)
{
    if (!batcher || !*batcher) return;
    sq_batcher *b = *batcher;
    sq__batch_clear(&b->batch);
    sq__free(b->order);
    sq__free(b->place);
    sq__free(b);
    *batcher = NULL;
}

int64_t sq__batcher_count(const sq_batcher *batcher)
{
    return batcher->batches;
}

/* Old contents are not needed: freed first, so that the two never stand side by side. */
static sq_status make_room(sq_batcher *b, int64_t tokens, sq_error *error)
{
    sq_batch *batch = &b->batch;
    if (tokens <= b->room) return SQ_OK;
    bool good = true;
    b->room = 0;
    for (int i = 0; i < batch->category_count; i++) {
        sq__free(batch->categories[i]);
        batch->categories[i] = sq__alloc_array((size_t)tokens, sizeof **batch->categories);
        good = good && batch->categories[i];
    }
    sq__free(batch->numbers);
    batch->numbers = sq__alloc_array((size_t)tokens * (size_t)batch->number_count, sizeof *batch->numbers);
    sq__free(batch->event_labels);
    sq__free(batch->event_bits);
    batch->event_labels = NULL;
    batch->event_bits = NULL;
    if (b->dataset->event_label) good = (batch->event_labels = sq__alloc_array((size_t)tokens, sizeof *batch->event_labels)) && good;
    if (b->dataset->event_bits)
        good = (batch->event_bits = sq__alloc_array((size_t)tokens * (size_t)batch->bit_count, sizeof *batch->event_bits)) && good;
    if (!good || !batch->numbers) return sq__no_memory(error);
    b->room = tokens;
    return SQ_OK;
}

/* What is asked of an example. */
static void fill_targets(const sq_dataset *d, sq_batch *batch, int64_t row, int64_t example)
{
    const int64_t T = batch->T, length = d->length[example], start = d->start[example];
    const int K = batch->bit_count;
    batch->labels[row] = d->label[example];
    if (batch->targets) batch->targets[row] = (float)((d->number[example] - d->schema->target_mean) / d->schema->target_deviation);
    if (batch->event_labels) {
        int32_t *out = batch->event_labels + row * T;
        memcpy(out, d->event_label + start, (size_t)length * sizeof *out);
        for (int64_t t = length; t < T; t++) out[t] = SQ_NOT_ASKED;
    }
    if (batch->event_bits) {
        float *out = batch->event_bits + row * T * K;
        const uint8_t *bits = d->event_bits + start * K;
        for (int64_t i = 0; i < T * K; i++) out[i] = i < length * K && bits[i] != SQ_BIT_NOT_ASKED ? (float)bits[i] : NAN;
    }
}

static void fill_row(const sq_dataset *d, sq_batch *batch, int64_t row, int64_t example)
{
    const int64_t T = batch->T, length = d->length[example], start = d->start[example];
    for (int c = 0; c < batch->category_count; c++) {
        int32_t *out = batch->categories[c] + row * T;
        if (d->categories) memcpy(out, d->categories[c] + start, (size_t)length * sizeof *out);
        else for (int64_t t = 0; t < length; t++) out[t] = d->bytes[start + t] + 1;
        for (int64_t t = length; t < T; t++) out[t] = -1;
    }
    float *numbers = batch->numbers + row * T * batch->number_count;
    for (int n = 0; n < batch->number_count; n++)
        for (int64_t t = 0; t < length; t++) numbers[t * batch->number_count + n] = d->numbers[n][start + t];
    memset(numbers + length * batch->number_count, 0, (size_t)((T - length) * batch->number_count) * sizeof *numbers);
    batch->lengths[row] = (int32_t)length;
    fill_targets(d, batch, row, example);
    batch->tokens += length;
}

sq_status sq__batcher_get(sq_batcher *batcher, int64_t epoch, int64_t index, const sq_batch **batch, sq_error *error)
{
    *batch = NULL;
    if (epoch < 0 || index < 0 || index >= batcher->batches)
        return sq__fail(error, SQ_INVALID, "batch %lld of epoch %lld; there are %lld", (long long)index, (long long)epoch, (long long)batcher->batches);
    SQ_TRY(arrange(batcher, epoch, error));
    const sq_dataset *d = batcher->dataset;
    sq_batch *out = &batcher->batch;
    int64_t first = batcher->place[index] * batcher->size;
    out->examples = batcher->order + first;
    out->B = batcher->count - first < batcher->size ? batcher->count - first : batcher->size;
    out->T = 0;
    out->tokens = 0;
    for (int64_t i = 0; i < out->B; i++)
        if (d->length[out->examples[i]] > out->T) out->T = d->length[out->examples[i]];
    SQ_TRY(make_room(batcher, out->B * out->T, error));
    for (int64_t i = 0; i < out->B; i++) fill_row(d, out, i, out->examples[i]);
    *batch = out;
    return SQ_OK;
}
