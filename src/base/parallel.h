/* Parallel loops over independent items (OpenMP). Items write disjoint memory, so the bits of a result never
 * depend on the number of threads. Depends on nothing. */
#ifndef SQ_BASE_PARALLEL_H
#define SQ_BASE_PARALLEL_H

#include <stdint.h>

typedef void (*sq_item_fn)(void *context, int64_t item, int thread);   /* 0 <= thread < threads */
void sq__parallel(int threads, int64_t items, sq_item_fn run, void *context);
int sq__threads_available(void);

/* Threads that tensor operations above the attention layer use (autograd, nn, train); set once by the caller. Default 1. */
void sq__set_threads(int threads);
int sq__threads(void);

#endif
