/* Attention by name: list the mechanisms, make a plan, run it forward and backward.
 *
 * A plan is immutable and may be used by many threads at once, each with its own call.
 * All checking happens in sq_attention_create; execution neither allocates nor fails.
 * Letters: B batch, H heads, T queries, N keys, D head size of q and k, M head size of v and out.
 */
#ifndef SUBQUAD_ATTENTION_H
#define SUBQUAD_ATTENTION_H

#include "subquad/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the registry ---- */

/* What a mechanism can do; one column of the semantics matrix each. */
#define SQ_CAN_TABLE(X)                                                             \
    X(SQ_CAN_CAUSAL, 0, "causal", "query i sees keys up to i only")                 \
    X(SQ_CAN_CROSS, 1, "cross", "number of keys differs from number of queries")    \
    X(SQ_CAN_LENGTHS, 2, "lengths", "a length per batch entry; later keys unseen")  \
    X(SQ_CAN_MASK, 3, "mask", "arbitrary key padding and query-key masks")          \
    X(SQ_CAN_GROUPED, 4, "grouped", "fewer key heads than query heads")             \
    X(SQ_CAN_STREAM, 5, "stream", "token by token with a state")                    \
    X(SQ_CAN_KEY_MASK, 6, "key-mask", "any keys hidden from all queries")           \
    X(SQ_CAN_GLOBAL, 7, "global", "tokens chosen at run time that see all and are seen by all") \
    X(SQ_CAN_BIAS, 8, "bias", "a bias by distance on the scores: ALiBi or learned") \
    X(SQ_CAN_ROTARY, 9, "rotary", "queries and keys turned by their positions")
enum {
#define SQ_CAN_ENUM(code, bit, name, help) code = 1 << bit,
    SQ_CAN_TABLE(SQ_CAN_ENUM)
#undef SQ_CAN_ENUM
    SQ_CAUSAL_ONLY = 1 << 10,         /* beside SQ_CAN_CAUSAL: a recurrence over earlier tokens, which has no other plans */
};

typedef enum sq_option_type { SQ_OPTION_INT, SQ_OPTION_FLOAT, SQ_OPTION_BOOL, SQ_OPTION_CHOICE, SQ_OPTION_TEXT } sq_option_type;

/* One declared option. Command-line flags, YAML keys, help and checkpoint metadata come from it. */
typedef struct sq_option_info {
    const char *name, *help;
    sq_option_type type;
    const char *default_text;
    double minimum, maximum;          /* INT and FLOAT, inclusive */
    const char *const *choices;       /* CHOICE: NULL-terminated, else NULL */
} sq_option_info;

typedef struct sq_mechanism_info {
    const char *name, *title, *paper, *cost;   /* cost: e.g. "O(n r) time, O(r) memory" */
    unsigned can;                              /* SQ_CAN_* */
    int option_count;
} sq_mechanism_info;

SQ_API int sq_mechanism_count(void);
SQ_API sq_status sq_mechanism_get(int index, sq_mechanism_info *info);
SQ_API int sq_mechanism_find(const char *name);                       /* index, or -1 */
SQ_API sq_status sq_mechanism_option(int index, int option, sq_option_info *info);

/* ---- a plan ---- */

typedef struct sq_option { const char *key, *value; } sq_option;

/* Added to the scaled score of query i and key j. ALIBI (arXiv:2108.12409): -2^(-8(h+1)/H) |i - j|. RELATIVE (after arXiv:1803.02155):
 * a trained number for each head and each distance j - i, clipped to bias_distance; the plan appends its tensor "bias". */
typedef enum sq_bias_kind { SQ_BIAS_NONE, SQ_BIAS_ALIBI, SQ_BIAS_RELATIVE } sq_bias_kind;

typedef struct sq_attention_desc {
    const char *mechanism;
    const sq_option *options;     /* may be NULL */
    int option_count;
    int64_t B, H, T, N, D, M;     /* all >= 1 */
    int64_t key_heads;            /* 0: H; else a divisor of H (SQ_CAN_GROUPED) */
    int64_t max_length;           /* largest N that learned tensors must serve; 0: N */
    bool causal;
    bool lengths;                 /* executions may give lengths */
    bool mask;                    /* executions may give key_keep or pair_keep (SQ_CAN_MASK) */
    bool key_mask;                /* executions may give key_keep alone (SQ_CAN_KEY_MASK or SQ_CAN_MASK) */
    float scale;                  /* 0: 1/sqrt(D) */
    int threads;                  /* 0: 1 */
    uint64_t seed;                /* of everything the mechanism draws while it runs */
    bool global_tokens;           /* executions may give global_tokens (SQ_CAN_GLOBAL) */
    sq_bias_kind bias;            /* SQ_CAN_BIAS */
    int64_t bias_distance;        /* RELATIVE: longer distances share the bias of this one; 0: 128 */
    bool rotary;                  /* q and k will come turned by their positions (SQ_CAN_ROTARY) */
    int layer;                    /* 0-based place in the model; some patterns alternate */
} sq_attention_desc;

typedef struct sq_attention sq_attention;

/* SQ_NOT_FOUND: unknown mechanism or option (the nearest is named); SQ_INVALID: a value out of range;
 * SQ_UNSUPPORTED: the mechanism cannot do what is asked (the reason names one that can). */
SQ_API sq_status sq_attention_create(sq_attention **plan, const sq_attention_desc *desc, sq_error *error);
SQ_API void sq_attention_destroy(sq_attention **plan);   /* NULL allowed; sets *plan to NULL */

typedef enum sq_pass { SQ_FORWARD, SQ_BACKWARD } sq_pass;
SQ_API size_t sq_attention_workspace_bytes(const sq_attention *plan, sq_pass pass);
SQ_API size_t sq_attention_saved_bytes(const sq_attention *plan);     /* forward -> backward; 0: nothing is saved */
SQ_API double sq_attention_flops(const sq_attention *plan, sq_pass pass); /* floating-point operations of one call */

/* ---- tensors that belong to the mechanism (Linformer's E and F, Performer's projection, ...) ---- */

typedef struct sq_attention_tensor {
    const char *name;
    int rank;
    int64_t shape[4];
    bool trainable;               /* false: a random draw or constant, saved with the model, no gradient */
} sq_attention_tensor;

SQ_API int sq_attention_tensor_count(const sq_attention *plan);
SQ_API sq_status sq_attention_tensor_get(const sq_attention *plan, int index, sq_attention_tensor *info);
/* Fill tensor `index` with its initial value; draw counts redraws from 0. Same (seed, draw): same values. */
SQ_API sq_status sq_attention_tensor_init(const sq_attention *plan, int index, uint64_t seed, uint64_t draw, float *data);

/* A tensor without gradient that follows the data (routing's means): a training pass gives its next value in call->moved, and the caller puts it
 * in the tensor's place when he likes. */
SQ_API bool sq_attention_moves(const sq_attention *plan, int index);

/* What a mechanism reads beside q, k, v: further projections of the same tokens (Longformer's global queries, gates). */
typedef struct sq_attention_input {
    const char *name;
    int64_t width;
    bool of_keys;                 /* one row per key, else one per query; always all H heads: [B, N or T, H, width] */
    bool turned;                  /* meets queries or keys in a product: rotary positions turn it, too */
} sq_attention_input;

SQ_API int sq_attention_input_count(const sq_attention *plan);
SQ_API sq_status sq_attention_input_get(const sq_attention *plan, int index, sq_attention_input *info);

/* What a mechanism does not read: its view may be { NULL }, its gradient (if asked for) is 0. */
enum { SQ_READS_QUERY = 1, SQ_READS_KEY = 2 };
SQ_API unsigned sq_attention_ignores(const sq_attention *plan);

/* ---- execution ---- */

/* A non-owning 4-D view: element (b, t, h, d) at data[b*batch + t*row + h*head + d].
 * [B,T,H,D]: batch T*H*D, row H*D, head D. [B,H,T,D]: batch H*T*D, head T*D, row D. */
typedef struct sq_view { float *data; int64_t batch, row, head; } sq_view;

SQ_API sq_view sq_view_bthd(const float *data, int64_t T, int64_t H, int64_t D);
SQ_API sq_view sq_view_bhtd(const float *data, int64_t T, int64_t H, int64_t D);

typedef struct sq_attention_call {
    sq_view q, k, v, out;          /* [B,T,H,D] [B,N,Hk,D] [B,N,Hk,M] [B,T,H,M]; no aliasing of out */
    const int32_t *lengths;        /* [B] keys beyond are unseen; NULL: all N */
    const int32_t *query_lengths;  /* [B] rows beyond are not computed: out and their gradient are 0; NULL: all T */
    const uint8_t *key_keep;       /* [B,N] 1: may be seen; NULL */
    const uint8_t *pair_keep;      /* [T,N] 1: may be seen; NULL */
    float *const *tensors;         /* one pointer per mechanism tensor, in table order */
    void *saved;                   /* sq_attention_saved_bytes; NULL if no backward follows */
    void *workspace;               /* sq_attention_workspace_bytes of the pass, 64-byte aligned */
    uint64_t step;                 /* counter of draws made while running (sampling); the same forward and backward */
    bool training;
    float *auxiliary;              /* if not NULL: receives the regulariser, weighted already; a mechanism without one leaves it alone */
    const sq_view *inputs;         /* one per further input, in order; NULL when there are none */
    const uint8_t *global_tokens;  /* [B,N] 1: a global token; NULL: none */
    float *const *moved;           /* out, one per mechanism tensor: next values of those that move; NULL, or NULL entries: not wanted */
} sq_attention_call;

typedef struct sq_attention_gradients {
    sq_view dout;                  /* in */
    sq_view dq, dk, dv;            /* out, overwritten; no aliasing of inputs */
    float *const *dtensors;        /* out, ADDED to; one per mechanism tensor, NULL entries where not trainable */
    float dauxiliary;              /* in: gradient of the loss with respect to *auxiliary */
    const sq_view *dinputs;        /* out, overwritten; one per further input; NULL when there are none */
} sq_attention_gradients;

SQ_API void sq_attention_forward(const sq_attention *plan, const sq_attention_call *call);
/* The same call, with the `saved` that the forward filled, its `out`, and a backward workspace. */
SQ_API void sq_attention_backward(const sq_attention *plan, const sq_attention_call *call, const sq_attention_gradients *gradients);

/* ---- streaming (SQ_CAN_STREAM): a causal plan continued from a state of fixed size ---- */

/* Bytes for all B and H; 0: this plan cannot stream. Plans that differ in T = N alone share states. */
SQ_API size_t sq_attention_state_bytes(const sq_attention *plan);
SQ_API void sq_attention_state_reset(const sq_attention *plan, void *state);   /* nothing seen yet */
/* The plan's T = N rows come after all that state has seen: out as the causal forward over the whole sequence gives, state moves on.
 * Forward workspace; saved is not used. A copy of a state's bytes is a state. A batch may be ragged: with `lengths` an entry that is shorter
 * than the call goes on where it ended. */
SQ_API void sq_attention_step(const sq_attention *plan, const sq_attention_call *call, void *state);

#ifdef __cplusplus
}
#endif
#endif
