/* Improved clustered attention of one head: forward and backward. With m = 1 - s, t_i the top keys' result, b_c the rest's:
 *   out_i = s t_i + m b_c,  dt_i = s dout_i,  db_c = m sum_i dout_i,  dlse of the top keys = m sum_i dout_i . (out_i - b_c) = -dlse of the rest
 * since s = sigmoid(top_lse - rest_lse) and s (t_i - b_c) = out_i - b_c. */
#include "attention/improved_clustered.h"

#include <math.h>
#include <string.h>

enum { ROWS = 512, KEYS = 256 };       /* members attended at once; keys scored at once */

typedef struct head_space {
    int64_t C, K;                      /* clusters, most top keys */
    /* kept for backward; rows by place in order */
    int32_t *cluster, *top, *kept;     /* [T]; [C,K] the top keys of a cluster, of which kept[0] exist */
    float *row_lse, *top_lse, *rest_lse, *rest_out;   /* [T]; of a centroid over its top keys and the rest [C] [C]; [C,M] */
    /* found again */
    int32_t *order, *starts, *count;   /* rows by cluster [T], [C+1]; [C] */
    float *q;                          /* centroids [C,D] */
    uint8_t *rest_keep, *past;         /* [C,N] 1: not a top key; [1+ROWS,K] 1: not a later key */
    float *scores, *value;             /* [C,KEYS] [C,K] */
    float *kt, *vt, *qt, *ot, *lse;    /* one cluster: its top keys [K,D] [K,M], its centroid and members [1+ROWS,D] [1+ROWS,M] [1+ROWS] */
    float *dkt, *dvt, *dqt, *dot, *dlse;
    float *dq, *dout, *dtop, *drest;   /* of the centroids [C,D] [C,M] [C] [C] */
    void *assign, *dense;
} head_space;

/* ---- memory ---- */

static head_space begin(const sq_clustered_config *config, const sq_problem *p)
{
    return (head_space){ .C = sq__clustered_count(config, p), .K = config->topk < p->N ? config->topk : p->N };
}

static void cut_saved(head_space *s, sq_cut *piece, const sq_problem *p)
{
    s->cluster = sq__cut(piece, (size_t)p->T * sizeof(int32_t));
    s->top = sq__cut(piece, (size_t)(s->C * s->K) * sizeof(int32_t));
    s->kept = sq__cut(piece, sizeof(int32_t));
    s->row_lse = sq__cut_floats(piece, p->T);
    s->top_lse = sq__cut_floats(piece, s->C);
    s->rest_lse = sq__cut_floats(piece, s->C);
    s->rest_out = sq__cut_floats(piece, s->C * p->M);
}

static void cut(head_space *s, sq_cut *piece, const sq_clustered_config *config, const sq_problem *p, sq_pass pass)
{
    const int64_t C = s->C, K = s->K, D = p->D, M = p->M, rows = 1 + (p->T < ROWS ? p->T : ROWS);
    const bool back = pass == SQ_BACKWARD;
    s->order = sq__cut(piece, (size_t)p->T * sizeof(int32_t));
    s->starts = sq__cut(piece, (size_t)(C + 1) * sizeof(int32_t));
    s->count = sq__cut(piece, (size_t)C * sizeof(int32_t));
    s->q = sq__cut_floats(piece, C * D);
    s->rest_keep = sq__cut(piece, config->pseudo_causal ? 0 : (size_t)(C * p->N));
    s->past = sq__cut(piece, config->pseudo_causal ? (size_t)(rows * K) : 0);
    s->scores = sq__cut_floats(piece, back ? 0 : C * KEYS);
    s->value = sq__cut_floats(piece, back ? 0 : C * K);
    s->kt = sq__cut_floats(piece, K * D);
    s->vt = sq__cut_floats(piece, K * M);
    s->qt = sq__cut_floats(piece, rows * D);
    s->ot = sq__cut_floats(piece, rows * M);
    s->lse = sq__cut_floats(piece, rows);
    s->dkt = sq__cut_floats(piece, back ? K * D : 0);
    s->dvt = sq__cut_floats(piece, back ? K * M : 0);
    s->dqt = sq__cut_floats(piece, back ? rows * D : 0);
    s->dot = sq__cut_floats(piece, back ? rows * M : 0);
    s->dlse = sq__cut_floats(piece, back ? rows : 0);
    s->dq = sq__cut_floats(piece, back ? C * D : 0);
    s->dout = sq__cut_floats(piece, back ? C * M : 0);
    s->dtop = sq__cut_floats(piece, back ? C : 0);
    s->drest = sq__cut_floats(piece, back ? C : 0);
    s->assign = sq__cut(piece, back ? 0 : sq__clustered_workspace(config, p));
    const size_t rest = config->pseudo_causal ? 0 : sq__dense_workspace(C, p->N, D, M, pass), members = sq__dense_workspace(rows, K, D, M, pass);
    s->dense = sq__cut(piece, rest > members ? rest : members);
}

size_t sq__improved_saved_bytes(const sq_clustered_config *config, const sq_problem *p)
{
    head_space s = begin(config, p);
    sq_cut piece = { NULL, 0 };
    cut_saved(&s, &piece, p);
    return piece.used;
}

size_t sq__improved_thread_bytes(const sq_clustered_config *config, const sq_problem *p, sq_pass pass)
{
    head_space s = begin(config, p);
    sq_cut piece = { NULL, 0 };
    cut(&s, &piece, config, p, pass);
    cut_saved(&s, &piece, p);              /* of a forward that nobody differentiates */
    return piece.used;
}

static head_space space_of(const sq_run *run, const sq_head *head, sq_pass pass)
{
    const sq_problem *p = run->problem;
    head_space s = begin(run->config, p);
    sq_cut piece = { head->workspace, 0 }, saved = { run->call->saved, 0 };
    cut(&s, &piece, run->config, p, pass);
    if (saved.base) saved.base += (size_t)(head->b * p->H + head->h) * sq__improved_saved_bytes(run->config, p);
    cut_saved(&s, saved.base ? &saved : &piece, p);
    return s;
}

static bool pseudo_causal(const sq_run *run)
{
    const sq_clustered_config *config = run->config;
    return config->pseudo_causal;
}

/* ---- the parts ---- */

/* Order of the rows, and the centroids. */
static void group(const sq_run *run, const sq_head *head, head_space *s)
{
    const int64_t D = run->problem->D;
    sq__sort_buckets(s->order, s->starts, s->cluster, head->T, s->C);
    sq__cluster_means(s->q, s->count, s->C, head->q, head->q_row, head->T, D, s->cluster, run->kernels);
}

/* The K keys of the largest scores of each centroid: all centroids meet one piece of the keys after another. */
static void choose(const sq_run *run, const sq_head *head, head_space *s)
{
    const sq_problem *p = run->problem;
    int64_t visible = 0;
    for (int64_t j = 0; j < head->N; j++) visible += !head->key_keep || head->key_keep[j];
    s->kept[0] = (int32_t)(visible < s->K ? visible : s->K);
    int32_t *taken = s->count;             /* which forward has no more use for */
    memset(taken, 0, (size_t)s->C * sizeof *taken);
    for (int64_t j0 = 0; j0 < head->N; j0 += KEYS) {
        const int64_t keys = head->N - j0 < KEYS ? head->N - j0 : KEYS;
        sq__gemm(false, true, s->C, keys, p->D, p->scale, s->q, p->D, head->k + j0 * head->k_row, head->k_row, 0, s->scores, KEYS);
        for (int64_t c = 0; c < s->C; c++) {
            float *score = s->scores + c * KEYS;
            sq_largest largest = { s->kept[0], taken[c], s->value + c * s->K, s->top + c * s->K };
            for (int64_t j = 0; head->key_keep && j < keys; j++)
                if (!head->key_keep[j0 + j]) score[j] = -INFINITY;
            sq__largest_offer(&largest, score, keys, (int32_t)j0);
            taken[c] = (int32_t)largest.count;
        }
    }
    for (int64_t c = 0; c < s->C; c++) {
        for (int32_t hole = taken[c]; hole < s->kept[0]; hole++) s->top[c * s->K + hole] = 0;   /* scores that are no numbers */
        sq__largest_sort(&(sq_largest){ s->kept[0], s->kept[0], NULL, s->top + c * s->K });
    }
}

static sq_dense rest_of(const sq_run *run, const sq_head *head, const head_space *s)
{
    const sq_problem *p = run->problem;
    memset(s->rest_keep, 1, (size_t)(s->C * p->N));
    for (int64_t c = 0; c < s->C; c++)
        for (int64_t t = 0; t < s->kept[0]; t++) s->rest_keep[c * p->N + s->top[c * s->K + t]] = 0;
    return (sq_dense){
        .T = s->C, .N = head->N, .D = p->D, .M = p->M, .scale = p->scale, .q = s->q, .k = head->k, .v = head->v, .q_row = p->D,
        .k_row = head->k_row, .v_row = head->v_row, .key_keep = head->key_keep, .pair_keep = s->rest_keep, .pair_row = p->N,
        .out = s->rest_out, .out_row = p->M, .lse = s->rest_lse,
    };
}

static void gather_keys(const sq_run *run, const sq_head *head, const head_space *s, int64_t c)
{
    const sq_problem *p = run->problem;
    sq__gather_rows(s->kt, p->D, head->k, head->k_row, s->top + c * s->K, s->kept[0], p->D);
    sq__gather_rows(s->vt, p->M, head->v, head->v_row, s->top + c * s->K, s->kept[0], p->M);
}

/* The centroid, then `count` members from place `from` on, over the top keys of cluster c. */
static sq_dense members_of(const sq_run *run, const sq_head *head, const head_space *s, int64_t c, int64_t from, int64_t count)
{
    const sq_problem *p = run->problem;
    const int64_t K = s->kept[0];
    const bool past = pseudo_causal(run);
    memcpy(s->qt, s->q + c * p->D, (size_t)p->D * sizeof(float));
    sq__gather_rows(s->qt + p->D, p->D, head->q, head->q_row, s->order + from, count, p->D);
    for (int64_t i = 0; past && i <= count; i++)
        for (int64_t t = 0; t < K; t++) s->past[i * s->K + t] = i > 0 && s->top[c * s->K + t] <= s->order[from + i - 1];
    return (sq_dense){
        .T = 1 + count, .N = K, .D = p->D, .M = p->M, .scale = p->scale, .q = s->qt, .k = s->kt, .v = s->vt, .q_row = p->D, .k_row = p->D,
        .v_row = p->M, .pair_keep = past ? s->past : NULL, .pair_row = s->K, .out = s->ot, .out_row = p->M, .lse = s->lse,
    };
}

/* e^lse / (e^lse + e^other); 0 where there is nothing at all. */
static float share(float lse, float other)
{
    if (lse == -INFINITY) return 0;
    return 1 / (1 + expf(other - lse));
}

static float top_share(const sq_run *run, const head_space *s, int64_t c)
{
    return pseudo_causal(run) ? 1 : share(s->top_lse[c], s->rest_lse[c]);
}

static float rest_share(const sq_run *run, const head_space *s, int64_t c)
{
    return pseudo_causal(run) ? 0 : share(s->rest_lse[c], s->top_lse[c]);
}

/* ---- forward ---- */

static void forward_members(const sq_run *run, const sq_head *head, head_space *s, int64_t c, int64_t from, int64_t count)
{
    const sq_problem *p = run->problem;
    const sq_dense dense = members_of(run, head, s, c, from, count);
    sq__dense_forward(&dense, run->kernels, s->dense);
    s->top_lse[c] = s->lse[0];
    memcpy(s->row_lse + from, s->lse + 1, (size_t)count * sizeof(float));
    const float top = top_share(run, s, c), rest = rest_share(run, s, c);
    for (int64_t i = 0; i < count; i++) {
        float *out = head->out + s->order[from + i] * head->out_row;
        memcpy(out, s->ot + (1 + i) * p->M, (size_t)p->M * sizeof *out);
        if (pseudo_causal(run)) continue;
        run->kernels->scale(out, top, p->M);
        run->kernels->axpy(out, rest, s->rest_out + c * p->M, p->M);
    }
}

static void forward_head(const sq_run *run, const sq_head *head)
{
    head_space s = space_of(run, head, SQ_FORWARD);
    sq__clustered_assign(run, head, s.cluster, s.assign);
    group(run, head, &s);
    choose(run, head, &s);
    if (!pseudo_causal(run)) {
        const sq_dense rest = rest_of(run, head, &s);
        sq__dense_forward(&rest, run->kernels, s.dense);
    }
    for (int64_t c = 0; c < s.C; c++) {
        gather_keys(run, head, &s, c);
        for (int64_t from = s.starts[c]; from < s.starts[c + 1]; from += ROWS)
            forward_members(run, head, &s, c, from, s.starts[c + 1] - from < ROWS ? s.starts[c + 1] - from : ROWS);
    }
}

void sq__improved_forward(const sq_run *run)
{
    sq__for_heads(run, sq__improved_thread_bytes(run->config, run->problem, SQ_FORWARD), forward_head);
}

/* ---- backward ---- */

/* dout of each centroid's rest, and the gradients of the two log-sum-exps. Where s is a constant only the rest's share moves. */
static void share_gradients(const sq_run *run, const sq_head *head, head_space *s)
{
    const sq_clustered_config *config = run->config;
    const int64_t M = run->problem->M;
    memset(s->dout, 0, (size_t)(s->C * M) * sizeof(float));
    memset(s->dtop, 0, (size_t)s->C * sizeof(float));
    memset(s->drest, 0, (size_t)s->C * sizeof(float));
    if (pseudo_causal(run)) return;
    sq__scatter_add_rows(s->dout, M, head->dout, head->dout_row, s->cluster, head->T, M, run->kernels);
    for (int64_t c = 0; c < s->C; c++) {
        if (s->count[c] == 0) continue;
        const float rest = rest_share(run, s, c), shared = run->kernels->dot(s->dout + c * M, s->rest_out + c * M, M);
        float along = 0;
        for (int64_t at = s->starts[c]; at < s->starts[c + 1]; at++)
            along += run->kernels->dot(head->dout + s->order[at] * head->dout_row, head->out + s->order[at] * head->out_row, M);
        s->dtop[c] = rest * (config->convention == SQ_IMPROVED_IDIAP ? -top_share(run, s, c) * shared : along - shared);
        s->drest[c] = -s->dtop[c];
        run->kernels->scale(s->dout + c * M, rest, M);
    }
}

/* Rows of t and their gradients: t_i = (out_i - m b_c) / s, which is exact enough wherever s dout_i is not nothing. */
static void gather_gradients(const sq_run *run, const sq_head *head, head_space *s, int64_t c, int64_t from, int64_t count)
{
    const int64_t M = run->problem->M;
    const float top = top_share(run, s, c), rest = rest_share(run, s, c), back = top > 1e-18f ? 1 / top : 0;
    sq__gather_rows(s->ot + M, M, head->out, head->out_row, s->order + from, count, M);
    sq__gather_rows(s->dot + M, M, head->dout, head->dout_row, s->order + from, count, M);
    memset(s->ot, 0, (size_t)M * sizeof(float));       /* the centroid's row counts by its log-sum-exp alone */
    memset(s->dot, 0, (size_t)M * sizeof(float));
    for (int64_t i = 1; i <= count && !pseudo_causal(run); i++) {
        run->kernels->axpy(s->ot + i * M, -rest, s->rest_out + c * M, M);
        run->kernels->scale(s->ot + i * M, back, M);
        run->kernels->scale(s->dot + i * M, back > 0 ? top : 0, M);
    }
    s->lse[0] = s->top_lse[c];
    memcpy(s->lse + 1, s->row_lse + from, (size_t)count * sizeof(float));
    memset(s->dlse, 0, (size_t)(1 + count) * sizeof(float));
    if (from == s->starts[c]) s->dlse[0] = s->dtop[c];
}

static void backward_cluster(const sq_run *run, const sq_head *head, head_space *s, int64_t c)
{
    const sq_problem *p = run->problem;
    const int64_t D = p->D, M = p->M, K = s->kept[0];
    gather_keys(run, head, s, c);
    for (int64_t from = s->starts[c]; from < s->starts[c + 1]; from += ROWS) {
        const int64_t count = s->starts[c + 1] - from < ROWS ? s->starts[c + 1] - from : ROWS;
        sq_dense dense = members_of(run, head, s, c, from, count);
        dense.dlse = s->dlse;
        gather_gradients(run, head, s, c, from, count);
        const sq_dense_gradients gradients = { .dout = s->dot, .dout_row = M, .dq = s->dqt, .dk = s->dkt, .dv = s->dvt, .dq_row = D, .dk_row = D,
                                               .dv_row = M, .accumulate_kv = from > s->starts[c] };
        sq__dense_backward(&dense, &gradients, run->kernels, s->dense);
        run->kernels->axpy(s->dq + c * D, 1, s->dqt, D);
        sq__scatter_rows(head->dq, head->dq_row, s->dqt + D, D, s->order + from, count, D);
    }
    sq__scatter_add_rows(head->dk, head->dk_row, s->dkt, D, s->top + c * s->K, K, D, run->kernels);
    sq__scatter_add_rows(head->dv, head->dv_row, s->dvt, M, s->top + c * s->K, K, M, run->kernels);
}

static void backward_head(const sq_run *run, const sq_head *head)
{
    const sq_problem *p = run->problem;
    head_space s = space_of(run, head, SQ_BACKWARD);
    group(run, head, &s);
    share_gradients(run, head, &s);
    if (pseudo_causal(run)) {
        memset(s.dq, 0, (size_t)(s.C * p->D) * sizeof(float));
        if (!head->accumulate) sq__zero_rows(head->dk, head->dk_row, 0, head->N, p->D);
        if (!head->accumulate) sq__zero_rows(head->dv, head->dv_row, 0, head->N, p->M);
    } else {
        sq_dense rest = rest_of(run, head, &s);
        const sq_dense_gradients gradients = { .dout = s.dout, .dout_row = p->M, .dq = s.dq, .dk = head->dk, .dv = head->dv, .dq_row = p->D,
                                               .dk_row = head->dk_row, .dv_row = head->dv_row, .accumulate_kv = head->accumulate };
        rest.dlse = s.drest;
        sq__dense_backward(&rest, &gradients, run->kernels, s.dense);
    }
    for (int64_t c = 0; c < s.C; c++) {
        if (s.count[c] == 0) continue;
        backward_cluster(run, head, &s, c);
        run->kernels->scale(s.dq + c * p->D, 1 / (float)s.count[c], p->D);
    }
    for (int64_t i = 0; i < head->T; i++) run->kernels->axpy(head->dq + i * head->dq_row, 1, s.dq + s.cluster[i] * p->D, p->D);
}

void sq__improved_backward(const sq_run *run)
{
    sq__for_heads(run, sq__improved_thread_bytes(run->config, run->problem, SQ_BACKWARD), backward_head);
}
