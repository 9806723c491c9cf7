/* Rows to buckets by random rotations (angular locality-sensitive hashing).
 *   bucket = argmax over [x R, -x R], the lowest index on ties; with two factors b1 + n1 b2 from two such hashes.
 * Used by Reformer. Depends on kernels. */
#ifndef SQ_ATTENTION_ENGINE_ROTATION_H
#define SQ_ATTENTION_ENGINE_ROTATION_H

#include <stddef.h>
#include <stdint.h>

typedef struct sq_rotation {
    int64_t D, rounds, columns;        /* rotations [D, rounds, columns]: a round uses its first (factor[0] + factor[1]) / 2 columns */
    int64_t factor[2];                 /* even; factor[1] 0: one hash */
} sq_rotation;

static inline int64_t sq__rotation_buckets(const sq_rotation *hash) { return hash->factor[0] * (hash->factor[1] ? hash->factor[1] : 1); }
static inline int64_t sq__rotation_columns(const sq_rotation *hash) { return (hash->factor[0] + hash->factor[1]) / 2; }

size_t sq__rotation_workspace(const sq_rotation *hash);
/* buckets [rounds, n] of the rows of x. */
void sq__rotation_rows(const sq_rotation *hash, const float *rotations, const float *x, int64_t x_row, int64_t n, int32_t *buckets, void *workspace);

#endif
