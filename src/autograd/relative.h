/* Operations of models that keep rows of the past (Transformer-XL, Compressive Transformer, infinity-former). Depends on tape.h. */
#ifndef SQ_AUTOGRAD_RELATIVE_H
#define SQ_AUTOGRAD_RELATIVE_H

#include "autograd/tape.h"

/* Attention with relative positions (arXiv:1901.02860, 3.3) over lists of keys:
 *   out_i = softmax_j(((q_i + u) . k_j + (q_i + v) . r_d) / sqrt(D)) v_j,  d the steps from j back to i in the list, 0 <= d < window
 * A span is queries of one batch entry that share a list: rows from[0], from[0]+1, ... of kv, then rows from[1], ...; origin is the
 * place in the list at distance 0 from the span's first query. Queries in no span give zeros; rows of kv in no list are not read.
 * Never a T x N matrix: tiles are made again in backward. O(T window D) time. */
typedef struct sq_relative_span { int64_t entry, first, count, from[2], keys[2], origin; } sq_relative_span;

typedef struct sq_relative_inputs {
    sq_var *q, *kv;                    /* [B,T,H*D]; [B,N,2*H*D]: keys, then values */
    sq_var *r;                         /* [P,H*D], row P-1-d for distance d; NULL: no positions, and without a window everything is seen */
    sq_var *u, *v;                     /* [H*D] in any shape; NULL: none */
    int64_t heads, window;             /* window 0: no limit */
    const sq_relative_span *spans;     /* borrowed until reset; disjoint */
    int64_t span_count;
} sq_relative_inputs;
sq_var *sq__relative_attention(sq_tape *tape, const sq_relative_inputs *inputs);

/* Constant rows before x [B,T,E]: parts one after the other, `rows` rows per batch entry, entries `stride` floats apart. Copied at once. */
typedef struct sq_row_part { const float *at; int64_t rows, stride; } sq_row_part;
sq_var *sq__prepend_rows(sq_tape *tape, sq_var *x, const sq_row_part *parts, int count);   /* [B, rows + T, E] */

#endif
