/* Long-Short Transformer, arXiv:2107.02192: each query meets its neighbours and a short summary of everything, in one softmax.
 *   K, V = LN_l(k), LN_l(v)     P = softmax over positions of the input `landmarks` [N,r]     K_c, V_c = LN_s(P' k), LN_s(P' v)
 *   out_i = softmax(scale q_i [K_c; K_near]') [V_c; V_near]
 * q, k, v, out [T,D]; layer norms over all heads side by side (H D), one for neighbours, one for summaries, the same for keys and values.
 * near: i lies in block u = floor(i / window) and sees rows u window - e to (u + 1) window + e - 1, e = max(window / 2, 1).
 * landmarks (r rows of summary a head) come from the tokens by a projection of their own: a further input.
 *
 * Causal: i sees the last `window` keys, its own included, and the summaries (r rows each) of all segments of `segment` keys that are
 * complete with i; segment 0: 16 r, as in the authors' language models. O(n (window + r)) time; causal O(n window + n^2 r / segment).
 * Memory grows with n: it holds normalised keys and values, whose gradients too in backward. Saves the softmax's statistics.
 * lengths, key-mask: hidden keys have no weight in P and are no neighbours; a query without any key gives zeros.
 *
 * convention reference: the authors' code for the long-range arena summarises the normalised rows, P' LN_l(k), instead of P' k.
 * Departs from the paper: no relative positions among neighbours. */
#include <string.h>

#include "attention/long_short.h"
#include "base/integers.h"
#include "base/parallel.h"
#include "base/status.h"

static const char *const conventions[] = { "paper", "reference", NULL };

static const sq_field fields[] = {
    SQ_INT(sq_long_short_config, window, "64", 1, 1 << 20, "block of queries that share neighbours; causal: keys that a query sees"),
    SQ_INT(sq_long_short_config, landmarks, "32", 1, 1 << 16, "rows that summarise the sequence, or each segment"),
    SQ_INT(sq_long_short_config, segment, "0", 0, 1 << 24, "causal: keys summarised together; 0: 16 landmarks"),
    SQ_CHOICE(sq_long_short_config, convention, "paper", conventions, "what is summarised: keys and values, or (reference) their normalised rows"),
    SQ_FIELDS_END
};

sq_long_short_shape sq__long_short_shape(const sq_long_short_config *config, const sq_problem *p)
{
    sq_long_short_shape s = { .window = config->window, .reach = config->window > 1 ? config->window / 2 : 1, .landmarks = config->landmarks,
                              .segment = p->N, .segments = 1, .width = p->H * p->D };
    if (p->causal) {
        s.segment = config->segment ? config->segment : 16 * config->landmarks;
        s.segments = p->N / s.segment;
    }
    s.compressed = s.segments * s.landmarks;
    s.rows = s.compressed + p->N;
    return s;
}

static sq_status validate(const void *options, const sq_problem *p, sq_error *error)
{
    const sq_long_short_shape s = sq__long_short_shape(options, p);
    if (p->D != p->M)
        return sq__fail(error, SQ_UNSUPPORTED, "long-short: keys have %lld features and values %lld; both share their layer norms, so they must be equal",
                        (long long)p->D, (long long)p->M);
    if (s.rows > INT32_MAX) return sq__fail(error, SQ_UNSUPPORTED, "long-short: %lld rows; expected at most 2147483647", (long long)s.rows);
    return SQ_OK;
}

static int tensors(const void *options, const sq_problem *p, sq_attention_tensor *infos)
{
    static const char *const names[] = { "local.weight", "local.bias", "compressed.weight", "compressed.bias" };
    (void)options;
    for (int i = 0; infos && i < SQ_LONG_SHORT_TENSORS; i++)
        infos[i] = (sq_attention_tensor){ .name = names[i], .rank = 1, .shape = { p->H * p->D }, .trainable = true };
    return SQ_LONG_SHORT_TENSORS;
}

static sq_status tensor_init(const void *options, const sq_problem *p, int index, uint64_t seed, uint64_t draw, float *data)
{
    (void)options, (void)seed, (void)draw;
    for (int64_t i = 0; i < p->H * p->D; i++) data[i] = index % 2 == 0;
    return SQ_OK;
}

static int inputs(const void *options, const sq_problem *p, sq_attention_input *infos)
{
    (void)p;
    if (infos) infos[0] = (sq_attention_input){ .name = "landmarks", .width = ((const sq_long_short_config *)options)->landmarks, .of_keys = true };
    return 1;
}

/* ---- sizes ---- */

static size_t stats_floats(const sq_long_short_shape *s, const sq_problem *p)
{
    const sq_long_short_pattern pattern = { *s, p->T, p->N, p->causal };
    const sq_sparse_pattern tiles = sq__long_short_tiles(&pattern);
    return sq__sparse_stats_floats(p->T, &tiles, SQ_SPARSE_MERGE);
}

static size_t thread_bytes(const sq_long_short_shape *s, const sq_problem *p, sq_pass pass)
{
    const sq_long_short_pattern pattern = { *s, p->T, p->N, p->causal };
    const sq_sparse_pattern tiles = sq__long_short_tiles(&pattern);
    const size_t attend = sq__sparse_workspace(p->T, s->rows, p->D, p->D, &tiles, SQ_SPARSE_MERGE, pass);
    sq_cut compress = { NULL, 0 }, norm = { NULL, 0 };
    for (int i = 0; i < 2; i++) {
        sq__cut_floats(&compress, SQ_LONG_SHORT_CHUNK * p->D);
        sq__cut_floats(&compress, SQ_LONG_SHORT_CHUNK * s->landmarks);
    }
    sq__cut_floats(&norm, 2 * s->width);
    const size_t rows = compress.used > norm.used ? compress.used : norm.used;
    return attend > rows ? attend : rows;
}

sq_long_short_memory sq__long_short_memory(const sq_long_short_shape *s, const sq_problem *p, sq_pass pass, void *workspace)
{
    sq_cut cut = { workspace, 0 };
    sq_long_short_memory m = { .per_thread = thread_bytes(s, p, pass) };
    m.threads = sq__cut(&cut, m.per_thread * (size_t)p->threads);
    for (int i = 0; i < 2; i++) {
        sq_long_short_side *side = &m.sides[i];
        side->rows = sq__cut_floats(&cut, p->B * s->rows * s->width);
        if (pass == SQ_BACKWARD) side->drows = sq__cut_floats(&cut, p->B * s->rows * s->width);
        side->raw = sq__cut_floats(&cut, p->B * s->compressed * s->width);
        side->local.mean = sq__cut_floats(&cut, p->B * p->N), side->local.rstd = sq__cut_floats(&cut, p->B * p->N);
        side->compressed.mean = sq__cut_floats(&cut, p->B * s->compressed), side->compressed.rstd = sq__cut_floats(&cut, p->B * s->compressed);
    }
    m.lse = sq__cut_floats(&cut, p->B * p->H * s->compressed);
    m.keep = sq__cut(&cut, (size_t)(p->B * s->rows));
    if (pass == SQ_BACKWARD) m.partial = sq__cut_floats(&cut, p->B * SQ_LONG_SHORT_PARTS * SQ_LONG_SHORT_TENSORS * s->width);
    m.bytes = cut.used;
    return m;
}

static void sizes(const void *options, const sq_problem *p, sq_sizes *out)
{
    const sq_long_short_shape s = sq__long_short_shape(options, p);
    out->forward_workspace = sq__long_short_memory(&s, p, SQ_FORWARD, NULL).bytes;
    out->backward_workspace = sq__long_short_memory(&s, p, SQ_BACKWARD, NULL).bytes;
    out->saved = (size_t)(p->B * p->H) * stats_floats(&s, p) * sizeof(float);
}

static double flops(const void *options, const sq_problem *p, sq_pass pass)
{
    const sq_long_short_shape s = sq__long_short_shape(options, p);
    const double near = (double)sq__least(p->causal ? s.window : s.window + 2 * s.reach, p->N), summaries = (double)s.compressed * (p->causal ? 0.5 : 1);
    const double attend = (double)p->T * (near + summaries) * (double)p->D * (pass == SQ_FORWARD ? 2 : 5);
    const double compress = (double)p->N * (double)(s.landmarks * p->D) * (pass == SQ_FORWARD ? 2 : 6);
    return 2 * (double)(p->B * p->H) * (attend + compress);
}

/* ---- attention over the rows ---- */

static sq_long_short_call begin(const sq_run *run, sq_pass pass)
{
    sq_long_short_call c = { .run = run, .p = run->problem, .config = run->config, .s = sq__long_short_shape(run->config, run->problem) };
    c.memory = sq__long_short_memory(&c.s, c.p, pass, run->call->workspace);
    return c;
}

static sq_sparse sparse_of(const sq_long_short_call *c, const sq_head *head, const sq_sparse_pattern *tiles)
{
    const int64_t at = head->b * c->s.rows * c->s.width + head->h * c->p->D, item = head->b * c->p->H + head->h;
    return (sq_sparse){
        .T = head->T, .N = c->s.compressed + head->N, .D = c->p->D, .M = c->p->D, .scale = c->p->scale, .mode = SQ_SPARSE_MERGE, .pattern = tiles,
        .q = head->q, .q_row = head->q_row, .k = c->memory.sides[0].rows + at, .k_row = c->s.width, .v = c->memory.sides[1].rows + at, .v_row = c->s.width,
        .key_keep = c->memory.keep + head->b * c->s.rows, .out = head->out, .out_row = head->out_row,
        .stats = c->run->call->saved ? (float *)c->run->call->saved + item * (int64_t)stats_floats(&c->s, c->p) : NULL,
    };
}

static void attend(void *context, int64_t item, int thread)
{
    const sq_long_short_call *c = context;
    const sq_head head = sq__head(c->run, item / c->p->H, item % c->p->H);
    const sq_long_short_pattern pattern = { c->s, head.T, head.N, c->p->causal };
    const sq_sparse_pattern tiles = sq__long_short_tiles(&pattern);
    const sq_sparse sparse = sparse_of(c, &head, &tiles);
    sq__sparse_forward(&sparse, c->run->kernels, c->memory.threads + (size_t)thread * c->memory.per_thread);
    sq__zero_rows(head.out, head.out_row, head.T, c->p->T, c->p->D);
}

static void forward(const sq_run *run)
{
    sq_long_short_call c = begin(run, SQ_FORWARD);
    sq__long_short_make_rows(&c);
    sq__parallel(c.p->threads, c.p->B * c.p->H, attend, &c);
}

static void attend_backward(void *context, int64_t item, int thread)
{
    const sq_long_short_call *c = context;
    const sq_head head = sq__head(c->run, item / c->p->H, item % c->p->H);
    const sq_long_short_pattern pattern = { c->s, head.T, head.N, c->p->causal };
    const sq_sparse_pattern tiles = sq__long_short_tiles(&pattern);
    const sq_sparse sparse = sparse_of(c, &head, &tiles);
    const int64_t at = head.b * c->s.rows * c->s.width + head.h * c->p->D;
    const sq_dense_gradients gradients = { head.dout, head.dout_row, head.dq, c->memory.sides[0].drows + at, c->memory.sides[1].drows + at,
                                           head.dq_row, c->s.width, c->s.width, false };
    sq__sparse_backward(&sparse, &gradients, c->run->kernels, c->memory.threads + (size_t)thread * c->memory.per_thread);
    sq__zero_rows(head.dq, head.dq_row, head.T, c->p->T, c->p->D);
}

static void backward(const sq_run *run)
{
    sq_long_short_call c = begin(run, SQ_BACKWARD);
    sq__long_short_make_rows(&c);
    sq__parallel(c.p->threads, c.p->B * c.p->H, attend_backward, &c);
    sq__long_short_rows_backward(&c);
}

const sq_attention_kind sq__attention_long_short = {
    .name = "long-short", .title = "neighbours and a dynamic summary", .paper = "arXiv:2107.02192", .cost = "O(n (window + landmarks)) time, O(n) memory",
    .can = SQ_CAN_CAUSAL | SQ_CAN_LENGTHS | SQ_CAN_KEY_MASK, .fields = fields, .config_size = sizeof(sq_long_short_config),
    .validate = validate, .tensors = tensors, .tensor_init = tensor_init, .sizes = sizes, .flops = flops, .forward = forward, .backward = backward,
    .inputs = inputs,
};
