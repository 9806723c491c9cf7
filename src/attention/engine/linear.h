/* Linear-state engine: attention whose weights are products of features, in O((T + N) F M) time and O(chunk F + F M) memory.
 *   out_i = (Q'_i S_i) / den(Q'_i . z_i),   S_i = sum_j K'_j' v_j  [F,M],   z_i = sum_j K'_j  [F]
 * over all visible keys, or over visible keys j <= i (causal: chunks with dense masked products inside, the state between).
 * With decay, S_i = g_i S_i-1 + K'_i' v_i and z_i likewise: the state forgets.
 * Features come chunk by chunk from a map; T x F or N x F is never held. Keys that are masked contribute nothing; a row that
 * sees no key gives zeros and takes and gives no gradient.
 *
 * Two kinds of map. A map of values gives Q' and K' themselves. A map of exponents gives log Q' and log K' (positive features);
 * the engine then keeps for each feature r a reference b_r = about the largest exponent among the keys so far, holds
 * S_r exp(-b_r), and shifts each query by its own largest q_ir + b_r. That is exact (every shift cancels in the quotient), the
 * denominator is at least 1, and nothing overflows or vanishes for inputs of any size. In causal order references come from
 * earlier keys alone; a key that exceeds them by more than exp(40) starts a new chunk.
 *
 * Backward mirrors this: queries are absorbed from the last to the first with exponents log Q' - log(denominator), so that
 * their references, too, are found on the way and every weight is a probability.
 *
 * Mechanisms that are one such scan for each head go through linear_heads.h.
 */
#ifndef SQ_ATTENTION_ENGINE_LINEAR_H
#define SQ_ATTENTION_ENGINE_LINEAR_H

#include "attention/kind.h"

typedef enum sq_linear_side { SQ_LINEAR_QUERIES, SQ_LINEAR_KEYS } sq_linear_side;

typedef struct sq_linear_map {
    void *context;
    /* f [rows,F]: features (or exponents) of rows first .. first+rows-1. */
    void (*features)(void *context, sq_linear_side side, int64_t first, int64_t rows, float *f);
    /* From df [rows,F], the gradient with respect to what features wrote, to the gradient of q or k; may overwrite df.
     * Values: f as features wrote them. Exponents: f is NULL. Every row of either side is visited exactly once. */
    void (*backward)(void *context, sq_linear_side side, int64_t first, int64_t rows, const float *f, float *df);
} sq_linear_map;

/* den(d) = d + per_feature * sum_r Q'_ir + add;  then, where |den| <= threshold, + lift;  then |den| if magnitude;  then at least
 * floor, whose side is flat. Maps of values only: with exponents den(d) = d. A denominator of 0 gives zeros. */
typedef struct sq_linear_denominator { float add, per_feature, threshold, lift, floor; bool magnitude; } sq_linear_denominator;
#define SQ_LINEAR_PLAIN ((sq_linear_denominator){ 0, 0, -1, 0, -INFINITY, false })

/* S [F,M] and z [F] of the keys absorbed so far; with exponents each feature r is divided by exp(reference[r]), and
 * reference is -inf until a visible key comes. z starts at the denominator's per_feature. */
typedef struct sq_linear_state { float *S, *z, *reference; } sq_linear_state;

typedef struct sq_linear {             /* one head */
    int64_t T, N, F, M;
    bool causal, exponents;
    bool normalised;                   /* exponents, not causal: each feature's keys sum to one (softmax over the keys) */
    float gain;                        /* normalised: out is multiplied by it; 0: 1 */
    int64_t bucket;                    /* values, causal: more than 1: a row sees all keys of earlier buckets of this many rows and none of its own */
    bool continued;                    /* forward, causal: go on from what state holds */
    const float *log_decay;            /* values, causal, no per_feature: [N] log g_j <= 0; masked keys do not decay. NULL: g = 1 */
    sq_linear_denominator denominator;
    sq_linear_map map;
    const float *v;                    /* [N,M] */
    const uint8_t *key_keep;           /* [N] or NULL */
    float *out;                        /* [T,M]: written by forward, read by backward */
    int64_t v_row, out_row;
    sq_linear_state state;             /* forward leaves the final state here; backward wants it if not causal. Normalised:
                                          S divided by z, z all 1, reference the logarithm of each feature's sum over the keys */
    float *rows;                       /* [T] of each row the denominator (values) or its logarithm (exponents), from forward to
                                          backward; NULL in a forward that nobody differentiates */
} sq_linear;

typedef struct sq_linear_gradients {
    const float *dout;                 /* [T,M] */
    float *dv;                         /* [N,M] */
    int64_t dout_row, dv_row;
    bool accumulate;                   /* dv is added to (grouped heads), else overwritten */
    float *dlog_decay;                 /* [max(T,N)]; with log_decay. Overwritten, also used on the way */
} sq_linear_gradients;

#define SQ_LINEAR_CHUNK 128

void sq__linear_shift(float *y, float a, int64_t n);   /* y += a; for maps, too */

size_t sq__linear_state_floats(int64_t F, int64_t M);
void sq__linear_state_place(sq_linear_state *state, float *floats, int64_t F, int64_t M);   /* pointers into [state_floats] */
size_t sq__linear_workspace(int64_t F, int64_t M, bool causal, sq_pass pass);               /* bytes for one head */
double sq__linear_flops(int64_t T, int64_t N, int64_t F, int64_t M, bool causal, sq_pass pass);   /* without the map */
void sq__linear_forward(sq_linear *linear, const sq_kernels *kernels, void *workspace);
void sq__linear_backward(const sq_linear *linear, const sq_linear_gradients *gradients, const sq_kernels *kernels, void *workspace);

#endif
