/* What forward and backward of relative attention share: a call, its blocks of queries, one worker's memory. Only relative*.c include this. */
#ifndef SQ_AUTOGRAD_RELATIVE_BLOCK_H
#define SQ_AUTOGRAD_RELATIVE_BLOCK_H

#include "attention/engine/relative.h"
#include "autograd/ops.h"
#include "autograd/relative.h"

enum { RELATIVE_Q, RELATIVE_KV, RELATIVE_R, RELATIVE_U, RELATIVE_V, RELATIVE_INPUTS };
enum { RELATIVE_BLOCK = 64 };          /* queries: a query tile of the dense engine */

typedef struct sq_relative_attributes { int64_t heads, window, span_count; const sq_relative_span *spans; } sq_relative_attributes;

typedef struct sq_relative_call {
    sq_relative_attributes a;
    int64_t B, T, N, H, D, P;
    int64_t blocks, most;              /* of queries; most keys of one */
    bool split;                        /* some block's keys lie in two pieces */
    const float *q, *kv, *r, *u, *v;
    float *out, *lse;                  /* lse [B,H,T], NULL: not kept */
    sq_pass pass;
    char *scratch;
    size_t per_thread;
    const float *dout;                 /* backward */
    float *dq, *dkv, *sums;            /* dkv NULL: not wanted; sums [groups, P + 2, H*D]: gradients of r, u, v */
    int64_t groups;
} sq_relative_call;

typedef struct sq_relative_worker {    /* cut from one thread's scratch */
    float *qu, *qv, *dqu, *dqv;        /* [RELATIVE_BLOCK, D] */
    float *k, *v, *dk, *dv;            /* [most, D]: gathered keys, or gradients that nobody wants */
    float *relative;
    void *dense;
} sq_relative_worker;

typedef struct sq_relative_block {     /* queries of one head, and the keys they can see */
    int64_t entry, head, first, count; /* rows of q */
    int64_t at, keys, origin;          /* the list from its place `at` on; distance of query 0 from the first of them */
    const sq_relative_span *span;
    sq_dense dense;
    sq_relative relative;
    float *dk, *dv;
    int64_t dkv_row;
    bool gathered;
} sq_relative_block;

sq_relative_call sq__relative_call(const sq_node *node, sq_pass pass);
size_t sq__relative_cut(const sq_relative_call *call, void *base, sq_relative_worker *worker);   /* bytes of one thread */
/* Block number `index` for a head; its keys and queries made ready. */
void sq__relative_block(const sq_relative_call *call, const sq_relative_worker *worker, int64_t index, int64_t head, sq_relative_block *block);
int64_t sq__relative_row(const sq_relative_block *block, int64_t j);   /* row of kv of key j of the block */
int sq__relative_threads(const sq_relative_call *call);
void sq__relative_backward(sq_tape *tape, sq_node *node);

#endif
