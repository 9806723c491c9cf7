/* Counter-based random numbers (Random123 Philox4x32-10): a draw is a pure function of (seed, stream, index),
 * so results do not depend on order of work or number of threads. Depends on nothing. */
#ifndef SQ_BASE_RANDOM_H
#define SQ_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* One stream of draws. Make streams by purpose: sq__random_stream(seed, "dropout", step). */
typedef struct sq_random { uint64_t seed, stream; } sq_random;

sq_random sq__random_stream(uint64_t seed, const char *purpose, uint64_t number);

uint32_t sq__random_u32(const sq_random *random, uint64_t index);
uint64_t sq__random_u64(const sq_random *random, uint64_t index);
double sq__random_uniform(const sq_random *random, uint64_t index);                  /* [0, 1), 53 bits */
uint64_t sq__random_below(const sq_random *random, uint64_t index, uint64_t bound);  /* 0 .. bound-1 */
double sq__random_normal(const sq_random *random, uint64_t index);                   /* mean 0, variance 1 */
void sq__random_normal_fill(const sq_random *random, float *out, int64_t count, float scale);
void sq__random_uniform_fill(const sq_random *random, float *out, int64_t count, float low, float high);
void sq__random_permutation(const sq_random *random, int64_t *out, int64_t count);   /* Fisher-Yates of 0 .. count-1 */
/* keep[i] = uniform(first + i) >= p, as bytes: dropout masks. Vectorised: 4 values per Philox block. */
void sq__random_keep_fill(const sq_random *random, uint64_t first, uint8_t *keep, int64_t count, float p);

uint64_t sq__hash_text(const char *text);                                            /* FNV-1a 64 */
uint64_t sq__hash_bytes(const void *data, size_t bytes, uint64_t start);

#endif
