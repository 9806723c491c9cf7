/* One head of routing: who meets whom becomes tiles of the sparse engine, a softmax for each cluster and row. */
#include <string.h>

#include "attention/routing.h"

enum { QUERIES = SQ_SPARSE_QUERIES };

typedef struct head_run {              /* context of the pattern */
    sq_routing_shape s;
    sq_routing_lists lists;
    int64_t T, keys;                   /* rows; memory begins at row `keys` of k and v */
    bool causal;
    float *taken;                      /* [T] 1 / clusters that took a row */
    float *q, *k, *v;                  /* [T,D] normalised; [keys + memory, D]; [keys + memory, M] with memory */
    float *dq, *dk, *dv, *scratch;     /* as q, k, v; [2 D or M] */
    void *choose, *engine;
    sq_sparse_pattern pattern;
} head_run;

/* ---- tiles ---- */

typedef struct tile_scratch { sq_sparse_run runs[2]; int32_t low[QUERIES], high[QUERIES]; float weight[QUERIES]; } tile_scratch;

static void tile(const void *context, int64_t index, void *scratch, sq_sparse_tile *to)
{
    const head_run *r = context;
    tile_scratch *t = scratch;
    const int64_t parts = (r->s.queries + QUERIES - 1) / QUERIES, c = index / parts, from = index % parts * QUERIES;
    const int32_t *rows = r->lists.queries + c * r->s.queries + from;
    const int64_t left = r->lists.visible_queries[c] - from, count = left < 0 ? 0 : left < QUERIES ? left : QUERIES;
    for (int64_t i = 0; i < count; i++) {
        t->low[i] = 0;
        t->high[i] = rows[i] + 1;
        t->weight[i] = r->taken[rows[i]];
    }
    t->runs[0] = (sq_sparse_run){ .keys = { .count = r->lists.visible_keys[c], .rows = r->lists.keys + c * r->s.keys } };
    if (r->causal) t->runs[0].low = t->low, t->runs[0].high = t->high;
    t->runs[1] = (sq_sparse_run){ .keys = { .count = r->s.memory, .first = r->keys + c * r->s.memory, .step = 1 } };
    *to = (sq_sparse_tile){ .queries = { .count = count, .rows = rows }, .run_count = 2, .runs = t->runs, .weight = t->weight };
}

static sq_sparse_pattern pattern_of(const head_run *r)
{
    return (sq_sparse_pattern){ .context = r, .tiles = r->s.clusters * ((r->s.queries + QUERIES - 1) / QUERIES), .tile = tile,
                                .scratch_bytes = sizeof(tile_scratch), .most_keys = r->s.keys + r->s.memory };
}

/* ---- sizes ---- */

static int64_t key_rows(const sq_routing_shape *s, const sq_problem *p)
{
    return (s->shared ? p->T : p->N) + s->clusters * s->memory;
}

static size_t cut(const sq_routing_shape *s, const sq_problem *p, sq_pass pass, void *workspace, head_run *r)
{
    const int64_t keys = key_rows(s, p), width = 2 * p->D > p->M ? 2 * p->D : p->M;
    sq_cut piece = { workspace, 0 };
    *r = (head_run){ .s = *s, .causal = p->causal };
    r->scratch = sq__cut_floats(&piece, width);
    r->q = sq__cut_floats(&piece, p->T * p->D);
    r->k = s->shared ? r->q : sq__cut_floats(&piece, keys * p->D);
    r->v = s->memory ? sq__cut_floats(&piece, keys * p->M) : NULL;
    r->taken = sq__cut_floats(&piece, p->T);
    if (pass == SQ_BACKWARD) {
        r->dq = s->lucidrains ? NULL : sq__cut_floats(&piece, p->T * p->D);
        r->dk = sq__cut_floats(&piece, keys * p->D);
        r->dv = s->memory ? sq__cut_floats(&piece, keys * p->M) : NULL;
    } else {
        r->choose = sq__cut(&piece, sq__routing_choose_workspace(s, p));
    }
    const sq_sparse_pattern pattern = pattern_of(r);
    r->engine = sq__cut(&piece, sq__sparse_workspace(p->T, keys, p->D, p->M, &pattern, SQ_SPARSE_SEPARATE, pass));
    return piece.used;
}

size_t sq__routing_thread_bytes(const sq_routing_shape *s, const sq_problem *p, sq_pass pass)
{
    head_run r;
    return cut(s, p, pass, NULL, &r);
}

size_t sq__routing_lists_bytes(const sq_routing_shape *s, const sq_problem *p)
{
    sq_routing_lists lists;
    sq_cut piece = { NULL, 0 };
    sq__routing_cut_lists(s, p, &piece, &lists);
    return piece.used;
}

/* In saved each head has its lists, then the engine's statistics. */
size_t sq__routing_saved_bytes(const sq_routing_shape *s, const sq_problem *p)
{
    const head_run r = { .s = *s };
    const sq_sparse_pattern pattern = pattern_of(&r);
    return sq__routing_lists_bytes(s, p) + sq__align_up(sq__sparse_stats_floats(p->T, &pattern, SQ_SPARSE_SEPARATE) * sizeof(float));
}

sq_routing_lists sq__routing_lists_of(const sq_run *run, const sq_routing_shape *s, int64_t index)
{
    const sq_problem *p = run->problem;
    char *workspace = (char *)run->call->workspace + (size_t)p->threads * sq__routing_thread_bytes(s, p, SQ_FORWARD);
    sq_cut piece = { workspace + (size_t)index * sq__routing_lists_bytes(s, p), 0 };
    sq_routing_lists lists;
    if (run->call->saved) piece.base = (char *)run->call->saved + (size_t)index * sq__routing_saved_bytes(s, p);
    sq__routing_cut_lists(s, p, &piece, &lists);
    return lists;
}

float *sq__routing_kept_means(const sq_run *run, const sq_routing_shape *s)
{
    const sq_routing_config *config = run->config;
    const sq_problem *p = run->problem;
    if (!run->call->saved || !(config->commitment > 0)) return NULL;
    return (float *)(void *)((char *)run->call->saved + (size_t)(p->B * p->H) * sq__routing_saved_bytes(s, p));
}

/* ---- one head ---- */

static const float *memory_of(const sq_run *run, const head_run *r, int64_t h, int tensor, int64_t width)
{
    return run->call->tensors[tensor] + h * r->s.clusters * r->s.memory * width;
}

static void copy_rows(float *to, const float *from, int64_t row, int64_t count, int64_t width)
{
    for (int64_t i = 0; i < count; i++) memcpy(to + i * width, from + i * row, (size_t)width * sizeof *to);
}

/* Rows normalised as the choice wants them. */
static void begin(const sq_run *run, const sq_head *head, head_run *r)
{
    const sq_problem *p = run->problem;
    const sq_normalise form = sq__routing_form(&r->s, p->D);
    r->T = head->T;
    r->keys = r->s.shared ? head->T : head->N;
    r->lists = sq__routing_lists_of(run, &r->s, head->b * p->H + head->h);
    sq__normalise(&form, head->q, head->q_row, head->T, r->q, run->kernels);
    if (!r->s.shared) sq__normalise(&form, head->k, head->k_row, head->N, r->k, run->kernels);
}

/* The engine's call: rows as attention wants them, memory behind. */
static sq_sparse attend(const sq_run *run, const sq_head *head, head_run *r)
{
    const sq_problem *p = run->problem;
    const int64_t index = head->b * p->H + head->h, own = r->s.clusters * r->s.memory;
    const bool raw = r->s.lucidrains;
    memset(r->taken, 0, (size_t)r->T * sizeof *r->taken);
    for (int64_t c = 0; c < r->s.clusters; c++)
        for (int64_t i = 0; i < r->lists.query_count[c]; i++) r->taken[r->lists.queries[c * r->s.queries + i]] += 1;
    for (int64_t i = 0; i < r->T; i++)
        if (r->taken[i] > 0) r->taken[i] = 1 / (r->taken[i] + (raw ? 1e-5f : 0));
    if (raw && !r->s.shared) copy_rows(r->k, head->k, head->k_row, head->N, p->D);
    if (own) {
        copy_rows(r->v, head->v, head->v_row, head->N, p->M);
        memcpy(r->k + r->keys * p->D, memory_of(run, r, head->h, SQ_ROUTING_MEMORY_KEY, p->D), (size_t)(own * p->D) * sizeof(float));
        memcpy(r->v + r->keys * p->M, memory_of(run, r, head->h, SQ_ROUTING_MEMORY_VALUE, p->M), (size_t)(own * p->M) * sizeof(float));
    }
    r->pattern = pattern_of(r);
    float *stats = run->call->saved
                       ? (float *)((char *)run->call->saved + (size_t)index * sq__routing_saved_bytes(&r->s, p) + sq__routing_lists_bytes(&r->s, p))
                       : NULL;
    return (sq_sparse){
        .T = r->T, .N = r->keys + own, .D = p->D, .M = p->M, .scale = p->scale, .mode = SQ_SPARSE_SEPARATE, .pattern = &r->pattern,
        .q = raw ? head->q : r->q, .q_row = raw ? head->q_row : p->D, .k = r->k, .k_row = p->D,
        .v = own ? r->v : head->v, .v_row = own ? p->M : head->v_row,
        .has_self_score = raw && r->s.shared, .self_score = -5e4f, .out = head->out, .out_row = head->out_row, .stats = stats,
    };
}

/* Whose values a hidden query of cluster c averages (lucidrains): memory's, its own, or those of all that the cluster took. */
static int64_t average_row(const head_run *r, int64_t c, int64_t i, int64_t query)
{
    if (r->s.memory) return r->keys + c * r->s.memory + i;
    return r->s.shared ? query : r->lists.keys[c * r->s.keys + i];
}

static int64_t average_count(const head_run *r, int64_t c)
{
    return r->s.memory ? r->s.memory : r->s.shared ? 1 : r->lists.key_count[c];
}

/* All of a hidden query's scores are the same there, so its result is an average: forward into out, backward from dout into dv. */
static void hidden_queries(const sq_run *run, const sq_head *head, const head_run *r, const sq_sparse *sparse, float *dv, int64_t dv_row)
{
    const int64_t M = run->problem->M;
    for (int64_t c = 0; c < r->s.clusters; c++) {
        const int64_t count = average_count(r, c);
        for (int64_t i = r->lists.visible_queries[c]; i < r->lists.query_count[c]; i++) {
            const int64_t query = r->lists.queries[c * r->s.queries + i];
            const float weight = r->taken[query] / (float)count;
            for (int64_t j = 0; j < count; j++) {
                const int64_t key = average_row(r, c, j, query);
                if (dv) run->kernels->axpy(dv + key * dv_row, weight, head->dout + query * head->dout_row, M);
                else run->kernels->axpy(head->out + query * head->out_row, weight, sparse->v + key * sparse->v_row, M);
            }
        }
    }
}

/* ---- forward ---- */

static double *distances(const sq_run *run, const sq_routing_shape *s)
{
    const sq_problem *p = run->problem;
    char *at = (char *)run->call->workspace + (size_t)p->threads * sq__routing_thread_bytes(s, p, SQ_FORWARD);
    return (double *)(void *)(at + (size_t)(p->B * p->H) * sq__routing_lists_bytes(s, p));
}

static void forward_head(const sq_run *run, const sq_head *head)
{
    const sq_problem *p = run->problem;
    const sq_routing_config *config = run->config;
    const sq_routing_shape s = sq__routing_shape(config, p);
    const float *means = run->call->tensors[SQ_ROUTING_MEANS] + head->h * s.clusters * p->D;
    head_run r;
    cut(&s, p, SQ_FORWARD, head->workspace, &r);
    begin(run, head, &r);
    sq__routing_choose(&(sq_routing_choice){ .config = config, .shape = &s, .means = means, .T = head->T, .N = head->N, .D = p->D, .q = r.q,
                                             .k = s.shared ? NULL : r.k, .keep = head->key_keep,
                                             .hides_queries = s.lucidrains && head->key_keep && p->T == p->N },
                       &r.lists, r.choose);
    double *distance = distances(run, &s) + head->b * p->H + head->h;
    *distance = config->commitment > 0 ? sq__routing_distance(r.q, r.lists.query_cluster, means, head->T, p->D) : 0;
    if (config->commitment > 0 && !s.shared) *distance += sq__routing_distance(r.k, r.lists.key_cluster, means, head->N, p->D);
    const sq_sparse sparse = attend(run, head, &r);
    sq__sparse_forward(&sparse, run->kernels, r.engine);
    hidden_queries(run, head, &r, &sparse, NULL, 0);
}

/* Rows that have a cluster, times D, over the batch and all heads. */
static double counted(const sq_run *run, const sq_routing_shape *s)
{
    const sq_problem *p = run->problem;
    double rows = 0;
    for (int64_t i = 0; i < p->B * p->H; i++) {
        const sq_head head = sq__head(run, i / p->H, i % p->H);
        const sq_routing_lists lists = sq__routing_lists_of(run, s, i);
        for (int64_t j = 0; j < head.T; j++) rows += lists.query_cluster[j] >= 0;
        for (int64_t j = 0; !s->shared && j < head.N; j++) rows += lists.key_cluster[j] >= 0;
    }
    return rows > 0 ? rows * (double)p->D : 1;
}

void sq__routing_forward(const sq_run *run)
{
    const sq_problem *p = run->problem;
    const sq_routing_config *config = run->config;
    const sq_routing_shape s = sq__routing_shape(config, p);
    double sum = 0;
    float *kept = sq__routing_kept_means(run, &s);
    if (kept) memcpy(kept, run->call->tensors[SQ_ROUTING_MEANS], (size_t)(p->H * s.clusters * p->D) * sizeof *kept);
    sq__for_heads(run, sq__routing_thread_bytes(&s, p, SQ_FORWARD), forward_head);
    for (int64_t i = 0; i < p->B * p->H; i++) sum += distances(run, &s)[i];
    if (run->call->auxiliary && config->commitment > 0) *run->call->auxiliary = (float)(config->commitment * sum / counted(run, &s));
    if (run->call->moved && run->call->moved[SQ_ROUTING_MEANS]) sq__routing_move_means(run);
}

/* ---- backward ---- */

/* Gradients of memory by (b, h), behind the threads' workspace; then the weight of the distances. */
static float *memory_sums(const sq_run *run, const sq_routing_shape *s)
{
    return (float *)(void *)((char *)run->call->workspace + (size_t)run->problem->threads * sq__routing_thread_bytes(s, run->problem, SQ_BACKWARD));
}

static void keep_memory(const sq_run *run, const sq_head *head, const head_run *r)
{
    const sq_problem *p = run->problem;
    const int64_t own = r->s.clusters * r->s.memory;
    float *sums = memory_sums(run, &r->s) + (head->b * p->H + head->h) * own * (p->D + p->M);
    memcpy(sums, r->dk + r->keys * p->D, (size_t)(own * p->D) * sizeof *sums);
    memcpy(sums + own * p->D, r->dv + r->keys * p->M, (size_t)(own * p->M) * sizeof *sums);
    for (int64_t i = 0; i < r->keys; i++) run->kernels->axpy(head->dv + i * head->dv_row, 1, r->dv + i * p->M, p->M);
}

static void distance_gradients(const sq_run *run, const sq_head *head, const head_run *r)
{
    const sq_problem *p = run->problem;
    const sq_routing_config *config = run->config;
    const sq_normalise form = sq__routing_form(&r->s, p->D);
    const float weight = memory_sums(run, &r->s)[p->B * p->H * r->s.clusters * r->s.memory * (p->D + p->M)];
    if (!(config->commitment > 0) || weight == 0) return;
    const float *means = sq__routing_kept_means(run, &r->s) + head->h * r->s.clusters * p->D;
    sq__routing_distance_backward(&form, head->q, head->q_row, r->lists.query_cluster, means, head->T, weight, head->dq, head->dq_row, r->scratch,
                                  run->kernels);
    if (!r->s.shared)
        sq__routing_distance_backward(&form, head->k, head->k_row, r->lists.key_cluster, means, head->N, weight, head->dk, head->dk_row, r->scratch,
                                      run->kernels);
}

/* From the keys as they were normalised to those given; hidden ones may hold anything. */
static void keys_backward(const sq_run *run, const sq_head *head, const head_run *r)
{
    const int64_t D = run->problem->D;
    const sq_normalise form = sq__routing_form(&r->s, D);
    for (int64_t i = 0; i < r->keys; i++) {
        if (head->key_keep && !head->key_keep[i]) continue;
        sq__normalise_backward(&form, head->k + i * head->k_row, head->k_row, 1, r->dk + i * D, head->dk + i * head->dk_row, head->dk_row, r->scratch,
                               run->kernels);
    }
}

static void backward_head(const sq_run *run, const sq_head *head)
{
    const sq_problem *p = run->problem;
    const sq_routing_shape s = sq__routing_shape(run->config, p);
    const sq_normalise form = sq__routing_form(&s, p->D);
    head_run r;
    cut(&s, p, SQ_BACKWARD, head->workspace, &r);
    begin(run, head, &r);
    const sq_sparse sparse = attend(run, head, &r);
    const bool add = head->accumulate;
    if (!add) sq__zero_rows(head->dk, head->dk_row, 0, head->N, p->D);
    if (!add) sq__zero_rows(head->dv, head->dv_row, s.memory ? 0 : r.keys, head->N, p->M);
    if (add && !s.memory) memset(r.dk, 0, (size_t)(sparse.N * p->D) * sizeof *r.dk);
    const sq_dense_gradients gradients = {
        .dout = head->dout, .dout_row = head->dout_row, .dq = s.lucidrains ? head->dq : r.dq, .dq_row = s.lucidrains ? head->dq_row : p->D,
        .dk = r.dk, .dk_row = p->D, .dv = s.memory ? r.dv : head->dv, .dv_row = s.memory ? p->M : head->dv_row, .accumulate_kv = add && !s.memory,
    };
    sq__sparse_backward(&sparse, &gradients, run->kernels, r.engine);
    hidden_queries(run, head, &r, &sparse, gradients.dv, gradients.dv_row);
    if (s.memory) keep_memory(run, head, &r);
    if (!s.lucidrains) {
        sq__zero_rows(head->dq, head->dq_row, 0, head->T, p->D);
        sq__normalise_backward(&form, head->q, head->q_row, head->T, r.dq, head->dq, head->dq_row, r.scratch, run->kernels);
    }
    if (s.shared) sq__normalise_backward(&form, head->q, head->q_row, r.keys, r.dk, head->dq, head->dq_row, r.scratch, run->kernels);
    else if (!s.lucidrains) keys_backward(run, head, &r);
    else for (int64_t i = 0; i < r.keys; i++) run->kernels->axpy(head->dk + i * head->dk_row, 1, r.dk + i * p->D, p->D);
    distance_gradients(run, head, &r);
}

void sq__routing_backward(const sq_run *run)
{
    const sq_problem *p = run->problem;
    const sq_routing_config *config = run->config;
    const sq_routing_shape s = sq__routing_shape(config, p);
    const int64_t own = s.clusters * s.memory, sizes[2] = { own * p->D, own * p->M };
    float *sums = memory_sums(run, &s);
    sums[p->B * p->H * own * (p->D + p->M)] =
        config->commitment > 0 ? (float)(run->gradients->dauxiliary * config->commitment / counted(run, &s)) : 0;
    sq__for_heads(run, sq__routing_thread_bytes(&s, p, SQ_BACKWARD), backward_head);
    for (int64_t i = 0; own && i < p->B * p->H; i++)
        for (int side = 0; side < 2; side++) {
            float *to = run->gradients->dtensors ? run->gradients->dtensors[SQ_ROUTING_MEMORY_KEY + side] : NULL;
            if (to) run->kernels->axpy(to + i % p->H * sizes[side], 1, sums + i * (sizes[0] + sizes[1]) + side * sizes[0], sizes[side]);
        }
}
