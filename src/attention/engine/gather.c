#include "attention/engine/gather.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

void sq__gather_rows(float *to, int64_t to_row, const float *from, int64_t from_row, const int32_t *rows, int64_t count, int64_t width)
{
    for (int64_t i = 0; i < count; i++) memcpy(to + i * to_row, from + rows[i] * from_row, (size_t)width * sizeof *to);
}

void sq__scatter_rows(float *to, int64_t to_row, const float *from, int64_t from_row, const int32_t *rows, int64_t count, int64_t width)
{
    for (int64_t i = 0; i < count; i++) memcpy(to + rows[i] * to_row, from + i * from_row, (size_t)width * sizeof *to);
}

void sq__scatter_add_rows(float *to, int64_t to_row, const float *from, int64_t from_row, const int32_t *rows, int64_t count, int64_t width,
                          const sq_kernels *kernels)
{
    for (int64_t i = 0; i < count; i++) kernels->axpy(to + rows[i] * to_row, 1, from + i * from_row, width);
}

void sq__sort_buckets(int32_t *order, int32_t *starts, const int32_t *bucket, int64_t count, int64_t buckets)
{
    memset(starts, 0, (size_t)(buckets + 1) * sizeof *starts);
    for (int64_t i = 0; i < count; i++) starts[bucket[i] + 1]++;
    for (int64_t b = 0; b < buckets; b++) starts[b + 1] += starts[b];
    for (int64_t i = 0; i < count; i++) order[starts[bucket[i]]++] = (int32_t)i;
    for (int64_t b = buckets; b > 0; b--) starts[b] = starts[b - 1];   /* each had moved on to the next one's start */
    starts[0] = 0;
}

/* ---- the largest ---- */

static bool below(float value, int32_t index, float other, int32_t other_index)
{
    return value < other || (value == other && index > other_index);
}

/* Entry `at` may stand too high: moves it down past lesser children. */
static void sink(sq_largest *l, int64_t at)
{
    const float value = l->value[at];
    const int32_t index = l->index[at];
    for (int64_t child; (child = 2 * at + 1) < l->count; at = child) {
        if (child + 1 < l->count && below(l->value[child + 1], l->index[child + 1], l->value[child], l->index[child])) child++;
        if (!below(l->value[child], l->index[child], value, index)) break;
        l->value[at] = l->value[child];
        l->index[at] = l->index[child];
    }
    l->value[at] = value;
    l->index[at] = index;
}

static void rise(sq_largest *l, int64_t at)
{
    while (at > 0) {
        const int64_t parent = (at - 1) / 2;
        const float value = l->value[at];
        const int32_t index = l->index[at];
        if (!below(value, index, l->value[parent], l->index[parent])) return;
        l->value[at] = l->value[parent], l->index[at] = l->index[parent];
        l->value[parent] = value, l->index[parent] = index;
        at = parent;
    }
}

void sq__largest_offer(sq_largest *l, const float *value, int64_t count, int32_t first)
{
    for (int64_t i = 0; i < count; i++) {
        const int32_t index = first + (int32_t)i;
        if (value[i] == -INFINITY) continue;
        if (l->count < l->most) {
            l->value[l->count] = value[i];
            l->index[l->count] = index;
            rise(l, l->count++);
        } else if (l->most > 0 && below(l->value[0], l->index[0], value[i], index)) {
            l->value[0] = value[i];
            l->index[0] = index;
            sink(l, 0);
        }
    }
}

/* By Shell's method: qsort may allocate. */
void sq__largest_sort(sq_largest *l)
{
    for (int64_t gap = l->count / 2; gap > 0; gap /= 2)
        for (int64_t i = gap; i < l->count; i++) {
            const int32_t index = l->index[i];
            int64_t at = i;
            for (; at >= gap && l->index[at - gap] > index; at -= gap) l->index[at] = l->index[at - gap];
            l->index[at] = index;
        }
}

/* ---- drawing ---- */

void sq__draw_distinct(const sq_random *random, int32_t *list, int64_t n, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {   /* the first steps of Fisher and Yates */
        const int64_t other = i + (int64_t)sq__random_below(random, (uint64_t)i, (uint64_t)(n - i));
        const int32_t kept = list[other];
        list[other] = list[i];
        list[i] = kept;
    }
}

int64_t sq__tensor_index(float value, int64_t n)
{
    if (!(value >= 0 && value < 9e18f)) return 0;
    return (int64_t)value % n;
}
