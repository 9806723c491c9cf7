/* Set Transformer, arXiv:1810.00825: attention induced by m learned points. Every query sees what the points saw.
 *   A = softmax(scale I k')   [m,N]      out = softmax(scale q (A k)') (A v)
 * q [T,D]; k [N,D]; v [N,M]; out [T,M]; I [m,D] of each key head. O((T + N) m (D + M)) time; memory beside q, k, v, out grows with T only
 * (log-sum-exp). Saves A k, A v and the log-sum-exp of both softmaxes. Grouped heads: query head h reads key head h / (H/Hk).
 *
 * This is the paper's ISAB without the residual sums and feed-forward parts of its two blocks, which a Transformer layer around it has: with
 * H = A x, keys and values made of H are A k and A v (rows of A sum to one, so biases come along). ISAB and PMA as they are in the paper:
 * nn/set_transformer.h. Order of keys does not matter, so there is no causal form. key-mask: the points do not see hidden keys.
 * Departs from the paper: a query without any key gives zeros. */
#include <string.h>

#include "attention/engine/dense.h"
#include "base/parallel.h"
#include "base/random.h"

typedef struct config { int64_t latents; } config;

static const sq_field fields[] = {
    SQ_INT(config, latents, "32", 1, 1 << 20, "inducing points of each head"),
    SQ_FIELDS_END
};

static int tensors(const void *options, const sq_problem *p, sq_attention_tensor *infos)
{
    const config *c = options;
    if (infos) infos[0] = (sq_attention_tensor){ .name = "points", .rank = 3, .shape = { p->Hk, c->latents, p->D }, .trainable = true };
    return 1;
}

/* As keys are at the start, so that the points differ in what they see. */
static sq_status tensor_init(const void *options, const sq_problem *p, int index, uint64_t seed, uint64_t draw, float *data)
{
    const config *c = options;
    const sq_random random = sq__random_stream(seed, "set-transformer.points", draw);
    (void)index;
    sq__random_normal_fill(&random, data, p->Hk * c->latents * p->D, 1);
    return SQ_OK;
}

/* ---- sizes ---- */

static size_t attend_bytes(int64_t m, const sq_problem *p, sq_pass pass)
{
    const size_t points = sq__dense_workspace(m, p->N, p->D, p->D > p->M ? p->D : p->M, pass), queries = sq__dense_workspace(p->T, m, p->D, p->M, pass);
    return points > queries ? points : queries;
}

typedef struct state { float *k, *v, *lse; } state;   /* [m,D] [m,M] [m], or the gradients of the first two */

static state cut_state(int64_t m, const sq_problem *p, sq_cut *cut)
{
    state s = { .k = sq__cut_floats(cut, m * p->D) };
    s.v = sq__cut_floats(cut, m * p->M);
    s.lse = sq__cut_floats(cut, m);
    return s;
}

/* Of one thread: the engine's, the state (forward) or its gradient, and a gradient of the points. */
static size_t per_thread(int64_t m, const sq_problem *p, sq_pass pass)
{
    sq_cut cut = { NULL, 0 };
    sq__cut(&cut, attend_bytes(m, p, pass));
    cut_state(m, p, &cut);
    sq__cut_floats(&cut, m * p->D);
    return cut.used;
}

static void sizes(const void *options, const sq_problem *p, sq_sizes *out)
{
    const config *c = options;
    sq_cut saved = { NULL, 0 }, points = { NULL, 0 };
    sq__cut_floats(&saved, p->B * p->H * p->T);
    for (int64_t i = 0; i < p->B * p->Hk; i++) cut_state(c->latents, p, &saved);
    sq__cut_floats(&points, p->B * p->Hk * c->latents * p->D);
    out->saved = saved.used;
    out->forward_workspace = per_thread(c->latents, p, SQ_FORWARD) * (size_t)p->threads;
    out->backward_workspace = per_thread(c->latents, p, SQ_BACKWARD) * (size_t)p->threads + points.used;
}

static double flops(const void *options, const sq_problem *p, sq_pass pass)
{
    const double m = (double)((const config *)options)->latents, D = (double)p->D, M = (double)p->M;
    const double points = pass == SQ_FORWARD ? 3 * D + M : 8 * D + 2 * M, queries = pass == SQ_FORWARD ? D + M : 3 * D + 2 * M;
    return 2 * (double)p->B * m * ((double)p->Hk * (double)p->N * points + (double)p->H * (double)p->T * queries);
}

/* ---- both stages ---- */

typedef struct work {
    const sq_run *run;
    const sq_problem *p;
    int64_t m, b, hk;
    const float *points;               /* [m,D] */
    void *engine;
    state own, kept;                   /* of this thread; what forward leaves */
    float *lse, *dpoints;              /* [T] of head 0 of the entry, or NULL; [m,D] of this thread */
} work;

static work begin(const sq_run *run, int64_t item, int thread, sq_pass pass)
{
    const sq_problem *p = run->problem;
    const int64_t m = ((const config *)run->config)->latents;
    work w = { .run = run, .p = p, .m = m, .b = item / p->Hk, .hk = item % p->Hk };
    sq_cut mine = { (char *)run->call->workspace + (size_t)thread * per_thread(m, p, pass), 0 }, saved = { run->call->saved, 0 };
    w.engine = sq__cut(&mine, attend_bytes(m, p, pass));
    w.own = cut_state(m, p, &mine);
    w.dpoints = sq__cut_floats(&mine, m * p->D);
    w.points = run->call->tensors[0] + w.hk * m * p->D;
    w.kept = w.own;
    if (!run->call->saved) return w;
    w.lse = sq__cut_floats(&saved, p->B * p->H * p->T);
    for (int64_t i = 0; i <= item; i++) w.kept = cut_state(m, p, &saved);
    return w;
}

/* The points over the keys, with values k or v. */
static sq_dense over_keys(const work *w, const sq_head *head, bool values)
{
    return (sq_dense){
        .T = w->m, .N = head->N, .D = w->p->D, .M = values ? w->p->M : w->p->D, .scale = w->p->scale, .q = w->points, .q_row = w->p->D,
        .k = head->k, .k_row = head->k_row, .v = values ? head->v : head->k, .v_row = values ? head->v_row : head->k_row,
        .key_keep = head->key_keep, .out = values ? w->kept.v : w->kept.k, .out_row = values ? w->p->M : w->p->D, .lse = w->kept.lse,
    };
}

/* The queries over what the points saw. */
static sq_dense over_points(const work *w, const sq_head *head)
{
    return (sq_dense){
        .T = head->T, .N = w->m, .D = w->p->D, .M = w->p->M, .scale = w->p->scale, .q = head->q, .q_row = head->q_row, .k = w->kept.k,
        .k_row = w->p->D, .v = w->kept.v, .v_row = w->p->M, .out = head->out, .out_row = head->out_row,
        .lse = w->lse ? w->lse + (head->b * w->p->H + head->h) * w->p->T : NULL,
    };
}

/* ---- forward ---- */

static void forward_item(void *context, int64_t item, int thread)
{
    const work w = begin(context, item, thread, SQ_FORWARD);
    const int64_t group = w.p->H / w.p->Hk;
    for (int64_t h = w.hk * group; h < (w.hk + 1) * group; h++) {
        const sq_head head = sq__head(w.run, w.b, h);
        for (int values = 0; h == w.hk * group && values < 2; values++) {
            const sq_dense points = over_keys(&w, &head, values);
            sq__dense_forward(&points, w.run->kernels, w.engine);
        }
        const sq_dense queries = over_points(&w, &head);
        sq__dense_forward(&queries, w.run->kernels, w.engine);
        sq__zero_rows(head.out, head.out_row, head.T, w.p->T, w.p->M);
    }
}

static void forward(const sq_run *run)
{
    sq__parallel(run->problem->threads, run->problem->B * run->problem->Hk, forward_item, (void *)(uintptr_t)run);
}

/* ---- backward ---- */

/* Gradient of the points of (b, hk), behind the threads' workspace. */
static float *points_gradient(const sq_run *run, int64_t item)
{
    const int64_t m = ((const config *)run->config)->latents;
    char *behind = (char *)run->call->workspace + per_thread(m, run->problem, SQ_BACKWARD) * (size_t)run->problem->threads;
    return (float *)(void *)behind + item * m * run->problem->D;
}

static void backward_item(void *context, int64_t item, int thread)
{
    const work w = begin(context, item, thread, SQ_BACKWARD);
    const sq_problem *p = w.p;
    const int64_t group = p->H / p->Hk;
    const sq_head first = sq__head(w.run, w.b, w.hk * group);
    float *dpoints = points_gradient(w.run, item);
    for (int64_t h = w.hk * group; h < (w.hk + 1) * group; h++) {
        const sq_head head = sq__head(w.run, w.b, h);
        const sq_dense queries = over_points(&w, &head);
        sq__dense_backward(&queries, &(sq_dense_gradients){ head.dout, head.dout_row, head.dq, w.own.k, w.own.v, head.dq_row, p->D, p->M, h > w.hk * group },
                           w.run->kernels, w.engine);
        sq__zero_rows(head.dq, head.dq_row, head.T, p->T, p->D);
    }
    sq__zero_rows(first.dk, first.dk_row, 0, p->N, p->D);
    sq__zero_rows(first.dv, first.dv_row, 0, p->N, p->M);
    const sq_dense keys = over_keys(&w, &first, false), values = over_keys(&w, &first, true);
    /* k is key and value of the first: both gradients are added to dk */
    sq__dense_backward(&keys, &(sq_dense_gradients){ w.own.k, p->D, dpoints, first.dk, first.dk, p->D, first.dk_row, first.dk_row, true }, w.run->kernels,
                       w.engine);
    sq__dense_backward(&values, &(sq_dense_gradients){ w.own.v, p->M, w.dpoints, first.dk, first.dv, p->D, first.dk_row, first.dv_row, true },
                       w.run->kernels, w.engine);
    w.run->kernels->axpy(dpoints, 1, w.dpoints, w.m * p->D);
}

static void backward(const sq_run *run)
{
    const sq_problem *p = run->problem;
    const int64_t floats = ((const config *)run->config)->latents * p->D;
    sq__parallel(p->threads, p->B * p->Hk, backward_item, (void *)(uintptr_t)run);
    if (!run->gradients->dtensors || !run->gradients->dtensors[0]) return;
    for (int64_t item = 0; item < p->B * p->Hk; item++)
        run->kernels->axpy(run->gradients->dtensors[0] + item % p->Hk * floats, 1, points_gradient(run, item), floats);
}

const sq_attention_kind sq__attention_set_transformer = {
    .name = "set-transformer", .title = "attention induced by learned points", .paper = "arXiv:1810.00825", .cost = "O(n latents) time, O(n) memory",
    .can = SQ_CAN_CROSS | SQ_CAN_LENGTHS | SQ_CAN_KEY_MASK | SQ_CAN_GROUPED, .fields = fields, .config_size = sizeof(config),
    .tensors = tensors, .tensor_init = tensor_init, .sizes = sizes, .flops = flops, .forward = forward, .backward = backward,
};
