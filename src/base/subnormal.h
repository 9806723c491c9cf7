/* Arithmetic on subnormal numbers is a hundred times slower on many processors. Between off and restore this thread takes them
 * as 0, where the processor can; a caller whose sums hold much larger terms loses nothing. Depends on nothing. */
#ifndef SQ_BASE_SUBNORMAL_H
#define SQ_BASE_SUBNORMAL_H

#if defined(__SSE2__)
#include <xmmintrin.h>

static inline unsigned sq__subnormals_off(void)
{
    const unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040);       /* flush results to zero, take operands as zero */
    return before;
}

static inline void sq__subnormals_restore(unsigned before)
{
    _mm_setcsr((_mm_getcsr() & ~0x8040u) | (before & 0x8040u));   /* exceptions raised meanwhile stay visible */
}
#else
static inline unsigned sq__subnormals_off(void) { return 0; }
static inline void sq__subnormals_restore(unsigned before) { (void)before; }
#endif

#endif
