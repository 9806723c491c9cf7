/* Synthesizer, arXiv:2005.00743: scores made from each query alone, or from nothing, instead of products with keys.
 *   out_i = sum_j softmax_j(S_ij) v_j over the visible j, S the sum of
 *   dense              W2 relu(W1 q_i + b1) + b2, its first N numbers       W1 [hidden,D], W2 [L,hidden]
 *   random             R_ij                                                 R [L,L], trained or not
 *   factorised-dense   (Wa q_i + ba)_[j mod a] (Wb q_i + bb)_[j / a]        a b >= L
 *   factorised-random  (R1 R2)_ij                                           R1 [L,rank], R2 [rank,L]
 *   random-dense       both of the first two
 * and, with dot_product, of scale q_i . k_j. Several terms have weights that sum to one, softmax(mix), mix trained from 0; mixture sum adds
 * them as they are. q [T,D]; k [N,D]; v [N,M]; out [T,M]; L = max_length. O(n^2) time, memory beside the tensors grows with n only: R and the
 * other scores are never a T x N matrix. Saves the log-sum-exp. Keys are not read without dot_product, queries neither where all is random.
 *
 * Tensors have a leading axis of the heads; sharing headwise: of 1 (then one thread sums their gradients). Random terms need T <= L.
 * A bias by distance is added to the sum. tiling alike: B's index is j mod b, as one public implementation has it: then only lcm(a,b) products differ.
 * Departs from the paper: the first layer of dense reads the head's query instead of the token; a query that sees no key gives zeros.
 *
 * Public code: 10-zin dense_ is sharing headwise, random_ the variant random; long-range-arena's factorized_random_ and random_ with x the
 * variants of these names, its dot_product mixture sum; leaderj1001's single_dense_ dense, factorized_dense_ tiling alike, mixture_unscaled_
 * random with dot_product, mixture sum and scale 1. */
#include <math.h>
#include <string.h>

#include "attention/synthesizer.h"
#include "base/random.h"
#include "base/status.h"

static const char *const variants[] = { "dense", "random", "factorised-dense", "factorised-random", "random-dense", NULL };
static const char *const mixtures[] = { "weighted", "sum", NULL };
static const char *const tilings[] = { "apart", "alike", NULL };
static const char *const sharings[] = { "none", "headwise", NULL };

static const sq_field fields[] = {
    SQ_CHOICE(sq_synthesizer_config, variant, "dense", variants, "what scores are made of"),
    SQ_BOOL(sq_synthesizer_config, dot_product, "false", "add the scaled product of query and key"),
    SQ_CHOICE(sq_synthesizer_config, mixture, "weighted", mixtures, "several terms: by trained weights that sum to one, or added up"),
    SQ_INT(sq_synthesizer_config, hidden, "0", 0, 1 << 16, "dense: hidden width; 0: the head size"),
    SQ_INT(sq_synthesizer_config, rank, "8", 1, 1 << 16, "factorised-random: rank of the scores"),
    SQ_INT(sq_synthesizer_config, factor, "0", 0, 1 << 20, "factorised-dense: numbers of the first factor; 0: the root of max_length"),
    SQ_CHOICE(sq_synthesizer_config, tiling, "apart", tilings, "factorised-dense: every pair of numbers, or both factors repeated alike"),
    SQ_CHOICE(sq_synthesizer_config, sharing, "none", sharings, "what shares the tensors: nothing, or all heads"),
    SQ_BOOL(sq_synthesizer_config, trained, "true", "random scores are trained, not fixed"),
    SQ_FIELDS_END
};

/* ---- terms ---- */

static void find_terms(const sq_synthesizer_config *config, bool *has)
{
    has[SQ_TERM_DENSE] = config->variant == SQ_SYNTHESIZER_DENSE || config->variant == SQ_SYNTHESIZER_RANDOM_DENSE;
    has[SQ_TERM_RANDOM] = config->variant == SQ_SYNTHESIZER_RANDOM || config->variant == SQ_SYNTHESIZER_RANDOM_DENSE;
    has[SQ_TERM_FACTORS] = config->variant == SQ_SYNTHESIZER_FACTORISED_DENSE;
    has[SQ_TERM_LOW] = config->variant == SQ_SYNTHESIZER_FACTORISED_RANDOM;
    has[SQ_TERM_DOT] = config->dot_product;
}

static const int tensors_of[SQ_TERMS] = { [SQ_TERM_DENSE] = 4, [SQ_TERM_RANDOM] = 1, [SQ_TERM_FACTORS] = 4, [SQ_TERM_LOW] = 2 };

sq_synthesizer_shape sq__synthesizer_shape(const sq_synthesizer_config *config, const sq_problem *p)
{
    const int64_t L = p->max_length, a = config->factor ? config->factor : (int64_t)ceil(sqrt((double)L));
    sq_synthesizer_shape s = { .mix = -1, .sets = config->sharing == SQ_SYNTHESIZER_OWN ? p->H : 1, .L = L, .rank = config->rank,
                               .hidden = config->hidden ? config->hidden : p->D, .a = a < L ? a : L };
    s.b = (L + s.a - 1) / s.a;
    find_terms(config, s.has);
    const int64_t widths[SQ_TERMS] = { [SQ_TERM_DENSE] = s.hidden + 1, [SQ_TERM_LOW] = s.rank, [SQ_TERM_DOT] = p->D };
    int tensor = 0;
    for (int i = 0; i < SQ_TERMS; i++) {
        if (!s.has[i]) continue;
        s.order[i] = s.terms++;
        s.tensor[i] = tensor;
        s.at[i] = s.width;
        tensor += tensors_of[i];
        s.width += widths[i];
    }
    if (s.width == 0) s.width = 1;     /* a column of zeros: all scores are added */
    if (s.terms > 1 && config->mixture == SQ_SYNTHESIZER_WEIGHTED) s.mix = tensor;
    return s;
}

unsigned sq__synthesizer_ignores(const void *options)
{
    const sq_synthesizer_config *config = options;
    bool has[SQ_TERMS];
    find_terms(config, has);
    const bool query = has[SQ_TERM_DENSE] || has[SQ_TERM_FACTORS] || has[SQ_TERM_DOT];
    return (query ? 0 : SQ_READS_QUERY) | (has[SQ_TERM_DOT] ? 0 : SQ_READS_KEY);
}

static sq_status validate(const void *options, const sq_problem *p, sq_error *error)
{
    const sq_synthesizer_shape s = sq__synthesizer_shape(options, p);
    if ((s.has[SQ_TERM_RANDOM] || s.has[SQ_TERM_LOW]) && p->T > s.L)
        return sq__fail(error, SQ_UNSUPPORTED, "synthesizer: %lld queries, but random scores of %lld positions; variant dense takes any number of queries",
                        (long long)p->T, (long long)s.L);
    return SQ_OK;
}

/* ---- tensors ---- */

static void name(sq_attention_tensor *info, const char *text, int rank, int64_t sets, int64_t rows, int64_t columns, bool trainable)
{
    *info = (sq_attention_tensor){ .name = text, .rank = rank, .shape = { sets, rows, columns }, .trainable = trainable };
}

static int tensors(const void *options, const sq_problem *p, sq_attention_tensor *infos)
{
    const sq_synthesizer_config *config = options;
    const sq_synthesizer_shape s = sq__synthesizer_shape(config, p);
    int count = 0;
    for (int i = 0; i < SQ_TERMS; i++) count += s.has[i] ? tensors_of[i] : 0;
    if (!infos) return count + (s.mix >= 0);
    if (s.has[SQ_TERM_DENSE]) {
        sq_attention_tensor *at = infos + s.tensor[SQ_TERM_DENSE];
        name(at, "w1", 3, s.sets, s.hidden, p->D, true), name(at + 1, "b1", 2, s.sets, s.hidden, 0, true);
        name(at + 2, "w2", 3, s.sets, s.L, s.hidden, true), name(at + 3, "b2", 2, s.sets, s.L, 0, true);
    }
    if (s.has[SQ_TERM_RANDOM]) name(infos + s.tensor[SQ_TERM_RANDOM], "r", 3, s.sets, s.L, s.L, config->trained);
    if (s.has[SQ_TERM_FACTORS]) {
        sq_attention_tensor *at = infos + s.tensor[SQ_TERM_FACTORS];
        name(at, "wa", 3, s.sets, s.a, p->D, true), name(at + 1, "ba", 2, s.sets, s.a, 0, true);
        name(at + 2, "wb", 3, s.sets, s.b, p->D, true), name(at + 3, "bb", 2, s.sets, s.b, 0, true);
    }
    if (s.has[SQ_TERM_LOW]) {
        sq_attention_tensor *at = infos + s.tensor[SQ_TERM_LOW];
        name(at, "r1", 3, s.sets, s.L, s.rank, config->trained), name(at + 1, "r2", 3, s.sets, s.rank, s.L, config->trained);
    }
    if (s.mix >= 0) name(infos + s.mix, "mix", 2, s.sets, s.terms, 0, true);
    return count + (s.mix >= 0);
}

/* Biases and mix 0; scores of about 1 from random terms, and of about 1 for queries of size 1 from the others. */
static sq_status tensor_init(const void *options, const sq_problem *p, int index, uint64_t seed, uint64_t draw, float *data)
{
    const sq_synthesizer_shape s = sq__synthesizer_shape(options, p);
    sq_attention_tensor infos[SQ_KIND_TENSORS];
    tensors(options, p, infos);
    const sq_attention_tensor *info = &infos[index];
    const sq_random random = sq__random_stream(sq__hash_text(info->name) ^ seed, "synthesizer", draw);
    const int64_t count = info->shape[0] * info->shape[1] * (info->rank == 3 ? info->shape[2] : 1);
    double size = info->rank == 3 ? 1 / sqrt((double)info->shape[2]) : 0;
    if (s.has[SQ_TERM_RANDOM] && index == s.tensor[SQ_TERM_RANDOM]) size = 1;
    if (s.has[SQ_TERM_LOW] && (index == s.tensor[SQ_TERM_LOW] || index == s.tensor[SQ_TERM_LOW] + 1)) size = pow((double)s.rank, -0.25);
    if (size > 0) sq__random_normal_fill(&random, data, count, (float)size);
    else memset(data, 0, (size_t)count * sizeof *data);
    return SQ_OK;
}

/* ---- sizes ---- */

static void sizes(const void *options, const sq_problem *p, sq_sizes *out)
{
    out->forward_workspace = sq__synthesizer_thread_bytes(options, p, SQ_FORWARD) * (size_t)p->threads;
    out->backward_workspace = sq__synthesizer_thread_bytes(options, p, SQ_BACKWARD) * (size_t)p->threads;
    out->saved = (size_t)(p->B * p->H * p->T) * sizeof(float);   /* lse [B,H,T] */
}

static double flops(const void *options, const sq_problem *p, sq_pass pass)
{
    const sq_synthesizer_shape s = sq__synthesizer_shape(options, p);
    const double T = (double)p->T, N = (double)p->N, D = (double)p->D, M = (double)p->M, width = (double)s.width;
    const double pairs = T * N * (p->causal ? 0.5 : 1) * (pass == SQ_FORWARD ? width + M : 3 * width + 2 * M);
    const double rows = T * D * ((s.has[SQ_TERM_DENSE] ? (double)s.hidden : 0) + (s.has[SQ_TERM_FACTORS] ? (double)(s.a + s.b) : 0));
    return 2 * (double)(p->B * p->H) * (pairs + rows * (pass == SQ_FORWARD ? 1 : 3));
}

const sq_attention_kind sq__attention_synthesizer = {
    .name = "synthesizer", .title = "scores without products of queries and keys", .paper = "arXiv:2005.00743", .cost = "O(n^2) time, O(n) memory",
    .can = SQ_CAN_CAUSAL | SQ_CAN_CROSS | SQ_CAN_LENGTHS | SQ_CAN_MASK | SQ_CAN_KEY_MASK | SQ_CAN_GROUPED | SQ_CAN_BIAS, .fields = fields,
    .config_size = sizeof(sq_synthesizer_config), .validate = validate, .tensors = tensors, .tensor_init = tensor_init, .sizes = sizes, .flops = flops,
    .forward = sq__synthesizer_forward, .backward = sq__synthesizer_backward, .ignores = sq__synthesizer_ignores,
};
