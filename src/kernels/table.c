/* Inventory of the vector kernels: one row per family and ISA, lowest ISA first. */
#include <pthread.h>

#include "base/cpu.h"
#include "kernels/overlay.h"

static const struct { sq_isa isa; void (*fill)(sq_kernels *table); } families[] = {
    { SQ_ISA_REFERENCE, sq__vector_ref },
    { SQ_ISA_REFERENCE, sq__norm_ref },
    { SQ_ISA_REFERENCE, sq__activation_ref },
    { SQ_ISA_REFERENCE, sq__softmax_ref },
    { SQ_ISA_REFERENCE, sq__trigonometry_ref },
    { SQ_ISA_REFERENCE, sq__hamming_ref },
#ifdef SQ_HAVE_X86
    { SQ_ISA_AVX2, sq__vector_avx2 },
    { SQ_ISA_AVX2, sq__norm_avx2 },
    { SQ_ISA_AVX2, sq__activation_avx2 },
    { SQ_ISA_AVX2, sq__softmax_avx2 },
    { SQ_ISA_AVX2, sq__trigonometry_avx2 },
    { SQ_ISA_AVX2, sq__hamming_avx2 },
    { SQ_ISA_AVX512, sq__vector_avx512 },
    { SQ_ISA_AVX512, sq__norm_avx512 },
    { SQ_ISA_AVX512, sq__activation_avx512 },
    { SQ_ISA_AVX512, sq__softmax_avx512 },
    { SQ_ISA_AVX512, sq__trigonometry_avx512 },
#endif
};

#ifdef SQ_HAVE_X86
enum { COMPILED = SQ_ISA_AVX512 };
#else
enum { COMPILED = SQ_ISA_REFERENCE };
#endif

static sq_kernels tables[SQ_ISA_COUNT];
static const sq_kernels *chosen;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Overlay files are compiled for their ISA throughout, filling included: none may run on a processor without it. */
static void fill_tables(void)
{
    const int detected = (int)sq__cpu_detected();
    for (int isa = 0; isa <= COMPILED && isa <= detected; isa++) {
        for (size_t i = 0; i < sizeof families / sizeof *families; i++)
            if ((int)families[i].isa <= isa) families[i].fill(&tables[isa]);
        tables[isa].isa = sq__isa_name((sq_isa)isa);
    }
    chosen = &tables[(int)sq__cpu_isa() <= COMPILED ? (int)sq__cpu_isa() : COMPILED];
}

const sq_kernels *sq__kernels_for(int isa)
{
    if (isa < 0 || isa > COMPILED || isa > (int)sq__cpu_detected()) return NULL;
    pthread_once(&once, fill_tables);
    return &tables[isa];
}

const sq_kernels *sq__kernels(void)
{
    pthread_once(&once, fill_tables);
    return chosen;
}
