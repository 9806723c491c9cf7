/* Sparse Transformer, arXiv:1904.10509: two factorised patterns that together connect all positions.
 *   out[i] = sum_j p_ij v_j,  p_ij = exp(s_ij) / sum_j exp(s_ij),  s_ij = scale q_i . k_j  over the j of a set A_i
 *   strided   A1: |i - j| <= stride          A2: (i - j) mod stride = 0
 *   fixed     A1: floor(j / stride) = floor(i / stride)      A2: j mod stride >= stride - summary
 * q [T,D]; k [N,D]; v [N,M]; out [T,M]; with causal also j <= i. `heads`: merged, one softmax over A1 and A2 together (each key once);
 * split, even heads see A1 and odd ones A2; layers, layer 0 sees A1, layer 1 A2, and so on. stride near sqrt(n):
 * O(n sqrt(n) (D+M)) time, O(n) memory. Saves the maximum and log-sum of each row. Grouped heads: query head h reads key head h / (H/Hk).
 * fixed: `spread` g gives head h the (h mod g)-th run of `summary` columns counted from the end of the block (section 5.2's distinct subblocks).
 *
 * Conventions. paper: as above. openai (openai/sparse_attention): A1 of strided is i - j < stride, one key fewer; its block-sparse fixed
 * pattern is this one with stride = l, summary = vertsize blocks, spread = num_verts. fairseq: fixed only; A1 of i is the block's first
 * position and the stride positions after it (for a multiple of the stride: those before it); A2 the positions from e - summary to e for
 * each block end e = stride, 2 stride, ..., in every head (spread has no say)
 * Departs from the paper: also without causal; a query that sees no key (A2 of fixed, early on) gives zeros. */
#include "attention/engine/pattern.h"
#include "attention/engine/window.h"
#include "attention/sparse_transformer.h"
#include "base/status.h"

static const char *const patterns[] = { "strided", "fixed", NULL };
static const char *const head_choices[] = { "merged", "split", "layers", NULL };
static const char *const conventions[] = { "paper", "openai", "fairseq", NULL };

static const sq_field fields[] = {
    SQ_CHOICE(sq_factor_config, pattern, "strided", patterns, "which pair of sets"),
    SQ_INT(sq_factor_config, stride, "64", 1, 1 << 20, "reach of the near set and distance of the far one; best near the root of the length"),
    SQ_INT(sq_factor_config, summary, "8", 1, 1 << 20, "fixed: positions at the end of each block that all later blocks see (at most the stride)"),
    SQ_INT(sq_factor_config, spread, "1", 1, 1 << 20, "fixed: head h takes the (h mod spread)-th run of summary positions from the end"),
    SQ_CHOICE(sq_factor_config, heads, "merged", head_choices, "both sets in each head, one in each head by turns, or one in each layer by turns"),
    SQ_CHOICE(sq_factor_config, convention, "paper", conventions, "whose sets: the paper's, openai/sparse_attention's or fairseq's"),
    SQ_FIELDS_END
};

static sq_status validate(const void *options, const sq_problem *p, sq_error *error)
{
    const sq_factor_config *config = options;
    (void)p;
    if (config->convention == SQ_FACTOR_FAIRSEQ && config->pattern == SQ_FACTOR_STRIDED)
        return sq__fail(error, SQ_INVALID, "sparse-transformer: fairseq has no convention of its own for strided; expected paper or openai");
    return SQ_OK;
}

/* ---- the sets of a head ---- */

static bool takes(const sq_factor_config *config, const sq_pattern_at *at, int set)
{
    if (config->heads == SQ_FACTOR_MERGED) return true;
    return (config->heads == SQ_FACTOR_SPLIT ? at->h : at->problem->layer) % 2 == set;
}

static size_t make(const sq_pattern_at *at, void *memory, sq_sparse_pattern *pattern)
{
    const sq_factor_config *config = at->config;
    const int64_t longest = at->T > at->N ? at->T : at->N, stride = config->stride;
    sq_factors f = { .T = at->T, .N = at->N, .stride = stride, .causal = at->problem->causal, .near = takes(config, at, 0), .far = takes(config, at, 1) };
    if (config->pattern == SQ_FACTOR_STRIDED) {
        const int64_t reach = config->convention == SQ_FACTOR_OPENAI ? stride - 1 : stride, before = reach < longest ? reach : longest;
        f.window = (sq_window){ at->T, at->N, before, f.causal ? 0 : before, 1 };
        f.classes = (sq_window){ at->T, at->N, longest, f.causal ? 0 : longest, stride };
        return sq__strided_pattern(&f, memory, pattern);
    }
    const int64_t summary = config->summary < stride ? config->summary : stride, runs = (stride + summary - 1) / summary;
    f.fairseq = config->convention == SQ_FACTOR_FAIRSEQ;
    f.to = f.fairseq ? stride : stride - at->h % config->spread % runs * summary;    /* more heads than runs: begin again */
    f.from = f.to > summary ? f.to - summary : 0;
    return sq__fixed_pattern(&f, memory, pattern);
}

/* ---- running ---- */

SQ_PATTERN_ALONE(make)

const sq_attention_kind sq__attention_sparse_transformer = {
    .name = "sparse-transformer", .title = "strided and fixed factorised patterns", .paper = "arXiv:1904.10509", .cost = "O(n sqrt(n)) time, O(n) memory",
    .can = SQ_CAN_CAUSAL | SQ_CAN_CROSS | SQ_CAN_LENGTHS | SQ_CAN_MASK | SQ_CAN_KEY_MASK | SQ_CAN_GROUPED | SQ_CAN_BIAS | SQ_CAN_ROTARY,
    .fields = fields, .config_size = sizeof(sq_factor_config), .validate = validate, .sizes = sizes, .flops = flops,
    .forward = forward, .backward = backward, .by_layer = true,
};
