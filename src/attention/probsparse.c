/* ProbSparse attention of Informer (arXiv:2012.07436): exact rows for the queries whose attention seems least even, the mean for the rest.
 *   M_i = max_t s_it - mean_t s_it,  s_it = scale q_i . k_{r(i,t)} over U keys r drawn for each query
 *   out_i = softmax_j(scale q_i . k_j) v_j  for the u queries of the largest M_i, else mean_j v_j
 * q [T,D]; k [N,D]; v [N,M]; U = factor ceil(ln N), u = factor ceil(ln T). O(T U D + u N (D + M)) time, O(N D) working memory for each
 * thread (pseudo_causal: and u N bytes); saves u numbers and the u queries of each head.
 *
 * The keys are drawn with repetition, the same for all heads and entries, from (seed, step), or once into the tensor `samples` (resample).
 * Lengths count as if each entry stood alone; a masked key that was drawn does not count, a query without any other gets no exact row.
 * Which queries are exact is a constant for the gradient. Of equal measures the lower query is taken.
 *
 * pseudo_causal is what the reference calls masked: the exact rows see keys up to theirs, the rest gets the mean of the values up to it. Which
 * rows are exact is measured on the whole sequence, so it is not causality, and the plan must not be a causal one.
 *
 *   reference                      options and tensors
 *   zhouhaoyi/Informer2020         convention=informer; factor; resample=false with samples = index_sample; causal: pseudo_causal
 *
 * Departures from the paper: none. convention=informer divides the sum of M_i by the number of all keys, and where pseudo_causal gives
 * the rest the sum of the values, not the mean. */
#include <math.h>
#include <string.h>

#include "attention/engine/dense.h"
#include "attention/probsparse.h"

typedef struct probsparse_config {
    int64_t factor, samples, queries;
    bool resample, pseudo_causal;
    int convention;
} probsparse_config;

static const char *const conventions[] = { "paper", "informer", NULL };

static const sq_field probsparse_fields[] = {
    SQ_INT(probsparse_config, factor, "5", 1, 65536, "sampled keys and exact queries: factor times the logarithm of the length"),
    SQ_INT(probsparse_config, samples, "0", 0, 1 << 20, "keys sampled for each query; 0: by factor"),
    SQ_INT(probsparse_config, queries, "0", 0, 1 << 20, "queries with exact attention; 0: by factor"),
    SQ_BOOL(probsparse_config, resample, "true", "sample keys anew at every step; false: once, kept with the model"),
    SQ_BOOL(probsparse_config, pseudo_causal, "false", "rows use keys up to theirs, chosen by the whole sequence (not causality)"),
    SQ_CHOICE(probsparse_config, convention, "paper", conventions, "paper; informer: as the authors' code, which divides by other counts"),
    SQ_FIELDS_END
};

/* ---- counts and tensors ---- */

static int64_t count_of(const probsparse_config *config, int64_t given, int64_t n)
{
    const int64_t count = given > 0 ? given : config->factor * (int64_t)ceil(log((double)(n > 1 ? n : 2)));
    return count < n ? count : n;
}

static int probsparse_tensors(const void *data, const sq_problem *p, sq_attention_tensor *infos)
{
    const probsparse_config *config = data;
    if (config->resample) return 0;
    if (infos) infos[0] = (sq_attention_tensor){ "samples", 2, { p->max_length, count_of(config, config->samples, p->max_length) }, false };
    return 1;
}

static sq_status probsparse_tensor_init(const void *data, const sq_problem *p, int index, uint64_t seed, uint64_t draw, float *out)
{
    const probsparse_config *config = data;
    const sq_random random = sq__random_stream(seed, "probsparse.samples", draw);
    const int64_t count = p->max_length * count_of(config, config->samples, p->max_length);
    (void)index;
    for (int64_t i = 0; i < count; i++) out[i] = (float)sq__random_below(&random, (uint64_t)i, (uint64_t)p->max_length);
    return SQ_OK;
}

/* ---- sizes ---- */

typedef struct space {
    int32_t *chosen, *count;           /* [u] exact queries in order, of which count[0] exist */
    float *lse;                        /* [u] */
    float *measure, *value;            /* [T] [u] */
    float *q, *out, *dq, *dout;        /* of the exact queries */
    double *sum;                       /* [M] */
    uint8_t *past;                     /* [u,N] */
    void *dense, *choice;
} space;

static void cut_saved(space *s, sq_cut *piece, const probsparse_config *config, const sq_problem *p)
{
    const int64_t u = count_of(config, config->queries, p->T);
    s->chosen = sq__cut(piece, (size_t)u * sizeof(int32_t));
    s->count = sq__cut(piece, sizeof(int32_t));
    s->lse = sq__cut_floats(piece, u);
}

static void cut(space *s, sq_cut *piece, const probsparse_config *config, const sq_problem *p, sq_pass pass)
{
    const int64_t u = count_of(config, config->queries, p->T);
    const bool back = pass == SQ_BACKWARD;
    s->measure = sq__cut_floats(piece, back ? 0 : p->T);
    s->value = sq__cut_floats(piece, back ? 0 : u);
    s->q = sq__cut_floats(piece, u * p->D);
    s->out = sq__cut_floats(piece, u * p->M);
    s->dq = sq__cut_floats(piece, back ? u * p->D : 0);
    s->dout = sq__cut_floats(piece, back ? u * p->M : 0);
    s->sum = sq__cut(piece, (size_t)p->M * sizeof(double));
    s->past = sq__cut(piece, config->pseudo_causal ? (size_t)(u * p->N) : 0);
    s->dense = sq__cut(piece, sq__dense_workspace(u, p->N, p->D, p->M, pass));
    s->choice = sq__cut(piece, back ? 0 : sq__probsparse_workspace(p->T, p->N, p->D, count_of(config, config->samples, p->N)));
}

static size_t saved_bytes(const probsparse_config *config, const sq_problem *p)
{
    space s;
    sq_cut piece = { NULL, 0 };
    cut_saved(&s, &piece, config, p);
    return piece.used;
}

static size_t per_thread(const probsparse_config *config, const sq_problem *p, sq_pass pass)
{
    space s;
    sq_cut piece = { NULL, 0 };
    cut(&s, &piece, config, p, pass);
    cut_saved(&s, &piece, config, p);      /* of a forward that nobody differentiates */
    return piece.used;
}

static void probsparse_sizes(const void *config, const sq_problem *p, sq_sizes *sizes)
{
    sizes->forward_workspace = per_thread(config, p, SQ_FORWARD) * (size_t)p->threads;
    sizes->backward_workspace = per_thread(config, p, SQ_BACKWARD) * (size_t)p->threads;
    sizes->saved = (size_t)(p->B * p->H) * saved_bytes(config, p);
}

static double probsparse_flops(const void *data, const sq_problem *p, sq_pass pass)
{
    const probsparse_config *config = data;
    const double U = (double)count_of(config, config->samples, p->N), u = (double)count_of(config, config->queries, p->T);
    const double T = (double)p->T, N = (double)p->N, D = (double)p->D, M = (double)p->M;
    const double exact = 2 * u * N * (pass == SQ_FORWARD ? D + M : 3 * D + 2 * M);
    return (double)(p->B * p->H) * (exact + (pass == SQ_FORWARD ? 2 * T * U * D + N * M : (T + N) * M));
}

static space begin(const sq_run *run, const sq_head *head, sq_pass pass)
{
    const sq_problem *p = run->problem;
    space s;
    sq_cut piece = { head->workspace, 0 }, saved = { run->call->saved, 0 };
    cut(&s, &piece, run->config, p, pass);
    if (saved.base) saved.base += (size_t)(head->b * p->H + head->h) * saved_bytes(run->config, p);
    cut_saved(&s, saved.base ? &saved : &piece, run->config, p);
    return s;
}

/* ---- choosing ---- */

static bool visible(const sq_head *head, int64_t j)
{
    return j < head->N && (!head->key_keep || head->key_keep[j]);
}

static void choose(const sq_run *run, const sq_head *head, space *s)
{
    const probsparse_config *config = run->config;
    const sq_problem *p = run->problem;
    sq_probsparse_measure m = {
        .T = head->T, .N = head->N, .D = p->D, .samples = head->N > 0 ? count_of(config, config->samples, head->N) : 0, .scale = p->scale,
        .convention = config->convention, .q = head->q, .k = head->k, .q_row = head->q_row, .k_row = head->k_row, .key_keep = head->key_keep,
        .random = sq__random_stream(p->seed, "probsparse", run->call->training ? run->call->step : 0),
    };
    if (!config->resample) {
        m.table = run->call->tensors[0];
        m.rows = p->max_length;
        m.columns = count_of(config, config->samples, p->max_length);
    }
    sq__probsparse_measure(&m, run->kernels, s->measure, s->choice);
    sq_largest largest = { head->T > 0 ? count_of(config, config->queries, head->T) : 0, 0, s->value, s->chosen };
    sq__largest_offer(&largest, s->measure, head->T, 0);
    sq__largest_sort(&largest);
    s->count[0] = (int32_t)largest.count;
}

static sq_dense exact_rows(const sq_run *run, const sq_head *head, const space *s)
{
    const sq_problem *p = run->problem;
    const probsparse_config *config = run->config;
    sq__gather_rows(s->q, p->D, head->q, head->q_row, s->chosen, s->count[0], p->D);
    for (int64_t c = 0; config->pseudo_causal && c < s->count[0]; c++)
        for (int64_t j = 0; j < head->N; j++) s->past[c * p->N + j] = j <= s->chosen[c];
    return (sq_dense){
        .T = s->count[0], .N = head->N, .D = p->D, .M = p->M, .scale = p->scale, .q = s->q, .k = head->k, .v = head->v, .q_row = p->D,
        .k_row = head->k_row, .v_row = head->v_row, .key_keep = head->key_keep, .pair_keep = config->pseudo_causal ? s->past : NULL,
        .pair_row = p->N, .out = s->out, .out_row = p->M, .lse = s->lse,
    };
}

/* ---- the rest: means of values ---- */

/* What the sum over `count` values is multiplied by. */
static double rest_factor(const probsparse_config *config, int64_t count)
{
    if (count == 0 || (config->pseudo_causal && config->convention == SQ_PROBSPARSE_INFORMER)) return 1;
    return 1 / (double)count;
}

static void forward_rest(const sq_run *run, const sq_head *head, const space *s)
{
    const probsparse_config *config = run->config;
    const int64_t M = run->problem->M;
    int64_t j = 0, count = 0;
    memset(s->sum, 0, (size_t)M * sizeof *s->sum);
    for (int64_t i = 0; i < head->T; i++) {
        for (; j < head->N && (!config->pseudo_causal || j <= i); j++) {
            if (!visible(head, j)) continue;
            for (int64_t m = 0; m < M; m++) s->sum[m] += head->v[j * head->v_row + m];
            count++;
        }
        const double factor = rest_factor(config, count);
        float *row = head->out + i * head->out_row;
        if (i > 0 && !config->pseudo_causal) memcpy(row, head->out, (size_t)M * sizeof *row);
        else for (int64_t m = 0; m < M; m++) row[m] = (float)(factor * s->sum[m]);
    }
}

/* dv_j += sum of factor_i dout_i over the rest's rows i that use value j, from the last row on. */
static void backward_rest(const sq_run *run, const sq_head *head, const space *s)
{
    const probsparse_config *config = run->config;
    const int64_t M = run->problem->M;
    int64_t i = head->T - 1, at = s->count[0] - 1, count = 0, reach = head->N;
    memset(s->sum, 0, (size_t)M * sizeof *s->sum);
    for (int64_t j = 0; j < head->N; j++) count += visible(head, j);
    for (int64_t j = head->N - 1; j >= 0; j--) {
        for (; i >= 0 && (!config->pseudo_causal || i >= j); i--) {
            for (; config->pseudo_causal && reach > i + 1; reach--) count -= visible(head, reach - 1);
            if (at >= 0 && s->chosen[at] == i) {
                at--;
                continue;
            }
            const double factor = rest_factor(config, count);
            for (int64_t m = 0; m < M; m++) s->sum[m] += factor * head->dout[i * head->dout_row + m];
        }
        for (int64_t m = 0; visible(head, j) && m < M; m++) head->dv[j * head->dv_row + m] += (float)s->sum[m];
    }
}

/* ---- forward and backward ---- */

static void forward_head(const sq_run *run, const sq_head *head)
{
    const int64_t M = run->problem->M;
    space s = begin(run, head, SQ_FORWARD);
    choose(run, head, &s);
    forward_rest(run, head, &s);
    const sq_dense dense = exact_rows(run, head, &s);
    sq__dense_forward(&dense, run->kernels, s.dense);
    sq__scatter_rows(head->out, head->out_row, s.out, M, s.chosen, s.count[0], M);
}

static void probsparse_forward(const sq_run *run)
{
    sq__for_heads(run, per_thread(run->config, run->problem, SQ_FORWARD), forward_head);
}

static void backward_head(const sq_run *run, const sq_head *head)
{
    const int64_t D = run->problem->D, M = run->problem->M;
    space s = begin(run, head, SQ_BACKWARD);
    const sq_dense dense = exact_rows(run, head, &s);
    const sq_dense_gradients gradients = { s.dout, M, s.dq, head->dk, head->dv, D, head->dk_row, head->dv_row, head->accumulate };
    sq__gather_rows(s.out, M, head->out, head->out_row, s.chosen, s.count[0], M);
    sq__gather_rows(s.dout, M, head->dout, head->dout_row, s.chosen, s.count[0], M);
    sq__dense_backward(&dense, &gradients, run->kernels, s.dense);
    sq__zero_rows(head->dq, head->dq_row, 0, head->T, D);
    sq__scatter_rows(head->dq, head->dq_row, s.dq, D, s.chosen, s.count[0], D);
    backward_rest(run, head, &s);
}

static void probsparse_backward(const sq_run *run)
{
    sq__for_heads(run, per_thread(run->config, run->problem, SQ_BACKWARD), backward_head);
}

const sq_attention_kind sq__attention_probsparse = {
    .name = "probsparse", .title = "ProbSparse attention (Informer)", .paper = "arXiv:2012.07436", .cost = "O(n log n) time, O(n) memory",
    .can = SQ_CAN_CROSS | SQ_CAN_LENGTHS | SQ_CAN_KEY_MASK | SQ_CAN_GROUPED | SQ_CAN_ROTARY, .fields = probsparse_fields,
    .config_size = sizeof(probsparse_config), .tensors = probsparse_tensors, .tensor_init = probsparse_tensor_init, .sizes = probsparse_sizes,
    .flops = probsparse_flops, .forward = probsparse_forward, .backward = probsparse_backward,
};
