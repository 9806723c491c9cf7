/* Improved clustered attention (arXiv:2007.04825, section 3.3): the keys a cluster attends most are attended by each member itself.
 *   A_c = softmax_j(scale m_c . k_j),  top_c the K largest,  s_c = sum of A_cj over top_c
 *   out_i = s_c sum_{j in top_c} softmax_{j in top_c}(scale q_i . k_j) v_j + sum_{j not in top_c} A_cj v_j,  c = c(i)
 * q [T,D]; k [N,D]; v [N,M]; C clusters as in clustered.c. O(T B D + T C L + C N (D + M) + T K (D + M)) time, O(C N) bytes of working memory;
 * saves three numbers and the cluster of each row, and of each cluster its keys and the part that members share.
 *
 * Both parts run on the dense engine: the rest of the keys for all centroids at once, the top keys for the members of one cluster after
 * another with the centroid as one more row, whose log-sum-exp is the top keys' part of s_c.
 * Clusters and top keys are constants for the gradient. Of equal scores the lower key is taken. Fewer than K visible keys: all are top.
 *
 * pseudo_causal is what the reference calls causal: query i weighs the top keys up to i and nothing else, a query without any gives zeros.
 * Clusters and top keys come from the whole sequence, so it is not causality, and the plan must not be a causal one.
 *
 *   reference                      options and tensors
 *   idiap/fast-transformers        convention=idiap; topk and those of clustered.c by its names; planes; initial = init_idx
 *               dq_full, dk_full   convention=paper
 *               improved_causal    pseudo_causal=true
 *
 * Departures from the paper: none. convention=idiap has the paper's value, and a gradient that takes s_c for a constant. */
#include "attention/improved_clustered.h"

static const char *const conventions[] = { "paper", "idiap", NULL };

static const sq_field improved_fields[] = {
    SQ_CLUSTERED_FIELDS,
    SQ_INT(sq_clustered_config, topk, "32", 1, 65536, "keys that every query of a cluster attends itself"),
    SQ_CHOICE(sq_clustered_config, convention, "paper", conventions, "paper: the derivative; idiap: the top keys' share is a constant for it"),
    SQ_BOOL(sq_clustered_config, pseudo_causal, "false", "query i weighs its cluster's top keys up to i, nothing else (not causality)"),
    SQ_FIELDS_END
};

static void improved_sizes(const void *config, const sq_problem *p, sq_sizes *sizes)
{
    sizes->forward_workspace = sq__improved_thread_bytes(config, p, SQ_FORWARD) * (size_t)p->threads;
    sizes->backward_workspace = sq__improved_thread_bytes(config, p, SQ_BACKWARD) * (size_t)p->threads;
    sizes->saved = (size_t)(p->B * p->H) * sq__improved_saved_bytes(config, p);
}

static double improved_flops(const void *data, const sq_problem *p, sq_pass pass)
{
    const sq_clustered_config *config = data;
    const double D = (double)p->D, M = (double)p->M, T = (double)p->T, N = (double)p->N, C = (double)sq__clustered_count(config, p);
    const double K = config->topk < p->N ? (double)config->topk : N, pairs = (config->pseudo_causal ? 0 : C * N) + T * K;
    const double attention = 2 * pairs * (pass == SQ_FORWARD ? D + M : 3 * D + 2 * M);
    return (double)(p->B * p->H) * (attention + T * D + (pass == SQ_FORWARD ? 2 * T * D * (double)config->bits + 2 * C * N * D : 6 * T * M));
}

const sq_attention_kind sq__attention_improved_clustered = {
    .name = "improved-clustered", .title = "improved clustered attention", .paper = "arXiv:2007.04825", .cost = "O(n (C + K)) time, O(n) memory",
    .can = SQ_CAN_CROSS | SQ_CAN_LENGTHS | SQ_CAN_KEY_MASK | SQ_CAN_GROUPED | SQ_CAN_ROTARY,
    .fields = improved_fields, .config_size = sizeof(sq_clustered_config),
    .tensors = sq__clustered_tensors, .tensor_init = sq__clustered_tensor_init, .sizes = improved_sizes, .flops = improved_flops,
    .forward = sq__improved_forward, .backward = sq__improved_backward,
};
