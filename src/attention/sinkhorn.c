/* Sparse Sinkhorn attention (arXiv:2002.11296): every block of queries attends to its own block of keys and to sorted ones.
 *   r_uv = scale mean(q of block u) . mean(k of block v)
 *   sinkhorn  M = rows and columns of exp((log(relu(r) + 1e-6) + Gumbel noise) / temperature) normalised in turn, `iterations` times;
 *             sorted block u = sum_v M_uv block v (keys and values)
 *   topk      pick the v of the largest softmax_v(r_uv / temperature), its block times that weight; again without it, `topk` times
 *   sortcut   the same once for all queries, whose mean is one group
 *   out_i = softmax over the sorted and the own block's keys
 * Causal (sinkhorn or topk): picks among earlier blocks and `topk` null blocks (null_key, null_value [H,D], [H,M], score 0) by
 *   r_uv = scale (mean of all q up to block u's first) . (sum over block v's rows of the mean of all k up to each); own block causal;
 *   heads from H/2 on see the sequence turned left by block - 1, the turned rows only each other.
 * q, k [n,D], v [n,M]. O(n block (D + M) + n^2 / block D) time, (n / block)^2 numbers beside the rows: with block = sqrt(n), the
 * default, O(n sqrt(n)) and O(n).
 *
 * Departures from the paper: its sorting network reads the layer's input, this one the queries and keys, as the public implementation
 * does (so it has no weights). The last block may be short: rows that it lacks are missing from mixtures and copies. A mixture's row
 * is seen where some block has it. Blocks of absent queries have no part in the normalisation. Hidden keys count in no mean; a block of hidden keys is never chosen. Which blocks are picked is a constant of
 * the gradient, their weights are not.
 *
 * convention = lucidrains: not causal and without sortcut, the sorted keys stand in the place of the sorted values (a slip of that program).
 */
#include "attention/sinkhorn.h"

#include <math.h>

#include "base/random.h"

/* ---- options ---- */

static const char *const sortings[] = { "sinkhorn", "topk", "sortcut", NULL };
static const char *const noises[] = { "none", "training", "fixed", NULL };
static const char *const conventions[] = { "paper", "lucidrains", NULL };

static const sq_field sinkhorn_fields[] = {
    SQ_INT(sq_sinkhorn_config, block, "0", 0, 1048576, "rows of a block; 0: the root of the longest sequence, at least 16"),
    SQ_CHOICE(sq_sinkhorn_config, sorting, "sinkhorn", sortings, "sinkhorn: balanced mixtures (causal: picks); topk: picked blocks; "
              "sortcut: the same blocks for all queries"),
    SQ_INT(sq_sinkhorn_config, topk, "2", 1, 64, "blocks picked"),
    SQ_FLOAT(sq_sinkhorn_config, temperature, "0.75", 1e-3, 1e3, "of the weights"),
    SQ_INT(sq_sinkhorn_config, iterations, "7", 0, 100, "normalisations of rows and columns"),
    SQ_CHOICE(sq_sinkhorn_config, noise, "training", noises, "Gumbel noise of sinkhorn: none, anew in each step of training, or a tensor"),
    SQ_CHOICE(sq_sinkhorn_config, convention, "paper", conventions, "the paper's rules, or a public implementation's"),
    SQ_FIELDS_END
};

/* ---- shape and validate ---- */

sq_sinkhorn_shape sq__sinkhorn_shape(const sq_sinkhorn_config *config, const sq_problem *p)
{
    const int64_t root = (int64_t)ceil(sqrt((double)p->max_length));
    sq_sinkhorn_shape s = { .block = config->block ? config->block : root > 16 ? root : 16, .causal = p->causal,
                            .sortcut = config->sorting == SQ_SINKHORN_SORTCUT };
    s.blocks = (p->max_length + s.block - 1) / s.block;
    s.picks = p->causal || config->sorting != SQ_SINKHORN_BALANCE ? config->topk : 0;
    s.sorted = (s.sortcut ? 1 : (p->T + s.block - 1) / s.block) * (s.picks ? s.picks : 1);
    s.gumbel = !s.picks && config->noise == SQ_SINKHORN_FIXED;
    return s;
}

static sq_status sinkhorn_validate(const void *data, const sq_problem *p, sq_error *error)
{
    const sq_sinkhorn_config *config = data;
    if (p->causal && config->sorting == SQ_SINKHORN_SORTCUT)
        return sq__fail(error, SQ_UNSUPPORTED, "sinkhorn: sortcut lets every query see blocks chosen by all; causal needs sorting sinkhorn or topk");
    if (config->convention == SQ_SINKHORN_LUCIDRAINS && p->D != p->M)
        return sq__fail(error, SQ_UNSUPPORTED, "sinkhorn: convention lucidrains puts keys in the place of values; expected D = M, not %lld and %lld",
                        (long long)p->D, (long long)p->M);
    return SQ_OK;
}

/* ---- tensors ---- */

static int sinkhorn_tensors(const void *data, const sq_problem *p, sq_attention_tensor *infos)
{
    const sq_sinkhorn_shape s = sq__sinkhorn_shape(data, p);
    if (infos && s.gumbel) infos[0] = (sq_attention_tensor){ "gumbel", 3, { p->H, s.blocks, s.blocks }, false };
    if (infos && s.causal) infos[0] = (sq_attention_tensor){ "null_key", 2, { p->H, p->D }, true };
    if (infos && s.causal) infos[1] = (sq_attention_tensor){ "null_value", 2, { p->H, p->M }, true };
    return s.gumbel ? 1 : s.causal ? 2 : 0;
}

static sq_status sinkhorn_tensor_init(const void *data, const sq_problem *p, int index, uint64_t seed, uint64_t draw, float *out)
{
    const sq_sinkhorn_shape s = sq__sinkhorn_shape(data, p);
    const sq_random random = sq__random_stream(seed, s.gumbel ? "sinkhorn.gumbel" : index ? "sinkhorn.null_value" : "sinkhorn.null_key", draw);
    if (!s.gumbel) sq__random_normal_fill(&random, out, p->H * (index ? p->M : p->D), 1);
    for (int64_t i = 0; s.gumbel && i < p->H * s.blocks * s.blocks; i++)
        out[i] = (float)-log(-log(sq__random_uniform(&random, (uint64_t)i) + 1e-9) + 1e-9);
    return SQ_OK;
}

/* ---- one head ---- */

static size_t cut(const sq_run *run, const sq_problem *p, const sq_sinkhorn_config *config, sq_pass pass, void *workspace, sq_sinkhorn_head *h)
{
    sq_cut piece = { workspace, 0 };
    *h = (sq_sinkhorn_head){ .run = run, .s = sq__sinkhorn_shape(config, p), .blocks = 0 };
    h->blocks = (p->T + h->s.block - 1) / h->s.block;
    const int64_t groups = h->s.sortcut ? 1 : h->blocks, rows = (h->blocks + h->s.sorted) * h->s.block, pairs = groups * h->blocks, D = p->D;
    const bool back = pass == SQ_BACKWARD;
    h->k = sq__cut_floats(&piece, rows * D);
    h->v = sq__cut_floats(&piece, rows * p->M);
    h->keep = sq__cut(&piece, (size_t)rows);
    h->q_mean = sq__cut_floats(&piece, groups * D);
    h->k_mean = sq__cut_floats(&piece, h->blocks * D);
    h->q_count = sq__cut(&piece, (size_t)groups * sizeof(int32_t));
    h->k_count = sq__cut(&piece, (size_t)h->blocks * sizeof(int32_t));
    h->score = sq__cut_floats(&piece, pairs);
    h->dscore = sq__cut_floats(&piece, pairs);
    h->mix = h->s.picks ? NULL : sq__cut_floats(&piece, pairs);
    h->lse = h->s.picks ? NULL : sq__cut_floats(&piece, 2 * config->iterations * h->blocks);
    h->candidate = sq__cut_floats(&piece, h->s.picks + h->blocks);
    h->pick = sq__cut(&piece, (size_t)h->s.sorted * sizeof(int32_t));
    h->weight = sq__cut_floats(&piece, h->s.sorted);
    h->sum = sq__cut(&piece, (size_t)D * sizeof(double));
    h->exact = h->s.causal ? NULL : sq__cut(&piece, (size_t)((groups + h->blocks) * D) * sizeof(double));
    if (back) {
        h->dk = sq__cut_floats(&piece, rows * D);
        h->dv = sq__cut_floats(&piece, rows * p->M);
        h->dq_mean = sq__cut_floats(&piece, groups * D);
        h->dk_mean = sq__cut_floats(&piece, h->blocks * D);
        h->dmix = h->s.picks ? NULL : sq__cut_floats(&piece, pairs);
        h->dweight = sq__cut_floats(&piece, h->s.sorted);
    }
    h->pattern = sq__sinkhorn_pattern(h);
    h->engine = sq__cut(&piece, sq__sparse_workspace(p->T, rows, D, p->M, &h->pattern, SQ_SPARSE_MERGE, pass));
    return piece.used;
}

static size_t per_thread(const sq_sinkhorn_config *config, const sq_problem *p, sq_pass pass)
{
    sq_sinkhorn_head h;
    return cut(NULL, p, config, pass, NULL, &h);
}

static size_t stats_floats(const sq_sinkhorn_config *config, const sq_problem *p)
{
    sq_sinkhorn_head h;
    cut(NULL, p, config, SQ_FORWARD, NULL, &h);
    return sq__sparse_stats_floats(p->T, &h.pattern, SQ_SPARSE_MERGE);
}

/* Blocks, means, sorted blocks; then the engine's call. */
static sq_sparse prepare(sq_sinkhorn_head *h, const sq_head *head)
{
    const sq_run *run = h->run;
    const sq_problem *p = run->problem;
    const int64_t index = head->b * p->H + head->h;
    h->head = head;
    h->n = head->T > head->N ? head->T : head->N;
    h->blocks = (h->n + h->s.block - 1) / h->s.block;
    h->groups = h->s.sortcut ? 1 : h->blocks;
    h->shift = h->s.causal && head->h >= p->H / 2 ? (h->s.block < h->n ? h->s.block : h->n) - 1 : 0;
    sq__sinkhorn_pack(h);
    sq__sinkhorn_sort(h);
    sq__sinkhorn_place(h);
    h->pattern = sq__sinkhorn_pattern(h);
    return (sq_sparse){
        .T = head->T, .N = (h->blocks + h->groups * (h->s.picks ? h->s.picks : 1)) * h->s.block, .D = p->D, .M = p->M, .scale = p->scale,
        .mode = SQ_SPARSE_MERGE, .pattern = &h->pattern, .q = head->q, .q_row = head->q_row, .k = h->k, .k_row = p->D, .v = h->v, .v_row = p->M,
        .key_keep = h->keep, .out = head->out, .out_row = head->out_row,
        .stats = run->call->saved ? (float *)run->call->saved + (size_t)index * stats_floats(run->config, p) : NULL,
    };
}

/* ---- sizes ---- */

static void sinkhorn_sizes(const void *data, const sq_problem *p, sq_sizes *sizes)
{
    sizes->forward_workspace = per_thread(data, p, SQ_FORWARD) * (size_t)p->threads;
    sizes->backward_workspace = per_thread(data, p, SQ_BACKWARD) * (size_t)p->threads + (size_t)(p->B * p->H * (p->D + p->M)) * sizeof(float);
    sizes->saved = (size_t)(p->B * p->H) * stats_floats(data, p) * sizeof(float);
}

static double sinkhorn_flops(const void *data, const sq_problem *p, sq_pass pass)
{
    const sq_sinkhorn_shape s = sq__sinkhorn_shape(data, p);
    const double n = (double)p->T, D = (double)p->D, M = (double)p->M, blocks = ceil(n / (double)s.block);
    const double pairs = n * (double)((s.picks ? s.picks : 1) + 1) * (double)s.block;
    const double sort = (s.sortcut ? 1 : blocks) * blocks * D + (s.picks ? 0 : blocks * n * (D + M));
    return 2 * (double)(p->B * p->H) * (pairs * (pass == SQ_FORWARD ? D + M : 3 * D + 2 * M) + sort * (pass == SQ_FORWARD ? 1 : 3));
}

/* ---- forward ---- */

static void forward_head(const sq_run *run, const sq_head *head)
{
    sq_sinkhorn_head h;
    if (head->T == 0) return;
    cut(run, run->problem, run->config, SQ_FORWARD, head->workspace, &h);
    const sq_sparse sparse = prepare(&h, head);
    sq__sparse_forward(&sparse, run->kernels, h.engine);
}

static void sinkhorn_forward(const sq_run *run)
{
    sq__for_heads(run, per_thread(run->config, run->problem, SQ_FORWARD), forward_head);
}

void sq__sinkhorn_matrix(const sq_run *run, int64_t b, int64_t head_index, float *matrix)
{
    sq_sinkhorn_head h;
    const sq_head head = sq__head(run, b, head_index);
    cut(run, run->problem, run->config, SQ_FORWARD, run->call->workspace, &h);
    prepare(&h, &head);
    const int64_t nulls = h.s.causal ? h.s.picks : 0, width = nulls + h.blocks, rows = h.groups * (h.s.picks ? h.s.picks : 1);
    int64_t null = 0;
    for (int64_t i = 0; i < rows * width; i++) matrix[i] = h.s.picks ? 0 : expf(h.mix[i]);
    for (int64_t i = 0; h.s.picks && i < rows; i++) {
        if (i % h.s.picks == 0) null = 0;
        if (h.pick[i] == SQ_SINKHORN_NULL) matrix[i * width + null++] = h.weight[i];
        else if (h.pick[i] >= 0) matrix[i * width + nulls + h.pick[i]] = h.weight[i];
    }
}

/* ---- backward ---- */

/* Gradients of the nulls by (b, h), behind the threads' workspace. */
static float *null_sums(const sq_run *run, int64_t index)
{
    const sq_problem *p = run->problem;
    char *after = (char *)run->call->workspace + per_thread(run->config, p, SQ_BACKWARD) * (size_t)p->threads;
    return (float *)(void *)after + index * (p->D + p->M);
}

static void backward_head(const sq_run *run, const sq_head *head)
{
    const sq_problem *p = run->problem;
    sq_sinkhorn_head h;
    if (!head->accumulate) {
        sq__zero_rows(head->dk, head->dk_row, 0, head->N, p->D);
        sq__zero_rows(head->dv, head->dv_row, 0, head->N, p->M);
    }
    cut(run, p, run->config, SQ_BACKWARD, head->workspace, &h);
    h.dnull = null_sums(run, head->b * p->H + head->h);
    sq__zero_rows(h.dnull, 0, 0, 1, p->D + p->M);
    if (head->T == 0) return;
    const sq_sparse sparse = prepare(&h, head);
    const sq_dense_gradients gradients = { .dout = head->dout, .dout_row = head->dout_row, .dq = head->dq, .dq_row = head->dq_row,
                                           .dk = h.dk, .dk_row = p->D, .dv = h.dv, .dv_row = p->M };
    sq__sparse_backward(&sparse, &gradients, run->kernels, h.engine);
    sq__sinkhorn_place_backward(&h);
    sq__sinkhorn_sort_backward(&h);
    sq__sinkhorn_unpack(&h);
}

static void sinkhorn_backward(const sq_run *run)
{
    const sq_problem *p = run->problem;
    const sq_sinkhorn_shape s = sq__sinkhorn_shape(run->config, p);
    float *const *to = run->gradients->dtensors;
    sq__for_heads(run, per_thread(run->config, p, SQ_BACKWARD), backward_head);
    for (int64_t i = 0; s.causal && to && i < p->B * p->H; i++) {
        if (to[0]) run->kernels->axpy(to[0] + i % p->H * p->D, 1, null_sums(run, i), p->D);
        if (to[1]) run->kernels->axpy(to[1] + i % p->H * p->M, 1, null_sums(run, i) + p->D, p->M);
    }
}

const sq_attention_kind sq__attention_sinkhorn = {
    .name = "sinkhorn", .title = "sparse Sinkhorn sorting", .paper = "arXiv:2002.11296", .cost = "O(n sqrt(n) (D + M)) time, O(n) memory",
    .can = SQ_CAN_CAUSAL | SQ_CAN_LENGTHS | SQ_CAN_KEY_MASK | SQ_CAN_GROUPED,
    .fields = sinkhorn_fields, .config_size = sizeof(sq_sinkhorn_config), .validate = sinkhorn_validate, .tensors = sinkhorn_tensors,
    .tensor_init = sinkhorn_tensor_init, .sizes = sinkhorn_sizes, .flops = sinkhorn_flops, .forward = sinkhorn_forward, .backward = sinkhorn_backward,
};
