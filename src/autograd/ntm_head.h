/* One head of a Neural Turing Machine on one sequence's memory, and its way back. memory is [M, N]: loops run along the slots.
 * `rules` are the numbers that rule a head, in the order of ntm.h. Depends on ntm.h, kernels. */
#ifndef SQ_AUTOGRAD_NTM_HEAD_H
#define SQ_AUTOGRAD_NTM_HEAD_H

#include "autograd/ntm.h"

/* What addressing keeps, rows of N: cosines, 1 / |memory_i|, w_c, w. */
enum { SQ_NTM_COSINE, SQ_NTM_INVERSE, SQ_NTM_CONTENT, SQ_NTM_WEIGHT, SQ_NTM_KEPT };

int64_t sq__ntm_head_scratch(const sq_ntm_shape *shape);   /* floats */

void sq__ntm_activate(const sq_ntm_shape *shape, bool writes, float *rules);
/* d: of the activated rules -> of what came before */
void sq__ntm_activate_back(const sq_ntm_shape *shape, bool writes, const float *rules, float *d);

void sq__ntm_address(const sq_ntm_shape *shape, const float *rules, const float *memory, const float *before, float *kept, float *scratch);
/* dw [N] is that of w; afterwards it is that of `before`. drules, dmemory are ADDED to. */
void sq__ntm_address_back(const sq_ntm_shape *shape, const float *rules, const float *memory, const float *before, const float *kept, float *dw,
                          float *drules, float *dmemory, float *scratch);

void sq__ntm_read(const sq_ntm_shape *shape, const float *memory, const float *w, float *read);
void sq__ntm_read_back(const sq_ntm_shape *shape, const float *memory, const float *w, const float *dread, float *dw, float *dmemory);
void sq__ntm_write(const sq_ntm_shape *shape, const float *rules, const float *w, float *memory);
/* memory: before the write. dmemory goes from that after the write to that before it; dw is ADDED to; drules of erase and add are set. */
void sq__ntm_write_back(const sq_ntm_shape *shape, const float *rules, const float *memory, const float *w, float *dw, float *drules, float *dmemory);

#endif
