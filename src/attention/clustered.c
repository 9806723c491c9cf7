/* Clustered attention (arXiv:2007.04825, section 3.2): queries that look alike share one row of attention.
 *   c(i) = cluster of q_i,  m_c = mean of the q_i in c,  out_i = softmax_j(scale m_c(i) . k_j) v
 * q [T,D]; k [N,D]; v [N,M]; C clusters, L iterations, B bits. O(T B D + T C L + C N (D + M)) time; saves each row's cluster and C numbers.
 *
 * Clusters come from Lloyd's iterations over B-bit codes in Hamming space (engine/cluster.h). planes and initial are drawn once and kept
 * with the model, the same for all heads and entries. Clusters are constants for the gradient. Every query counts in its cluster, later
 * ones and those whose row is of no interest too, so there is no causal form.
 *
 *   reference                      options and tensors
 *   idiap/fast-transformers        clusters, iterations, bits, hash_bias by its names; planes; initial = init_idx
 *
 * Departures from the paper: none. From its reference: an emptied cluster keeps its centroid instead of being drawn anew. */
#include "attention/clustered.h"
#include "attention/engine/dense.h"

#include <string.h>

static const sq_field clustered_fields[] = { SQ_CLUSTERED_FIELDS, SQ_FIELDS_END };

/* ---- sizes ---- */

typedef struct space {
    int32_t *cluster, *count;          /* [T] where nothing is saved, [C] */
    float *q, *out, *dout, *dq, *lse;  /* of the centroids */
    void *assign, *dense;
} space;

static space cut(sq_cut *piece, const sq_clustered_config *config, const sq_problem *p, sq_pass pass)
{
    const int64_t C = sq__clustered_count(config, p);
    const bool backward = pass == SQ_BACKWARD;
    space s;
    s.cluster = sq__cut(piece, backward ? 0 : (size_t)p->T * sizeof *s.cluster);
    s.count = sq__cut(piece, (size_t)C * sizeof *s.count);
    s.q = sq__cut_floats(piece, C * p->D);
    s.out = sq__cut_floats(piece, C * p->M);
    s.dout = sq__cut_floats(piece, backward ? C * p->M : 0);
    s.dq = sq__cut_floats(piece, backward ? C * p->D : 0);
    s.lse = sq__cut_floats(piece, C);
    s.assign = sq__cut(piece, backward ? 0 : sq__clustered_workspace(config, p));
    s.dense = sq__cut(piece, sq__dense_workspace(C, p->N, p->D, p->M, pass));
    return s;
}

static size_t per_thread(const sq_clustered_config *config, const sq_problem *p, sq_pass pass)
{
    sq_cut piece = { NULL, 0 };
    cut(&piece, config, p, pass);
    return piece.used;
}

/* Of each head: the rows' clusters, then the log-sum-exp of the centroids. */
static size_t saved_numbers(const sq_clustered_config *config, const sq_problem *p)
{
    return (size_t)(p->T + sq__clustered_count(config, p));
}

static void clustered_sizes(const void *config, const sq_problem *p, sq_sizes *sizes)
{
    sizes->forward_workspace = per_thread(config, p, SQ_FORWARD) * (size_t)p->threads;
    sizes->backward_workspace = per_thread(config, p, SQ_BACKWARD) * (size_t)p->threads;
    sizes->saved = (size_t)(p->B * p->H) * saved_numbers(config, p) * sizeof(float);
}

static double clustered_flops(const void *data, const sq_problem *p, sq_pass pass)
{
    const sq_clustered_config *config = data;
    const double pairs = (double)sq__clustered_count(config, p) * (double)p->N, D = (double)p->D, M = (double)p->M, T = (double)p->T;
    const double attention = 2 * pairs * (pass == SQ_FORWARD ? D + M : 3 * D + 2 * M);
    return (double)(p->B * p->H) * (attention + T * D + (pass == SQ_FORWARD ? 2 * T * D * (double)config->bits : T * M));
}

/* ---- one head ---- */

static sq_dense dense_of(const sq_run *run, const sq_head *head, const space *s)
{
    const sq_problem *p = run->problem;
    return (sq_dense){
        .T = sq__clustered_count(run->config, p), .N = head->N, .D = p->D, .M = p->M, .scale = p->scale, .q = s->q, .k = head->k, .v = head->v,
        .q_row = p->D, .k_row = head->k_row, .v_row = head->v_row, .key_keep = head->key_keep, .out = s->out, .out_row = p->M, .lse = s->lse,
    };
}

static int32_t *saved_of(const sq_run *run, const sq_head *head)
{
    const sq_problem *p = run->problem;
    return run->call->saved ? (int32_t *)run->call->saved + (size_t)(head->b * p->H + head->h) * saved_numbers(run->config, p) : NULL;
}

static void forward_head(const sq_run *run, const sq_head *head)
{
    const sq_problem *p = run->problem;
    sq_cut piece = { head->workspace, 0 };
    space s = cut(&piece, run->config, p, SQ_FORWARD);
    int32_t *saved = saved_of(run, head);
    if (saved) s.cluster = saved, s.lse = (float *)(saved + p->T);
    sq__clustered_assign(run, head, s.cluster, s.assign);
    sq__cluster_means(s.q, s.count, sq__clustered_count(run->config, p), head->q, head->q_row, head->T, p->D, s.cluster, run->kernels);
    const sq_dense dense = dense_of(run, head, &s);
    sq__dense_forward(&dense, run->kernels, s.dense);
    sq__gather_rows(head->out, head->out_row, s.out, p->M, s.cluster, head->T, p->M);
}

static void clustered_forward(const sq_run *run)
{
    sq__for_heads(run, per_thread(run->config, run->problem, SQ_FORWARD), forward_head);
}

static void backward_head(const sq_run *run, const sq_head *head)
{
    const sq_problem *p = run->problem;
    const int64_t C = sq__clustered_count(run->config, p);
    sq_cut piece = { head->workspace, 0 };
    space s = cut(&piece, run->config, p, SQ_BACKWARD);
    s.cluster = saved_of(run, head), s.lse = (float *)(s.cluster + p->T);
    sq__cluster_means(s.q, s.count, C, head->q, head->q_row, head->T, p->D, s.cluster, run->kernels);
    memset(s.out, 0, (size_t)(C * p->M) * sizeof(float));
    memset(s.dout, 0, (size_t)(C * p->M) * sizeof(float));
    sq__scatter_rows(s.out, p->M, head->out, head->out_row, s.cluster, head->T, p->M);   /* members hold their centroid's row */
    sq__scatter_add_rows(s.dout, p->M, head->dout, head->dout_row, s.cluster, head->T, p->M, run->kernels);
    const sq_dense dense = dense_of(run, head, &s);
    const sq_dense_gradients gradients = { s.dout, p->M, s.dq, head->dk, head->dv, p->D, head->dk_row, head->dv_row, head->accumulate };
    sq__dense_backward(&dense, &gradients, run->kernels, s.dense);
    for (int64_t c = 0; c < C; c++)
        if (s.count[c] > 1) run->kernels->scale(s.dq + c * p->D, 1 / (float)s.count[c], p->D);
    sq__gather_rows(head->dq, head->dq_row, s.dq, p->D, s.cluster, head->T, p->D);
}

static void clustered_backward(const sq_run *run)
{
    sq__for_heads(run, per_thread(run->config, run->problem, SQ_BACKWARD), backward_head);
}

const sq_attention_kind sq__attention_clustered = {
    .name = "clustered", .title = "clustered attention", .paper = "arXiv:2007.04825", .cost = "O(n C) time, O(n) memory",
    .can = SQ_CAN_CROSS | SQ_CAN_LENGTHS | SQ_CAN_KEY_MASK | SQ_CAN_GROUPED | SQ_CAN_ROTARY,
    .fields = clustered_fields, .config_size = sizeof(sq_clustered_config),
    .tensors = sq__clustered_tensors, .tensor_init = sq__clustered_tensor_init, .sizes = clustered_sizes, .flops = clustered_flops,
    .forward = clustered_forward, .backward = clustered_backward,
};
