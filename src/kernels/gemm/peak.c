/* What this core can do at best: a block product whose operands stay in the first-level caches. */
#include <pthread.h>

#include "base/cpu.h"
#include "kernels/gemm/gemm.h"

static double peak;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void measure(void)
{
    enum { SIDE = 64, REPEAT = 64 };
    static float a[SIDE * SIDE], b[SIDE * SIDE], c[SIDE * SIDE];
    const sq_block block = sq__block(false, SIDE, SIDE, SIDE, SIDE, SIDE, SIDE, false);

    for (int i = 0; i < SIDE * SIDE; i++) a[i] = b[i] = 1.0f / SIDE;
    const double start = sq__clock();
    for (double now = start, from = start; now - start < 0.05; from = now) {
        for (int i = 0; i < REPEAT; i++) sq__block_run(&block, a, b, c);
        now = sq__clock();
        const double rate = 2.0 * SIDE * SIDE * SIDE * REPEAT / (now - from) / 1e9;
        if (rate > peak) peak = rate;
    }
}

double sq__gemm_peak_gflops(void)
{
    pthread_once(&once, measure);
    return peak;
}
