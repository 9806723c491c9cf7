/* Rows of q and k to random features and back.
 *   x~ = root x, u = W x~, n = |x~|^2/2; softmax: u - n; hyperbolic: +u - n, -u - n; both as exponents (log-features) or as
 *   values  weight (exp(. - stabiliser) + inside) + outside; trigonometric: weight exp(n - stabiliser) [cos u, sin u];
 *   gaussian: the same without exp(n); relu: max(u, 0) + inside. Not projected: u = x. */
#include <math.h>
#include <string.h>

#include "attention/performer.h"

typedef struct sq_performer_side side_t;

static float weight(const sq_performer_map *map)
{
    if (!map->rule->weighted) return 1;
    return (float)(1 / sqrt((double)(map->kernel == SQ_PERFORMER_HYPERBOLIC ? map->F : map->m)));
}

static const float *row_of(const side_t *side, int64_t i)
{
    return side->x + i * side->x_row;
}

static float half_square(const sq_performer_map *map, const side_t *side, int64_t i)
{
    return 0.5f * map->root * map->root * map->kernels->dot(row_of(side, i), row_of(side, i), map->D);
}

/* u [rows,m] in rows of length F. */
static void directions(const sq_performer_map *map, const side_t *side, int64_t first, int64_t rows, float *u)
{
    if (map->project) {
        sq__gemm(false, true, rows, map->m, map->D, map->root, row_of(side, first), side->x_row, map->W, map->D, 0, u, map->F);
        return;
    }
    for (int64_t i = 0; i < rows; i++)
        for (int64_t d = 0; d < map->D; d++) u[i * map->F + d] = map->root * row_of(side, first + i)[d];
}

static void negated(float *y, const float *x, int64_t n)
{
#pragma omp simd
    for (int64_t r = 0; r < n; r++) y[r] = -x[r];
}

/* u and its negative as exponents; n shifts a query's features alike and cancels, so that only keys carry it. */
static void exponents(const sq_performer_map *map, sq_linear_side which, int64_t first, int64_t rows, float *f)
{
    const side_t *side = &map->side[which];
    for (int64_t i = 0; i < rows; i++) {
        float *row = f + i * map->F;
        if (map->kernel == SQ_PERFORMER_HYPERBOLIC) negated(row + map->m, row, map->m);
        if (which == SQ_LINEAR_KEYS && map->project) sq__linear_shift(row, -half_square(map, side, first + i), map->F);
    }
}

static void positive_values(const sq_performer_map *map, sq_linear_side which, int64_t first, int64_t rows, float *f)
{
    const side_t *side = &map->side[which];
    const float w = weight(map), eps = (float)((double)w * map->rule->inside + map->rule->outside);
    for (int64_t i = 0; i < rows; i++) {
        float *row = f + i * map->F, shift = half_square(map, side, first + i);
        const bool own = map->rule->stabiliser == SQ_STABILISER_LARGEST && which == SQ_LINEAR_QUERIES;
        shift += own ? map->kernels->max(row, map->F) : side->stabiliser;
        if (map->kernel == SQ_PERFORMER_HYPERBOLIC) negated(row + map->m, row, map->m);
        map->kernels->exp_sum(row, row, 1, shift, map->F);
        map->kernels->scale(row, w, map->F);
        if (eps != 0) sq__linear_shift(row, eps, map->F);
    }
}

static void waves(const sq_performer_map *map, const side_t *side, int64_t first, int64_t rows, float *f)
{
    const float w = weight(map);
    for (int64_t i = 0; i < rows; i++) {
        float *c = f + i * map->F, *s = c + map->m, size = w;
        if (map->kernel == SQ_PERFORMER_TRIGONOMETRIC) size *= expf(half_square(map, side, first + i) - side->stabiliser);
        map->kernels->sine_cosine(s, c, c, map->m);
        map->kernels->scale(c, size, map->F);
    }
}

static void rectified(const sq_performer_map *map, int64_t rows, float *f)
{
    const float eps = (float)map->rule->inside;
#pragma omp simd
    for (int64_t i = 0; i < rows * map->F; i++) f[i] = (f[i] > 0 ? f[i] : 0) + eps;
}

/* Without a projection: queries are their softmax over D, keys their exponential (causal; else exponents serve both). */
static void plain_values(const sq_performer_map *map, sq_linear_side which, int64_t rows, float *f)
{
    for (int64_t i = 0; i < rows; i++) {
        float *row = f + i * map->F;
        const bool query = which == SQ_LINEAR_QUERIES;
        const float sum = map->kernels->exp_sum(row, row, 1, query ? map->kernels->max(row, map->F) : 0, map->F);
        if (query) map->kernels->scale(row, 1 / sum, map->F);
    }
}

static void features(void *context, sq_linear_side which, int64_t first, int64_t rows, float *f)
{
    const sq_performer_map *map = context;
    const side_t *side = &map->side[which];
    directions(map, side, first, rows, f);
    if (map->exponents) exponents(map, which, first, rows, f);
    else if (map->kernel == SQ_PERFORMER_RELU) rectified(map, rows, f);
    else if (map->kernel == SQ_PERFORMER_TRIGONOMETRIC || map->kernel == SQ_PERFORMER_GAUSSIAN) waves(map, side, first, rows, f);
    else if (map->project) positive_values(map, which, first, rows, f);
    else plain_values(map, which, rows, f);
}

/* From the gradient with respect to a row's u (in du, m of them) and n to dx. */
static void give(const sq_performer_map *map, side_t *side, bool accumulate, int64_t first, int64_t rows, const float *du)
{
    float *dx = side->dx + first * side->dx_row;
    if (map->project) {
        sq__gemm(false, false, rows, map->D, map->m, map->root, du, map->F, map->W, map->D, accumulate, dx, side->dx_row);
        return;
    }
    for (int64_t i = 0; i < rows; i++) {
        if (!accumulate) memset(dx + i * side->dx_row, 0, (size_t)map->D * sizeof *dx);
        map->kernels->axpy(dx + i * side->dx_row, map->root, du + i * map->F, map->D);
    }
}

/* dx += dn dn/dx */
static void give_norm(const sq_performer_map *map, const side_t *side, int64_t i, double dn)
{
    map->kernels->axpy(side->dx + i * side->dx_row, (float)(dn * map->root * map->root), row_of(side, i), map->D);
}

/* df becomes du in its first m columns; the return is the sum of df f over the exponential part, the gradient with respect to
 * whatever shifts the row's exponents. */
static float through_exponential(const sq_performer_map *map, const float *f, float *df)
{
    if (f) {
        const float eps = (float)((double)weight(map) * map->rule->inside + map->rule->outside);
#pragma omp simd
        for (int64_t r = 0; r < map->F; r++) df[r] *= f[r] - eps;
    }
    const float sum = map->kernels->sum(df, map->F);
    if (map->kernel == SQ_PERFORMER_HYPERBOLIC) map->kernels->axpy(df, -1, df + map->m, map->m);
    return sum;
}

static float through_waves(const sq_performer_map *map, const float *f, float *df)
{
    const int64_t m = map->m;
    const float sum = map->kernels->dot(f, df, map->F);
#pragma omp simd
    for (int64_t r = 0; r < m; r++) df[r] = f[r] * df[m + r] - f[m + r] * df[r];
    return sum;
}

static void through_plain(const sq_performer_map *map, sq_linear_side which, const float *f, float *df)
{
    const float mean = which == SQ_LINEAR_QUERIES ? map->kernels->dot(f, df, map->F) : 0;
#pragma omp simd
    for (int64_t r = 0; r < map->F; r++) df[r] = f[r] * (df[r] - mean);
}

static void through_rectified(const sq_performer_map *map, const float *f, float *df)
{
    const float eps = (float)map->rule->inside;
#pragma omp simd
    for (int64_t r = 0; r < map->F; r++) df[r] = f[r] > eps ? df[r] : 0;
}

static int64_t largest(const float *x, int64_t n)
{
    int64_t at = 0;
    for (int64_t r = 1; r < n; r++)
        if (x[r] > x[at]) at = r;
    return at;
}

/* Row gradient `pull` with respect to the row's shift goes to n and to the stabiliser. Returns dn. */
static double pull_row(sq_performer_map *map, sq_linear_side which, const float *f, float *df, float pull)
{
    const sq_performer_rule *rule = map->rule;
    const bool waves_ = map->kernel == SQ_PERFORMER_TRIGONOMETRIC;
    if (!map->exponents && rule->differentiated) {
        if (rule->stabiliser == SQ_STABILISER_LARGEST && which == SQ_LINEAR_QUERIES) df[largest(f, map->F)] -= pull;
        else map->side[which].pull -= pull;
    }
    return waves_ ? pull : -pull;
}

static void backward(void *context, sq_linear_side which, int64_t first, int64_t rows, const float *f, float *df)
{
    sq_performer_map *map = context;
    side_t *side = &map->side[which];
    const bool accumulate = which == SQ_LINEAR_KEYS && map->accumulate;
    double dn[SQ_LINEAR_CHUNK] = { 0 };
    for (int64_t i = 0; i < rows; i++) {
        const float *row = f ? f + i * map->F : NULL;
        float *drow = df + i * map->F;
        if (!map->project && !map->exponents && map->kernel == SQ_PERFORMER_SOFTMAX) through_plain(map, which, row, drow);
        else if (map->kernel == SQ_PERFORMER_RELU) through_rectified(map, row, drow);
        else if (map->kernel == SQ_PERFORMER_GAUSSIAN) through_waves(map, row, drow);
        else if (map->kernel == SQ_PERFORMER_TRIGONOMETRIC) dn[i] = pull_row(map, which, row, drow, through_waves(map, row, drow));
        else if (!(map->exponents && which == SQ_LINEAR_QUERIES)) dn[i] = pull_row(map, which, row, drow, through_exponential(map, row, drow));
        else through_exponential(map, NULL, drow);
    }
    give(map, side, accumulate, first, rows, df);
    for (int64_t i = 0; map->project && i < rows; i++)
        if (dn[i] != 0) give_norm(map, side, first + i, dn[i]);
}

sq_linear_map sq__performer_linear_map(sq_performer_map *map)
{
    return (sq_linear_map){ map, features, backward };
}

static void find_largest(sq_performer_map *map, side_t *side, float *scratch)
{
    for (int64_t first = 0, rows; first < side->rows; first += rows) {
        rows = side->rows - first < SQ_LINEAR_CHUNK ? side->rows - first : SQ_LINEAR_CHUNK;
        directions(map, side, first, rows, scratch);
        for (int64_t i = 0; i < rows; i++) {
            const float most = map->kernels->max(scratch + i * map->F, map->m);
            if (first + i > 0 && !(most > side->stabiliser)) continue;
            side->stabiliser = most;
            side->at_row = first + i;
            side->at_feature = largest(scratch + i * map->F, map->m);
        }
    }
}

static void find_norm(sq_performer_map *map, side_t *side)
{
    for (int64_t i = 0; i < side->rows; i++) {
        const float n = (float)map->rule->norm_weight * half_square(map, side, i);
        if (i > 0 && !(n > side->stabiliser)) continue;
        side->stabiliser = n;
        side->at_row = i;
    }
}

void sq__performer_map_prepare(sq_performer_map *map, float *scratch)
{
    if (map->exponents) return;
    if (map->rule->stabiliser == SQ_STABILISER_LARGEST) find_largest(map, &map->side[SQ_LINEAR_KEYS], scratch);
    if (map->rule->stabiliser == SQ_STABILISER_NORM && map->stabilize)
        for (int which = 0; which < 2; which++) find_norm(map, &map->side[which]);
}

void sq__performer_map_finish(sq_performer_map *map)
{
    for (int which = 0; which < 2; which++) {
        side_t *side = &map->side[which];
        if (side->pull == 0) continue;
        if (map->rule->stabiliser == SQ_STABILISER_NORM && map->stabilize)
            give_norm(map, side, side->at_row, map->rule->norm_weight * side->pull);
        else if (map->rule->stabiliser == SQ_STABILISER_LARGEST)
            map->kernels->axpy(side->dx + side->at_row * side->dx_row, (float)(map->root * side->pull), map->W + side->at_feature * map->D, map->D);
    }
}
