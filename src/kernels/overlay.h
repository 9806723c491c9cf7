/* The table is built in layers: the reference fills every slot, then each ISA up to the wanted one overwrites what it
 * does better. A file of an ISA family adds its own slots by one function here. Depends on kernels.h. */
#ifndef SQ_KERNELS_OVERLAY_H
#define SQ_KERNELS_OVERLAY_H

#include "kernels/kernels.h"

void sq__vector_ref(sq_kernels *table);
void sq__norm_ref(sq_kernels *table);
void sq__activation_ref(sq_kernels *table);
void sq__softmax_ref(sq_kernels *table);
void sq__trigonometry_ref(sq_kernels *table);
void sq__hamming_ref(sq_kernels *table);

#ifdef SQ_HAVE_X86
void sq__vector_avx2(sq_kernels *table);
void sq__norm_avx2(sq_kernels *table);
void sq__activation_avx2(sq_kernels *table);
void sq__softmax_avx2(sq_kernels *table);
void sq__trigonometry_avx2(sq_kernels *table);
void sq__hamming_avx2(sq_kernels *table);
void sq__vector_avx512(sq_kernels *table);
void sq__norm_avx512(sq_kernels *table);
void sq__activation_avx512(sq_kernels *table);
void sq__softmax_avx512(sq_kernels *table);
void sq__trigonometry_avx512(sq_kernels *table);
#endif

#endif
