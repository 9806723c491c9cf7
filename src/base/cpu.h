/* What the processor can do, capped by the environment variable SUBQUAD_ISA (reference, avx2, avx512). Depends on nothing. */
#ifndef SQ_BASE_CPU_H
#define SQ_BASE_CPU_H

#include <stdbool.h>

typedef enum sq_isa { SQ_ISA_REFERENCE, SQ_ISA_AVX2, SQ_ISA_AVX512, SQ_ISA_COUNT } sq_isa;

sq_isa sq__cpu_isa(void);            /* detected and capped; constant during the process */
sq_isa sq__cpu_detected(void);
bool sq__cpu_plain(void);            /* SUBQUAD_ISA=reference: plain C alone is wanted, not only no vector code of ours */
const char *sq__isa_name(sq_isa isa);

double sq__clock(void);              /* seconds, monotonic */

#endif
