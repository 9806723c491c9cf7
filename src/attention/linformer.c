/* Linformer, arXiv:2006.04768: keys and values are compressed along the sequence before exact attention.
 *   out = softmax(scale q (E k)') (F v)
 * q [T,D]; k [N,D]; v [N,M]; out [T,M]; E, F [rank, max_length], the first N columns used. O((T+N) rank (D+M)) time; memory beside
 * q, k, v, out grows with T only (log-sum-exp). Saves the compressed keys and values. At most max_length rows: rank is capped there.
 * Grouped heads: query head h reads key head h / (H/Hk); `sharing none` has one E and F per key head.
 *
 * lengths: an entry of length n is computed exactly as if N were n. key-mask: hidden rows of k and v are zeros before compression; the
 * compressed softmax itself is not masked, so rows of E k that are zero keep their share of it. A query without any key gives zeros.
 * E and F mix positions, so there is no causal form. `pseudo_causal` is what tatp22/linformer-pytorch calls causal: query i sees
 * compressed rows up to i. It hides nothing of the future.
 *
 * Initial E, F: normal with variance 1/max_length, so that compressed keys have the scale of keys; the paper's 1/rank makes scores grow
 * with sqrt(N/rank) and saturates the softmax of long sequences. Departs from the paper there, and in offering tatp22's bias.
 *
 * How public implementations map onto this (F' etc.: transposed to the shape of ../shared/golden's README):
 *   core_        sharing headwise, E and F as stored, leading axis 1; max_length = columns of E
 *   lucidrains_  as core_ with E, F transposed; share_kv: sharing key-value and v = k (dk is the sum of both); one_kv_head: one key head
 *   fairseq_     E x, then the projection, is the projection without bias, then E: k = x wk', v = x wv', sharing headwise (key-value when
 *                F = E). The bias of k adds the same to all scores of a query, so it drops out; the bias of v is added to out
 *   tatp22_      sharing none / headwise / key-value as named (kv); method learnable with bias; no_params: method fixed (learnable without
 *                bias when the gradient of E is asked), E transposed; convolution: method convolution with bias. input_keep: key-mask;
 *                query_keep: rows of q set to zero by the caller; causal: pseudo_causal
 */
#include <math.h>
#include <string.h>

#include "attention/linformer.h"
#include "base/random.h"
#include "base/status.h"

enum { KEYS = SQ_LINFORMER_KEYS, VALUES = SQ_LINFORMER_VALUES, QUERIES = 256 };

static const char *const sharings[] = { "none", "headwise", "key-value", "layerwise", NULL };
static const char *const methods[] = { "learnable", "fixed", "mean-pool", "convolution", NULL };

static const sq_field fields[] = {
    SQ_INT(sq_linformer_config, rank, "64", 1, 1 << 20, "rows that keys and values are compressed to (at most max_length)"),
    SQ_CHOICE(sq_linformer_config, sharing, "headwise", sharings, "what shares a projection: nothing, heads, also keys and values, also layers"),
    SQ_CHOICE(sq_linformer_config, method, "learnable", methods, "how the sequence is compressed"),
    SQ_BOOL(sq_linformer_config, bias, "false", "bias of the projection"),
    SQ_BOOL(sq_linformer_config, pseudo_causal, "false", "query i sees compressed rows up to i (not causality)"),
    SQ_FIELDS_END
};

/* ---- what a call looks like ---- */

sq_linformer_shape sq__linformer_shape(const sq_linformer_config *config, const sq_problem *p)
{
    const int64_t rank = config->rank < p->max_length ? config->rank : p->max_length;
    sq_linformer_shape s = { .rows = rank, .window = (p->max_length + rank - 1) / rank, .method = SQ_COMPRESS_LINEAR };
    if (config->method == SQ_LINFORMER_MEAN_POOL) s.method = SQ_COMPRESS_MEAN;
    if (config->method == SQ_LINFORMER_CONVOLUTION) s.method = SQ_COMPRESS_CONVOLUTION;
    if (s.method != SQ_COMPRESS_LINEAR) s.rows = (p->N + s.window - 1) / s.window;
    s.projections = config->sharing == SQ_LINFORMER_NONE ? p->Hk : 1;
    s.weights = config->method != SQ_LINFORMER_MEAN_POOL;
    s.joint = config->sharing == SQ_LINFORMER_KEY_VALUE || config->sharing == SQ_LINFORMER_LAYERWISE;
    s.bias = config->bias && (config->method == SQ_LINFORMER_LEARNABLE || config->method == SQ_LINFORMER_CONVOLUTION);
    s.state = s.rows * (p->D + p->M);
    s.queries = config->pseudo_causal && s.rows > QUERIES ? s.rows : QUERIES;   /* then all ranges but the first see every row */
    if (s.queries > p->T) s.queries = p->T;
    return s;
}

/* Compressed rows that an entry of n keys has. */
int64_t sq__linformer_rows(const sq_linformer_shape *s, int64_t n)
{
    return s->method == SQ_COMPRESS_LINEAR ? s->rows : (n + s->window - 1) / s->window;
}

int sq__linformer_weight(const sq_linformer_shape *s, int side) { return s->joint ? 0 : side; }
int sq__linformer_bias(const sq_linformer_shape *s, int side)   { return s->joint ? 1 : 2 + side; }

int64_t sq__linformer_weight_floats(const sq_linformer_shape *s, const sq_problem *p, int side)
{
    const int64_t width = side == KEYS ? p->D : p->M;
    return s->method == SQ_COMPRESS_LINEAR ? s->rows * p->max_length : width * width * s->window;
}

int64_t sq__linformer_bias_floats(const sq_linformer_shape *s, const sq_problem *p, int side)
{
    return s->method == SQ_COMPRESS_LINEAR ? s->rows : side == KEYS ? p->D : p->M;
}

/* ---- options and tensors ---- */

static sq_status validate(const void *options, const sq_problem *p, sq_error *error)
{
    const sq_linformer_config *config = options;
    const sq_linformer_shape s = sq__linformer_shape(config, p);
    if (config->method == SQ_LINFORMER_CONVOLUTION && s.joint && p->D != p->M)
        return sq__fail(error, SQ_UNSUPPORTED, "linformer: keys of size %lld and values of size %lld cannot share a convolution; "
                        "with sharing headwise they can differ", (long long)p->D, (long long)p->M);
    return SQ_OK;
}

static sq_attention_tensor describe(const sq_linformer_config *config, const sq_linformer_shape *s, const sq_problem *p, int side, bool bias)
{
    static const char *const names[] = { "E", "F", "E_bias", "F_bias" }, *const shared[] = { "shared.E", "shared.E_bias" };
    const int64_t width = side == KEYS ? p->D : p->M;
    sq_attention_tensor info = { .name = config->sharing == SQ_LINFORMER_LAYERWISE ? shared[bias] : names[bias * 2 + side] };
    info.trainable = config->method != SQ_LINFORMER_FIXED;
    info.shape[0] = s->projections;
    if (bias) {
        info.rank = 2;
        info.shape[1] = sq__linformer_bias_floats(s, p, side);
    } else if (s->method == SQ_COMPRESS_LINEAR) {
        info.rank = 3;
        info.shape[1] = s->rows;
        info.shape[2] = p->max_length;
    } else {
        info.rank = 4;
        info.shape[1] = info.shape[2] = width;
        info.shape[3] = s->window;
    }
    return info;
}

/* E, F, E_bias, F_bias; F and F_bias only where they are not E's. */
static int tensors(const void *options, const sq_problem *p, sq_attention_tensor *infos)
{
    const sq_linformer_config *config = options;
    const sq_linformer_shape s = sq__linformer_shape(config, p);
    int count = 0;
    for (int bias = 0; s.weights && bias <= (int)s.bias; bias++)
        for (int side = KEYS; side <= (s.joint ? KEYS : VALUES); side++, count++)
            if (infos) infos[count] = describe(config, &s, p, side, bias);
    return count;
}

static sq_status tensor_init(const void *options, const sq_problem *p, int index, uint64_t seed, uint64_t draw, float *data)
{
    const sq_linformer_shape s = sq__linformer_shape(options, p);
    const int side = s.joint ? KEYS : index % 2;
    const bool bias = index >= (s.joint ? 1 : 2);
    const sq_random random = sq__random_stream(seed, side == KEYS ? "linformer.E" : "linformer.F", draw);
    const int64_t terms = s.method == SQ_COMPRESS_LINEAR ? p->max_length : (side == KEYS ? p->D : p->M) * s.window;
    if (bias) memset(data, 0, (size_t)(s.projections * sq__linformer_bias_floats(&s, p, side)) * sizeof(float));
    else sq__random_normal_fill(&random, data, s.projections * sq__linformer_weight_floats(&s, p, side), (float)(1 / sqrt((double)terms)));
    return SQ_OK;
}

/* ---- sizes ---- */

size_t sq__linformer_thread_bytes(const sq_linformer_shape *s, const sq_problem *p, sq_pass pass)
{
    const size_t attend = sq__dense_workspace(s->queries, s->rows, p->D, p->M, pass);
    const size_t compress = sq__compress_workspace(s->method, p->D > p->M ? p->D : p->M);
    return attend > compress ? attend : compress;
}

float *sq__linformer_cut_lse(const sq_problem *p, sq_cut *cut)
{
    return sq__cut_floats(cut, p->B * p->H * p->T);
}

float *sq__linformer_cut_states(const sq_problem *p, const sq_linformer_shape *s, sq_cut *cut)
{
    return sq__cut_floats(cut, p->B * p->Hk * s->state);
}

static void sizes(const void *options, const sq_problem *p, sq_sizes *out)
{
    const sq_linformer_shape s = sq__linformer_shape(options, p);
    sq_cut saved = { NULL, 0 }, states = { NULL, 0 };
    sq__linformer_cut_states(p, &s, &states);
    sq__linformer_cut_lse(p, &saved);
    sq__linformer_cut_states(p, &s, &saved);
    out->saved = saved.used;
    /* states: of a forward that saves nothing; their gradients in backward */
    out->forward_workspace = sq__linformer_thread_bytes(&s, p, SQ_FORWARD) * (size_t)p->threads + states.used;
    out->backward_workspace = sq__linformer_thread_bytes(&s, p, SQ_BACKWARD) * (size_t)p->threads + states.used;
}

static double flops(const void *options, const sq_problem *p, sq_pass pass)
{
    const sq_linformer_shape s = sq__linformer_shape(options, p);
    const double D = (double)p->D, M = (double)p->M, N = (double)p->N, rows = (double)s.rows;
    const double per_key[] = { [SQ_COMPRESS_LINEAR] = rows * (D + M), [SQ_COMPRESS_MEAN] = (D + M) / 2, [SQ_COMPRESS_CONVOLUTION] = D * D + M * M };
    const double attend = (double)p->T * rows * (pass == SQ_FORWARD ? D + M : 3 * D + 2 * M);
    return 2 * (double)p->B * ((double)p->Hk * N * per_key[s.method] * (pass == SQ_FORWARD ? 1 : 2) + (double)p->H * attend);
}

const sq_attention_kind sq__attention_linformer = {
    .name = "linformer", .title = "low-rank projection of keys and values", .paper = "arXiv:2006.04768", .cost = "O(n rank) time, O(n) memory",
    .can = SQ_CAN_CROSS | SQ_CAN_LENGTHS | SQ_CAN_GROUPED | SQ_CAN_KEY_MASK, .fields = fields, .config_size = sizeof(sq_linformer_config),
    .validate = validate, .tensors = tensors, .tensor_init = tensor_init, .sizes = sizes, .flops = flops,
    .forward = sq__linformer_forward, .backward = sq__linformer_backward,
};
