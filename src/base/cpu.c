#include "base/cpu.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const names[SQ_ISA_COUNT] = { "reference", "avx2", "avx512" };

sq_isa sq__cpu_detected(void)
{
#if defined(SQ_HAVE_X86)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl"))
        return SQ_ISA_AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return SQ_ISA_AVX2;
#endif
    return SQ_ISA_REFERENCE;
}

sq_isa sq__cpu_isa(void)
{
    sq_isa best = sq__cpu_detected();
    const char *cap = getenv("SUBQUAD_ISA");
    for (int isa = 0; cap && isa < (int)best; isa++)
        if (strcmp(cap, names[isa]) == 0) return (sq_isa)isa;
    return best;
}

bool sq__cpu_plain(void)
{
    const char *cap = getenv("SUBQUAD_ISA");
    return cap && strcmp(cap, names[SQ_ISA_REFERENCE]) == 0;
}

const char *sq__isa_name(sq_isa isa)
{
    return names[isa];
}

double sq__clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
