/* Small arithmetic of sizes and counts. Depends on nothing. */
#ifndef SQ_BASE_INTEGERS_H
#define SQ_BASE_INTEGERS_H

#include <stdint.h>

static inline int64_t sq__least(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t sq__most(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t sq__divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }          /* a >= 0, b >= 1 */
static inline int64_t sq__round_up(int64_t a, int64_t step) { return sq__divide_up(a, step) * step; }

#endif
