#include "base/parallel.h"

#include <omp.h>
#include <stdatomic.h>

static atomic_int chosen = 1;

void sq__parallel(int threads, int64_t items, sq_item_fn run, void *context)
{
    if (threads > items) threads = (int)items;
    if (threads <= 1 || omp_in_parallel()) {
        for (int64_t item = 0; item < items; item++) run(context, item, 0);
        return;
    }
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
    for (int64_t item = 0; item < items; item++) run(context, item, omp_get_thread_num());
}

int sq__threads_available(void) { return omp_get_num_procs(); }
void sq__set_threads(int threads) { atomic_store(&chosen, threads < 1 ? 1 : threads); }
int sq__threads(void) { return atomic_load(&chosen); }
