/* Engine of gated linear recurrences: a matrix S [D,M] for each head that every token decays, corrects and writes to.
 *   S_t = (I - b_t k_t k_t') diag(exp g_t) S_t-1 + b_t k_t v_t'      delta rule: what k_t reads is replaced by v_t
 *   S_t = diag(exp g_t) S_t-1 + k_t v_t'                             without it
 *   out_t = scale S_t' q_t + skip v_t                                g_t <= 0 one number for a token, or one for each of the D features
 * In O(n (C (D + M) + D M)) time for chunks of C = 64 tokens. With L the sum of g since the chunk's start, S its state there:
 *   P_ij = sum_d q_id k_jd exp(L_id - L_jd), j <= i;   A_ij = sum_d k_id k_jd exp(L_id - L_jd), j < i
 *   U = (I + diag(b) A)^-1 diag(b) (V - (k exp L) S)   (the UT transform of arXiv:2406.06484; without delta rule U = V)
 *   out = (q exp L) S + P U,   S' = exp(L_end) S + (k exp(L_end - L))' U
 * Only differences L_i - L_j <= 0 are ever exponentiated, so nothing overflows and nothing is divided by what has vanished: with a decay for each
 * feature the keys before 16 rows are taken relative to where these begin, and inside of the 16 every pair by itself.
 *
 * Without delta rule all chunks of all heads are independent but for a scan of the states, element by element; with it chunks follow each other
 * inside a head and only outputs and gradients are shared out by chunk. Kept from forward to backward: the state before each chunk
 * (n D M / 64 numbers a head) and, with delta rule, U. Bits do not depend on threads.
 *
 * A token that is hidden or lies beyond its length leaves the state as it is. Gradients of what heads share are summed in their order.
 * Depends on kind.h. */
#ifndef SQ_ATTENTION_ENGINE_GATED_H
#define SQ_ATTENTION_ENGINE_GATED_H

#include "attention/kind.h"

enum { SQ_GATED_CHUNK = 64 };

typedef enum sq_gated_gate {
    SQ_GATE_NONE,                      /* g = 0 */
    SQ_GATE_FIXED,                     /* g = a number for each head */
    SQ_GATE_SIGMOID,                   /* g = log sigmoid(x) / temperature */
    SQ_GATE_SOFTPLUS,                  /* g = -exp(rate_h) s, s = softplus(x + bias_h) */
} sq_gated_gate;

typedef struct sq_gated_rule {
    int64_t D, M;
    bool delta;                        /* b = strength sigmoid(x) */
    bool unit;                         /* q and k are made vectors of length 1; the direction of a zero vector is zero */
    bool weighs;                       /* SOFTPLUS: keys are multiplied by s; not with unit */
    bool skips;
    sq_gated_gate gate;
    int64_t width;                     /* of x in the gate: 1, or D: a decay for each feature (SIGMOID) */
    float scale, temperature, strength;
} sq_gated_rule;

/* Rows of one operand: head h reads head h / (H / heads) of the view. */
typedef struct sq_gated_rows { sq_view view; int64_t heads; } sq_gated_rows;

typedef struct sq_gated {
    sq_gated_rule rule;
    const sq_kernels *kernels;
    int threads;
    int64_t B, H, T, N;                /* rows t of q and out, of k, v, gate and strength */
    sq_gated_rows q, k, v, gate, strength;   /* [D] [D] [M] [width] [1] */
    sq_view out;                       /* H heads */
    const int32_t *lengths, *query_lengths;   /* of keys; of queries; NULL: all */
    const uint8_t *key_keep;           /* [B,N] or NULL */
    const float *fixed, *rate, *bias, *skip;   /* [H] */
    const float *before;               /* [B,H,D,M] the state to begin from; NULL: zero */
    float *after;                      /* [B,H,D,M] the state left; may be before; NULL: not wanted */
    void *saved, *workspace;           /* saved NULL: nobody goes back */
} sq_gated;

typedef struct sq_gated_gradients {
    sq_view dout;
    sq_gated_rows dq, dk, dv, dgate, dstrength;   /* overwritten; heads as the operands'. data NULL: not wanted */
    float *drate, *dbias, *dskip;      /* [H], ADDED to */
    const float *dafter;               /* [B,H,D,M] gradient of the state left; NULL: none */
    float *dbefore;                    /* [B,H,D,M] of the state begun from, overwritten; NULL: not wanted */
} sq_gated_gradients;

size_t sq__gated_saved_bytes(const sq_gated *gated);                       /* these three read sizes, rule and threads alone */
size_t sq__gated_workspace_bytes(const sq_gated *gated, sq_pass pass);
double sq__gated_flops(const sq_gated *gated, sq_pass pass);
void sq__gated_forward(const sq_gated *gated);
void sq__gated_backward(const sq_gated *gated, const sq_gated_gradients *gradients);

#endif
