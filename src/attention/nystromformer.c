/* Nystroemformer, arXiv:2102.03902: softmax attention through m landmarks, the means of segments of queries and of keys.
 *   out = A1 (A2^+ (A3 v)) + conv(v),   A1 = softmax(q kl'),  A2 = softmax(ql kl'),  A3 = softmax(ql k')         (scaled products)
 * q [T,D]; k [N,D]; v [N,M]; ql, kl [m,D]; A2^+ by iterations (engine/pseudo_inverse.h); conv: depthwise over the sequence with one trained
 * filter for each head (engine/depthwise.h). O((T + N) m (D + M) + iterations m^3) time, O(m^2) memory a head beside the rows; backward keeps up to
 * two copies of a head's rows for each thread. Saves a float a row, and of each head its landmarks, A2, A2^+ and A3 v.
 *
 * Segments are runs of as many kept rows (the longer ones last); a masked key has no part, and where T = N neither has its token's query, in landmarks,
 * A3 and the convolution. Heads with no more keys (or queries) than landmarks are exact: it costs less. init exact divides the first iterate by each
 * head's largest column sum of A2, as the paper; original by the largest of all heads and batch entries, as the authors' code, so that an output
 * depends on the rest of its batch. The gradient flows through the column that gave it.
 *
 * convention   what differs (segments are numbered by position in all three; query rows of masked tokens are zeros)
 *   mlpen      landmarks divide by the segment's length
 *   xformers   the same, and the convolution sees masked values
 *   lucidrains rows of zeros in front fill the last segment up; without a mask they count as keys; with one landmarks divide by kept rows + 1e-8,
 *              landmarks without kept rows are hidden, and a row of A1 or A3 that is masked is uniform; never exact
 *
 * Departures from the paper: lengths that m does not divide. A query without a visible key gives zeros. */
#include "attention/nystromformer.h"

#include <math.h>

#include "base/random.h"

/* ---- options ---- */

static const char *const inits[] = { "exact", "original", NULL };
static const char *const conventions[] = { "paper", "mlpen", "lucidrains", "xformers", NULL };

static const sq_field nystrom_fields[] = {
    SQ_INT(sq_nystrom_config, landmarks, "64", 1, 4096, "segments whose means stand for queries and keys"),
    SQ_INT(sq_nystrom_config, iterations, "6", 1, 64, "of the pseudo-inverse"),
    SQ_CHOICE(sq_nystrom_config, init, "exact", inits,
              "first iterate divided by the largest column sum: of each head (exact), of all heads and entries (original)"),
    SQ_INT(sq_nystrom_config, convolution, "33", 0, 65536, "taps of the depthwise convolution of the values that is added; 0: none"),
    SQ_CHOICE(sq_nystrom_config, convention, "paper", conventions,
              "how masks and lengths that landmarks do not divide are taken: as here, or a public implementation's"),
    SQ_FIELDS_END
};

/* ---- tensors ---- */

static int nystrom_tensors(const void *data, const sq_problem *p, sq_attention_tensor *infos)
{
    const sq_nystrom_config *config = data;
    if (infos && config->convolution) infos[0] = (sq_attention_tensor){ "convolution", 2, { p->H, config->convolution }, true };
    return config->convolution ? 1 : 0;
}

/* Uniform within 1/sqrt(taps), as a convolution is drawn in the references. */
static sq_status nystrom_tensor_init(const void *data, const sq_problem *p, int index, uint64_t seed, uint64_t draw, float *out)
{
    const int64_t taps = ((const sq_nystrom_config *)data)->convolution;
    const float bound = (float)(1 / sqrt((double)taps));
    const sq_random random = sq__random_stream(seed, "nystromformer.convolution", draw);
    (void)index;
    sq__random_uniform_fill(&random, out, p->H * taps, -bound, bound);
    return SQ_OK;
}

/* ---- sizes ---- */

static void nystrom_sizes(const void *config, const sq_problem *p, sq_sizes *sizes)
{
    const size_t heads = (size_t)(p->B * p->H);
    sizes->forward_workspace = sq__nystrom_thread_bytes(config, p, SQ_FORWARD) * (size_t)p->threads + heads * sq__nystrom_state_bytes(config, p, false);
    sizes->backward_workspace = sq__nystrom_thread_bytes(config, p, SQ_BACKWARD) * (size_t)p->threads + heads * sq__nystrom_change_bytes(config, p);
    sizes->saved = heads * sq__nystrom_state_bytes(config, p, true);
}

/* Forward: A1, A3, the convolution, four products of m^3 an iteration, Z W. Backward: five products for a pair of A1 and A3 (and A1 again), the iterations
 * twice and eight products more. */
static double nystrom_flops(const void *data, const sq_problem *p, sq_pass pass)
{
    const sq_nystrom_config *config = data;
    const double m = (double)config->landmarks, T = (double)p->T, N = (double)p->N, D = (double)p->D, M = (double)p->M, k = (double)config->iterations;
    const double heads = (double)(p->B * p->H), taps = (double)config->convolution * T * M;
    if (N <= m || T <= m) return 2 * heads * (T * N * (pass == SQ_FORWARD ? D + M : 3 * D + 2 * M) + taps * (pass == SQ_FORWARD ? 1 : 2));
    if (pass == SQ_FORWARD) return 2 * heads * ((T + N) * m * (D + M) + taps + 4 * k * m * m * m + m * m * (D + M));
    return 2 * heads * ((T + N) * m * (3 * D + 2 * M) + T * m * (D + M) + 2 * taps + 16 * k * m * m * m + 3 * m * m * (D + M));
}

const sq_attention_kind sq__attention_nystromformer = {
    .name = "nystromformer", .title = "softmax through landmarks and a pseudo-inverse", .paper = "arXiv:2102.03902", .cost = "O(n m) time, O(n) memory",
    .can = SQ_CAN_CROSS | SQ_CAN_LENGTHS | SQ_CAN_KEY_MASK | SQ_CAN_GROUPED | SQ_CAN_ROTARY,
    .fields = nystrom_fields, .config_size = sizeof(sq_nystrom_config), .tensors = nystrom_tensors, .tensor_init = nystrom_tensor_init,
    .sizes = nystrom_sizes, .flops = nystrom_flops, .forward = sq__nystrom_forward, .backward = sq__nystrom_backward,
};
