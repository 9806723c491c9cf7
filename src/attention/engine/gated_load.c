/* What a chunk of one head is made of: operands as the recurrence wants them, and the decay since its start. */
#include "attention/engine/gated_states.h"

enum { C = SQ_GATED_CHUNK };

void sq__gated_cut(sq_gated_chunk *c, const sq_gated *gated, sq_cut *cut)
{
    const int64_t D = gated->rule.D, M = gated->rule.M;
    const int64_t W = sq__gated_width(&gated->rule);
    float **const pieces[] = { &c->q, &c->k, &c->x, &c->y, &c->factor };
    *c = (sq_gated_chunk){ .all = gated, .kernels = gated->kernels, .W = W };
    for (int i = 0; i < 5; i++) *pieces[i] = sq__cut_floats(cut, C * D);
    c->L = sq__cut(cut, (size_t)(C * W) * sizeof *c->L);
    c->E = sq__cut_floats(cut, W > 1 ? 0 : C * C);
    c->v = sq__cut_floats(cut, C * M);
    c->q_size = sq__cut_floats(cut, C);
    c->k_size = sq__cut_floats(cut, C);
    c->step = sq__cut_floats(cut, C);
    c->b_ = sq__cut_floats(cut, C);
    c->open = sq__cut_floats(cut, C);
}

int64_t sq__gated_chunks(const sq_gated *gated)
{
    return ((gated->T > gated->N ? gated->T : gated->N) + C - 1) / C;
}

static int64_t within(const int32_t *lengths, int64_t b, int64_t all, int64_t first)
{
    const int64_t length = !lengths ? all : lengths[b] < 0 ? 0 : lengths[b] < all ? lengths[b] : all;
    return length <= first ? 0 : length - first < C ? length - first : C;
}

void sq__gated_open(sq_gated_chunk *c, int64_t b, int64_t h, int64_t index)
{
    const sq_gated *g = c->all;
    c->b = b, c->h = h, c->first = index * C;
    c->rows = within(g->query_lengths, b, g->T, c->first);
    c->keys = within(g->lengths, b, g->N, c->first);
    c->size = c->rows > c->keys ? c->rows : c->keys;
}

bool sq__gated_exists(const sq_gated_chunk *c, int64_t j)
{
    return j < c->keys && !(c->all->key_keep && !c->all->key_keep[c->b * c->all->N + c->first + j]);
}

/* Row i of the chunk in an operand. */
static const float *row_of(const sq_gated_chunk *c, const sq_gated_rows *rows, int64_t i)
{
    return rows->view.data + c->b * rows->view.batch + (c->first + i) * rows->view.row + c->h / (c->all->H / rows->heads) * rows->view.head;
}

/* ---- decay ---- */

static float softplus(float x) { return x > 0 ? x + log1pf(expf(-x)) : log1pf(expf(x)); }

/* y = log sigmoid(x) = min(x, 0) - log(1 + e), e = exp(-|x|): with z = e / (2 + e) <= 1/3, log(1 + e) = 2 (z + z^3/3 + z^5/5 + ...). */
static void log_sigmoid(const sq_kernels *kernels, float *y, const float *x, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] = -fabsf(x[i]);
    kernels->exp(y, y, n);
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const float z = y[i] / (2 + y[i]), s = z * z;
        const float tail = s * (1.0f / 3 + s * (1.0f / 5 + s * (1.0f / 7 + s * (1.0f / 9 + s * (1.0f / 11 + s * (1.0f / 13 + s * (1.0f / 15)))))));
        y[i] = (x[i] < 0 ? x[i] : 0) - 2 * (z + z * tail);
    }
}

/* L_j = L_j-1 + g_j */
static void add_gate(sq_gated_chunk *c, int64_t j, double *L)
{
    const sq_gated *g = c->all;
    if (g->rule.gate == SQ_GATE_FIXED) {
        L[0] += g->fixed[c->h];
    } else if (g->rule.gate == SQ_GATE_SOFTPLUS) {
        c->step[j] = softplus(*row_of(c, &g->gate, j) + g->bias[c->h]);
        L[0] -= exp((double)g->rate[c->h]) * (double)c->step[j];
    } else {
        const double part = 1 / (double)g->rule.temperature;
        log_sigmoid(c->kernels, c->factor, row_of(c, &g->gate, j), c->W);
#pragma omp simd
        for (int64_t d = 0; d < c->W; d++) L[d] += part * (double)c->factor[d];
    }
}

static void load_matrix(sq_gated_chunk *c)
{
    for (int64_t i = 0; i < c->size; i++) {
        float *e = c->E + i * C;
#pragma omp simd
        for (int64_t j = 0; j <= i; j++) e[j] = c->W ? (float)(c->L[i] - c->L[j]) : 0;
        c->kernels->exp(e, e, i + 1);
        memset(e + i + 1, 0, (size_t)(c->size - i - 1) * sizeof *e);
    }
}

void sq__gated_load_decay(sq_gated_chunk *c)
{
    const int64_t W = c->W;
    for (int64_t j = 0; j < c->size && W; j++) {
        double *L = c->L + j * W;
        if (j) memcpy(L, L - W, (size_t)W * sizeof *L);
        else memset(L, 0, (size_t)W * sizeof *L);
        if (sq__gated_exists(c, j)) add_gate(c, j, L);
    }
    if (W <= 1) load_matrix(c);
}

void sq__gated_total(const sq_gated_chunk *c, float *total)
{
    total[0] = 1;
    for (int64_t d = 0; d < c->W; d++) total[d] = c->size ? (float)c->L[(c->size - 1) * c->W + d] : 0;
    if (c->W) c->kernels->exp(total, total, c->W);
}

void sq__gated_decay_state(const sq_kernels *kernels, const sq_gated_rule *rule, int64_t W, const float *total, const float *S, float *y)
{
    if (W <= 1) kernels->axpy(y, total[0], S, rule->D * rule->M);
    else for (int64_t d = 0; d < rule->D; d++) kernels->axpy(y + d * rule->M, total[d], S + d * rule->M, rule->M);
}

static void multiply(float *y, const float *x, const float *factor, int64_t n)
{
#pragma omp simd
    for (int64_t d = 0; d < n; d++) y[d] = x[d] * factor[d];
}

/* y_i = x_i exp(sign (L_i - at)) */
static void decay_rows(const sq_gated_chunk *c, const float *x, const double *at, double sign, float *y)
{
    const int64_t D = c->all->rule.D, W = c->W, n = c->size * W;
    float *factor = c->x;              /* [C,D] */
    if (y != x && W <= 1) memcpy(y, x, (size_t)(c->size * D) * sizeof *y);
    if (!W) return;
    for (int64_t i = 0; i < n; i += W)
        for (int64_t d = 0; d < W; d++) factor[i + d] = (float)(sign * (c->L[i + d] - (at ? at[d] : 0)));
    c->kernels->exp(factor, factor, n);
    if (W > 1) multiply(y, x, factor, n);
    for (int64_t i = 0; i < c->size && W == 1; i++) c->kernels->scale(y + i * D, factor[i], D);
}

void sq__gated_from_start(const sq_gated_chunk *c, const float *x, float *y)
{
    decay_rows(c, x, NULL, 1, y);
}

void sq__gated_to_end(const sq_gated_chunk *c, const float *x, float *y)
{
    decay_rows(c, x, c->L + (c->size - 1) * c->W, -1, y);
}

/* ---- operands ---- */

/* y = factor x, or factor x / |x|; *size = |x|. */
static void load_row(const sq_gated_chunk *c, const float *x, float factor, float *y, float *size)
{
    const int64_t D = c->all->rule.D;
    memcpy(y, x, (size_t)D * sizeof *y);
    if (c->all->rule.unit) {
        *size = sqrtf(c->kernels->dot(x, x, D));
        factor = *size > 0 ? factor / *size : 0;
    }
    if (factor != 1) c->kernels->scale(y, factor, D);
}

void sq__gated_load_q(sq_gated_chunk *c)
{
    const int64_t D = c->all->rule.D;
    for (int64_t i = 0; i < c->rows; i++) load_row(c, row_of(c, &c->all->q, i), c->all->rule.scale, c->q + i * D, c->q_size + i);
    memset(c->q + c->rows * D, 0, (size_t)((c->size - c->rows) * D) * sizeof *c->q);
}

void sq__gated_load_k(sq_gated_chunk *c)
{
    const int64_t D = c->all->rule.D;
    for (int64_t j = 0; j < c->size; j++) {
        if (sq__gated_exists(c, j)) load_row(c, row_of(c, &c->all->k, j), c->all->rule.weighs ? c->step[j] : 1, c->k + j * D, c->k_size + j);
        else memset(c->k + j * D, 0, (size_t)D * sizeof *c->k);
    }
}

void sq__gated_load_v(sq_gated_chunk *c)
{
    const int64_t M = c->all->rule.M;
    for (int64_t j = 0; j < c->size; j++) {
        if (sq__gated_exists(c, j)) memcpy(c->v + j * M, row_of(c, &c->all->v, j), (size_t)M * sizeof *c->v);
        else memset(c->v + j * M, 0, (size_t)M * sizeof *c->v);
    }
}

void sq__gated_load_strength(sq_gated_chunk *c)
{
    for (int64_t j = 0; j < c->size; j++) {
        c->b_[j] = c->open[j] = 0;
        if (!sq__gated_exists(c, j)) continue;
        const float x = *row_of(c, &c->all->strength, j);
        c->b_[j] = c->all->rule.strength / (1 + expf(-x));
        c->open[j] = 1 / (1 + expf(x));
    }
}

/* ---- the way back ---- */

/* Where row i of a gradient goes, and whether an earlier head of the group has been there. NULL: nobody wants it. */
static float *place_of(const sq_gated_chunk *c, const sq_gated_rows *rows, int64_t i, bool *add)
{
    if (!rows->view.data) return NULL;
    *add = c->h % (c->all->H / rows->heads) != 0;
    return (float *)(uintptr_t)row_of(c, rows, i);
}

static void give_row(const sq_gated_chunk *c, const sq_gated_rows *rows, int64_t i, const float *d, int64_t n)
{
    bool add;
    float *place = place_of(c, rows, i, &add);
    if (!place) return;
    if (add) c->kernels->axpy(place, 1, d, n);
    else memcpy(place, d, (size_t)n * sizeof *place);
}

/* Rows [from, to) get nothing; to is of the chunk, cut at the end of the tensor. */
static void give_nothing(const sq_gated_chunk *c, const sq_gated_rows *rows, int64_t from, int64_t all, int64_t n)
{
    const int64_t to = all - c->first < C ? all - c->first : C;
    for (int64_t i = from; i < to; i++) {
        bool add;
        float *place = place_of(c, rows, i, &add);
        if (place && !add) memset(place, 0, (size_t)n * sizeof *place);
    }
}

/* From the gradient d of y = factor x (/ |x|) to that of x, in place; y as loaded. */
static void back_row(const sq_gated_chunk *c, float factor, const float *y, float size, float *d)
{
    const int64_t D = c->all->rule.D;
    if (c->all->rule.unit) {
        const float along = factor != 0 ? c->kernels->dot(y, d, D) / (factor * factor) : 0;
        c->kernels->axpy(d, -along, y, D);
        factor = size > 0 ? factor / size : 0;
    }
    c->kernels->scale(d, factor, D);
}

/* dL [C,W] summed to dg: every later row of the chunk has g_j in its L. */
static void back_gate(const sq_gated_chunk *c, int64_t j, const double *dg, float ds, const sq_gated_gradients *to, double *sums)
{
    const sq_gated *g = c->all;
    const float *x = g->rule.gate == SQ_GATE_FIXED ? NULL : row_of(c, &g->gate, j);
    if (g->rule.gate == SQ_GATE_SOFTPLUS) {
        const double rate = exp((double)g->rate[c->h]), d = ((double)ds - dg[0] * rate) / (1 + exp(-(double)(x[0] + g->bias[c->h])));
        const float dx = (float)d;
        sums[0] -= dg[0] * rate * (double)c->step[j];
        sums[1] += d;
        give_row(c, &to->dgate, j, &dx, 1);
    } else if (g->rule.gate == SQ_GATE_SIGMOID) {
        const float part = 1 / g->rule.temperature;
        float *d = c->factor;
        for (int64_t i = 0; i < c->W; i++) d[i] = -x[i];
        c->kernels->sigmoid(d, d, c->W);
        for (int64_t i = 0; i < c->W; i++) d[i] *= part * (float)dg[i];
        give_row(c, &to->dgate, j, d, c->W);
    }
}

static void give_key(const sq_gated_chunk *c, int64_t j, const sq_gated_gradients *to, const sq_gated_found *f)
{
    const sq_gated_rule *rule = &c->all->rule;
    const int64_t D = rule->D, M = rule->M;
    float ds = 0, *dk = f->dk + j * D, *dv = f->dv + j * M;
    if (rule->weighs) ds = c->kernels->dot(row_of(c, &c->all->k, j), dk, D);
    back_row(c, rule->weighs ? c->step[j] : 1, c->k + j * D, c->k_size[j], dk);
    give_row(c, &to->dk, j, dk, D);
    if (rule->delta) {                 /* before the skip adds to dv, which is dw then */
        const float db = c->b_[j] != 0 ? c->kernels->dot(f->dw + j * M, f->u + j * M, M) / c->b_[j] * c->open[j] : 0;
        give_row(c, &to->dstrength, j, &db, 1);
    }
    if (rule->skips && j < c->rows) {
        const float *dout = to->dout.data + c->b * to->dout.batch + (c->first + j) * to->dout.row + c->h * to->dout.head;
        c->kernels->axpy(dv, c->all->skip[c->h], dout, M);
        f->sums[2] += c->kernels->dot(dout, row_of(c, &c->all->v, j), M);
    }
    give_row(c, &to->dv, j, dv, M);
    if (c->W) back_gate(c, j, f->dL + j * c->W, ds, to, f->sums);
}

void sq__gated_give(const sq_gated_chunk *c, const sq_gated_gradients *to, const sq_gated_found *f)
{
    const sq_gated *g = c->all;
    const int64_t D = g->rule.D, M = g->rule.M;
    for (int64_t i = c->size - 1; i > 0; i--)
        for (int64_t d = 0; d < c->W; d++) f->dL[(i - 1) * c->W + d] += f->dL[i * c->W + d];
    for (int64_t i = 0; i < c->rows; i++) {
        back_row(c, g->rule.scale, c->q + i * D, c->q_size[i], f->dq + i * D);
        give_row(c, &to->dq, i, f->dq + i * D, D);
    }
    give_nothing(c, &to->dq, c->rows, g->T, D);
    for (int64_t j = 0; j < C && c->first + j < g->N; j++) {
        if (sq__gated_exists(c, j)) {
            give_key(c, j, to, f);
            continue;
        }
        const int64_t one = c->first + j + 1;
        give_nothing(c, &to->dk, j, one, D);
        give_nothing(c, &to->dv, j, one, M);
        if (g->rule.gate >= SQ_GATE_SIGMOID) give_nothing(c, &to->dgate, j, one, g->rule.width);
        if (g->rule.delta) give_nothing(c, &to->dstrength, j, one, 1);
    }
}
