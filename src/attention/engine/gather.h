/* Rows by index: gathered and put back, sorted into buckets, the largest of many, drawn without repetition.
 * What attends together is brought together by these; a shared engine then does the attention. Depends on kernels, base. */
#ifndef SQ_ATTENTION_ENGINE_GATHER_H
#define SQ_ATTENTION_ENGINE_GATHER_H

#include "base/random.h"
#include "kernels/kernels.h"

/* to[i] = from[rows[i]];  to[rows[i]] = from[i];  to[rows[i]] += from[i]. Rows are *_row floats apart. */
void sq__gather_rows(float *to, int64_t to_row, const float *from, int64_t from_row, const int32_t *rows, int64_t count, int64_t width);
void sq__scatter_rows(float *to, int64_t to_row, const float *from, int64_t from_row, const int32_t *rows, int64_t count, int64_t width);
void sq__scatter_add_rows(float *to, int64_t to_row, const float *from, int64_t from_row, const int32_t *rows, int64_t count, int64_t width,
                          const sq_kernels *kernels);

/* Stable counting sort: order [count] lists 0 .. count-1 by bucket, starts [buckets + 1] says where each bucket begins. */
void sq__sort_buckets(int32_t *order, int32_t *starts, const int32_t *bucket, int64_t count, int64_t buckets);

/* The indexes of the `most` largest of many values, offered piece by piece; of equal values the lower index. -inf is never taken.
 * value, index [most] form a heap whose first entry is the least. */
typedef struct sq_largest { int64_t most, count; float *value; int32_t *index; } sq_largest;
void sq__largest_offer(sq_largest *largest, const float *value, int64_t count, int32_t first);   /* value[i] of index first + i */
void sq__largest_sort(sq_largest *largest);                                                      /* at the end: by index */

/* `count` distinct entries of list [n] in random order become its first; a pure function of random. count <= n. */
void sq__draw_distinct(const sq_random *random, int32_t *list, int64_t n, int64_t count);

/* An index that a tensor holds, whatever it holds: brought into 0 .. n-1 by the remainder. n >= 1. */
int64_t sq__tensor_index(float value, int64_t n);

#endif
