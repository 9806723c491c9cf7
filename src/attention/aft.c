/* Attention-free transformer, arXiv:2105.14103: per feature, every key has one weight for all queries up to a bias of the two positions.
 *   out_t = sigmoid(q_t) * sum_s exp(k_s + w_ts) v_s / sum_s exp(k_s + w_ts)      over the visible s; all products by feature
 * q, k [T,D] [N,D]; v, out [N,D] [T,D] (values as wide as keys). The variants differ in w:
 *   full    w [L,L] (rank 0), or u_t . v_s with u, v [L,rank]; L = max_length. O(n^2 (D + rank)) time, never an N x N block of its own
 *   simple  0. O(n D)
 *   local   as full where |t - s| < window, 0 (not -inf) beyond; rank 0: a band [L, 2 window - 1]. O(n window (D + rank))
 *   conv    f_h[s - t] where |t - s| < window, 0 beyond; one filter for each head, f = gain (x - mean x) / std x + shift with gain and
 *           shift 0 at the start; the head has one key for all its features: scale * the sum of k's. O(n window D)
 * w belongs to all heads in full and local, as in the paper, where the whole width is one head. Memory grows with n only; saves the
 * logarithm of each denominator. The paper's exp(w) - 1 on the window plus a global sum is here the window plus the sums before and after
 * it: the same, without cancellation. Grouped heads: query head h reads key head h / (H/Hk).
 *
 * Causal: s <= t; a band or filter then has window taps. No masks of pairs: far keys are summed once for all queries.
 * Streams but for full, whose state would grow; beyond max_length positions a stream goes on with the biases of the last ones. More queries than max_length: simple and conv only.
 * Departs from the paper: a query that sees no key gives zeros; 1e-6 is added to the filter's variance; the key of a head in conv is a
 * fixed linear function of its k instead of a projection to one number (the same functions of a token). Keys, or biases of one query,
 * that spread over more than 80 within 64 neighbours may lose the smaller to underflow.
 *
 * Public code: aft-pytorch full_, simple_ are full with rank 0 and simple; labml's local is local with its w as a band. */
#include <math.h>
#include <string.h>

#include "attention/aft.h"
#include "base/random.h"
#include "base/status.h"

static const char *const variants[] = { "full", "simple", "local", "conv", NULL };

static const sq_field fields[] = {
    SQ_CHOICE(sq_aft_config, variant, "local", variants, "where keys have biases: at all positions, nowhere, nearby, nearby by distance"),
    SQ_INT(sq_aft_config, window, "32", 1, 1 << 20, "local and conv: keys nearer than this have a bias"),
    SQ_INT(sq_aft_config, rank, "128", 0, 1 << 16, "full and local: rank of the biases' factors; 0: one bias for each pair"),
    SQ_FIELDS_END
};

static sq_status validate(const void *options, const sq_problem *p, sq_error *error)
{
    const sq_aft_config *config = options;
    const bool positions = config->variant == SQ_AFT_FULL || config->variant == SQ_AFT_LOCAL;
    if (p->D != p->M)
        return sq__fail(error, SQ_UNSUPPORTED, "aft: keys have %lld features and values %lld; they are multiplied feature by feature, so both must be equal",
                        (long long)p->D, (long long)p->M);
    if (positions && p->T > p->max_length)
        return sq__fail(error, SQ_UNSUPPORTED, "aft: %lld queries, but biases of %lld positions; variants simple and conv take any number",
                        (long long)p->T, (long long)p->max_length);
    return SQ_OK;
}

static int tensors(const void *options, const sq_problem *p, sq_attention_tensor *infos)
{
    const sq_aft_bias bias = sq__aft_bias(options, p);
    const int counts[] = { [SQ_AFT_NONE] = 0, [SQ_AFT_MATRIX] = 1, [SQ_AFT_FACTORS] = 2, [SQ_AFT_BAND] = 1, [SQ_AFT_FILTER] = 3 };
    if (!infos) return counts[bias.form];
    if (bias.form == SQ_AFT_MATRIX || bias.form == SQ_AFT_BAND)
        infos[0] = (sq_attention_tensor){ .name = "w", .rank = 2, .shape = { p->max_length, bias.width }, .trainable = true };
    if (bias.form == SQ_AFT_FACTORS)
        for (int i = 0; i < 2; i++)
            infos[i] = (sq_attention_tensor){ .name = i ? "v" : "u", .rank = 2, .shape = { p->max_length, bias.width }, .trainable = true };
    if (bias.form == SQ_AFT_FILTER) {
        infos[0] = (sq_attention_tensor){ .name = "filter", .rank = 2, .shape = { p->H, bias.width }, .trainable = true };
        infos[1] = (sq_attention_tensor){ .name = "gain", .rank = 1, .shape = { p->H }, .trainable = true };
        infos[2] = (sq_attention_tensor){ .name = "shift", .rank = 1, .shape = { p->H }, .trainable = true };
    }
    return counts[bias.form];
}

/* Biases of about 0.1, so that training begins near simple; gain and shift as in the paper. */
static sq_status tensor_init(const void *options, const sq_problem *p, int index, uint64_t seed, uint64_t draw, float *data)
{
    const sq_aft_bias bias = sq__aft_bias(options, p);
    const sq_random random = sq__random_stream(seed, index ? "aft.v" : "aft.w", draw);
    if (bias.form == SQ_AFT_FILTER) {
        if (index == 0) sq__random_normal_fill(&random, data, p->H * bias.width, 1);
        else memset(data, 0, (size_t)p->H * sizeof *data);
        return SQ_OK;
    }
    const double size = bias.form == SQ_AFT_FACTORS ? sqrt(0.1 / sqrt((double)bias.width)) : 0.1;
    sq__random_normal_fill(&random, data, p->max_length * bias.width, (float)size);
    return SQ_OK;
}

static void sizes(const void *options, const sq_problem *p, sq_sizes *out)
{
    out->forward_workspace = sq__aft_workspace(options, p, SQ_FORWARD);
    out->backward_workspace = sq__aft_workspace(options, p, SQ_BACKWARD);
    out->saved = (size_t)(p->B * p->H * p->T * p->D) * sizeof(float);   /* log of each denominator */
}

static double flops(const void *options, const sq_problem *p, sq_pass pass)
{
    const sq_aft_bias bias = sq__aft_bias(options, p);
    const double T = (double)p->T, N = (double)p->N, D = (double)p->D, rank = bias.form == SQ_AFT_FACTORS ? (double)bias.width : 0;
    double near = bias.form == SQ_AFT_NONE ? 0 : bias.reach < 0 ? N : fmin(N, (double)(p->causal ? bias.reach + 1 : 2 * bias.reach + 1));
    if (p->causal && bias.reach < 0) near /= 2;
    const double pairs = T * near * (pass == SQ_FORWARD ? 4 * D + 2 * rank : 12 * D + 8 * rank), rows = (T + N) * D * (pass == SQ_FORWARD ? 8 : 24);
    return (double)(p->B * p->H) * (pairs + rows);
}

const sq_attention_kind sq__attention_aft = {
    .name = "aft", .title = "attention-free transformer", .paper = "arXiv:2105.14103", .cost = "O(n window) time, O(n) memory; full: O(n^2) time",
    .can = SQ_CAN_CAUSAL | SQ_CAN_CROSS | SQ_CAN_LENGTHS | SQ_CAN_KEY_MASK | SQ_CAN_GROUPED | SQ_CAN_STREAM, .fields = fields,
    .config_size = sizeof(sq_aft_config), .validate = validate, .tensors = tensors, .tensor_init = tensor_init, .sizes = sizes, .flops = flops,
    .forward = sq__aft_forward, .backward = sq__aft_backward,
    .state_bytes = sq__aft_state_bytes, .state_reset = sq__aft_state_reset, .step = sq__aft_step,
};
