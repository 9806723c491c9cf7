/* Memory that is searched: each query and head finds the rows whose keys meet it best, and attends to these (Memorizing Transformer,
 * arXiv:2203.08913). Depends on tape.h. */
#ifndef SQ_AUTOGRAD_RETRIEVED_H
#define SQ_AUTOGRAD_RETRIEVED_H

#include "autograd/tape.h"

/* Rows of keys and values that may be found: number i of `past` (constant, [B,past_rows,2*H*D], keys then values), then of `now`
 * [B,N,2*H*D] as past_rows + i. past NULL: none. */
typedef struct sq_memory_rows { const float *past; int64_t past_rows; sq_var *now; } sq_memory_rows;

/* Which of them query t of stream b may find: of `past`, a ring, all but the max(hidden, t) rows from slot `oldest` on (cyclically); of
 * `now`, rows from max(first, t - reach) to before t - behind. */
typedef struct sq_memory_view { int64_t oldest, hidden, first, reach, behind; } sq_memory_view;

/* The `topk` rows of largest q . k for each query and head, exactly, of equal ones the lower number: [B,T,H,topk], in rising order, -1 where
 * there are fewer. Queries beyond lengths (NULL: all) find none. No gradient. O(T rows D) time by products of 64 queries with 256 keys. */
const int32_t *sq__nearest_rows(sq_tape *tape, const sq_var *q, const sq_memory_rows *memory, const sq_memory_view *views, const int32_t *lengths,
                                int64_t heads, int64_t topk);

/* found_t = softmax_j(scale exp(temperature_h) q_t . k_j) v_j over the rows of the list,   out = local + sigmoid(gate_h) (found - local)
 * q, local, out [B,T,H*D], lists as above, temperature [H] (NULL: 0), gate [H] with local, both or neither: out is then what was found.
 * Where nothing is found: local, or 0. The gradient goes to q, gate, temperature and local; to `now` only with `learns`. */
typedef struct sq_retrieved {
    sq_var *q, *temperature, *local, *gate;
    sq_memory_rows memory;             /* past is copied where a gradient may be asked for */
    const int32_t *list;               /* borrowed until reset */
    int64_t heads, topk;
    float scale;
    bool learns;
} sq_retrieved;
sq_var *sq__retrieved(sq_tape *tape, const sq_retrieved *inputs);

#endif
