#include "autograd/kronecker_map.h"

#include "autograd/node.h"

enum { PIECE = 256, LANES = 8 };       /* columns of one block product; rows are filled up to a multiple of LANES */

static int64_t planes(const sq_kronecker *k) { return k->complex ? 2 : 1; }
static int64_t product(const int64_t *sizes, int from, int to)
{
    int64_t all = 1;
    for (int i = from; i < to; i++) all *= sizes[i];
    return all;
}

int64_t sq__kronecker_in(const sq_kronecker *k) { return planes(k) * product(k->columns, 0, k->count); }
int64_t sq__kronecker_out(const sq_kronecker *k) { return planes(k) * product(k->rows, 0, k->count); }

int64_t sq__kronecker_floats(const sq_kronecker *k)
{
    int64_t all = 0;
    for (int i = 0; i < k->count; i++) all += planes(k) * k->rows[i] * k->columns[i];
    return all;
}

sq_status sq__kronecker_check(const sq_kronecker *k, sq_error *error)
{
    const int64_t most = (int64_t)1 << 24;
    int64_t in = 1, out = 1;
    if (k->count < 1 || k->count > SQ_KRONECKER_FACTORS)
        return sq__fail(error, SQ_INVALID, "%d factors; expected 1 to %d", k->count, SQ_KRONECKER_FACTORS);
    for (int i = 0; i < k->count; i++) {
        if (k->rows[i] < 1 || k->columns[i] < 1 || k->rows[i] > most / out || k->columns[i] > most / in)
            return sq__fail(error, SQ_INVALID, "factor %d is %lld x %lld; expected at least 1 x 1 and products of at most %lld", i, (long long)k->rows[i],
                            (long long)k->columns[i], (long long)most);
        in *= k->columns[i];
        out *= k->rows[i];
    }
    return SQ_OK;
}

/* Numbers of a row before stage i, one plane. */
static int64_t stage_size(const sq_kronecker *k, int i) { return product(k->rows, 0, i) * product(k->columns, i, k->count); }

static int64_t widest(const sq_kronecker *k)
{
    int64_t most = 0;
    for (int i = 0; i <= k->count; i++) most = stage_size(k, i) > most ? stage_size(k, i) : most;
    return planes(k) * most;
}

int64_t sq__kronecker_prepared(const sq_kronecker *k)   /* complex: re, im, -im */
{
    return k->complex ? sq__kronecker_floats(k) / 2 * 3 : sq__kronecker_floats(k);
}

static void prepare(const sq_kronecker *k, const float *factors, bool adjoint, float *to)
{
    for (int i = 0; i < k->count; i++) {
        const int64_t P = k->rows[i], Q = k->columns[i], size = P * Q;
        for (int64_t plane = 0; plane < planes(k); plane++, factors += size)
            for (int64_t p = 0; p < P; p++)
                for (int64_t q = 0; q < Q; q++) {
                    const float value = factors[p * Q + q], turned = adjoint && plane ? -value : value;
                    const int64_t at = adjoint ? q * P + p : p * Q + q;
                    to[plane * size + at] = turned;
                    if (plane) to[2 * size + at] = -turned;
                }
        to += (k->complex ? 3 : 1) * size;
    }
}

static sq_kronecker turned_of(const sq_kronecker *k)
{
    sq_kronecker turned = *k;
    memcpy(turned.rows, k->columns, sizeof k->columns);
    memcpy(turned.columns, k->rows, sizeof k->rows);
    return turned;
}

sq_kronecker_map sq__kronecker_prepare(const sq_kronecker *k, int64_t blocks, const float *factors, float *room)
{
    const int64_t size = sq__kronecker_prepared(k), floats = sq__kronecker_floats(k);
    const sq_kronecker_map map = { *k, turned_of(k), blocks, room, room + blocks * size };
    for (int64_t b = 0; b < blocks; b++) {
        prepare(k, factors + b * floats, false, room + b * size);
        prepare(k, factors + b * floats, true, room + (blocks + b) * size);
    }
    return map;
}

/* ---- stages: data [plane][numbers][S], S rows side by side ---- */

static int64_t filled(int64_t rows) { return (rows + LANES - 1) / LANES * LANES; }

/* y[m] (+)= w [P,Q] x[m] for M matrices x[m] [Q,L] */
static void multiply(int64_t M, int64_t P, int64_t Q, int64_t L, const float *w, const float *x, float *y, bool accumulate)
{
    sq_block block = { .m = 0 };
    for (int64_t l = 0, n; l < L; l += n) {
        n = sq__least(L - l, PIECE);
        if (n != block.n) block = sq__block(false, P, n, Q, Q, L, L, accumulate);
        for (int64_t m = 0; m < M; m++) sq__block_run(&block, w, x + m * Q * L + l, y + m * P * L + l);
    }
}

/* Contracts factor i, prepared at w, in M groups of numbers; L numbers of a row lie behind its index. */
static void stage(const sq_kronecker *k, int i, int64_t M, int64_t L, const float *w, const float *x, float *y)
{
    const int64_t P = k->rows[i], Q = k->columns[i], size = P * Q, in = M * Q * L, out = M * P * L;
    multiply(M, P, Q, L, w, x, y, false);
    if (!k->complex) return;
    multiply(M, P, Q, L, w + 2 * size, x + in, y, true);
    multiply(M, P, Q, L, w, x + in, y + out, false);
    multiply(M, P, Q, L, w + size, x, y + out, true);
}

static int64_t prepared_of(const sq_kronecker *k, int i) { return (k->complex ? 3 : 1) * k->rows[i] * k->columns[i]; }

/* All stages from x, which is spent, through y and back: where the result is. */
static float *contract(const sq_kronecker *k, const float *w, int64_t S, float *x, float *y)
{
    for (int i = 0; i < k->count; i++) {
        stage(k, i, product(k->rows, 0, i), S * product(k->columns, i + 1, k->count), w, x, y);
        w += prepared_of(k, i);
        float *next = x;
        x = y;
        y = next;
    }
    return x;
}

/* Rows [rows, n] -> side by side [n, S] */
static void turn_in(int64_t rows, int64_t n, const float *x, int64_t ldx, float *to)
{
    const int64_t S = filled(rows);
    if (S > rows) memset(to, 0, (size_t)(n * S) * sizeof *to);
    sq__kernels()->transpose(to, S, x, ldx, rows, n);
}

int64_t sq__kronecker_scratch(const sq_kronecker *k, int64_t rows)
{
    const sq_kronecker back = turned_of(k);
    int64_t stages = 0, wide = widest(k) > widest(&back) ? widest(k) : widest(&back);
    for (int i = 0; i <= k->count; i++) stages += planes(k) * stage_size(k, i);
    return (stages + 3 * wide) * filled(rows) + sq__kronecker_in(k) * rows;
}

void sq__kronecker_forward(const sq_kronecker_map *map, int64_t rows, const float *x, int64_t ldx, float *y, int64_t ldy, float *scratch)
{
    const sq_kronecker *k = &map->sizes;
    const int64_t S = filled(rows), in = sq__kronecker_in(k), out = sq__kronecker_out(k), size = sq__kronecker_prepared(k);
    float *columns = scratch, *a = columns + widest(k) * S, *b = a + widest(k) * S;
    turn_in(rows, in, x, ldx, columns);
    for (int64_t block = 0; block < map->blocks; block++) {
        memcpy(a, columns, (size_t)(in * S) * sizeof *a);
        const float *found = contract(k, map->factors + block * size, S, a, b);
        sq__kernels()->transpose(y + block * out, ldy, found, S, out, rows);
    }
}

void sq__kronecker_backward(const sq_kronecker_map *map, int64_t rows, const float *dy, int64_t ldy, float *dx, int64_t ldx, float *scratch)
{
    const sq_kronecker *k = &map->turned;
    const int64_t S = filled(rows), out = sq__kronecker_in(k), in = sq__kronecker_out(k), size = sq__kronecker_prepared(k);
    float *sum = scratch, *a = sum + widest(k) * S, *b = a + widest(k) * S, *turned = b + widest(k) * S;
    for (int64_t block = 0; block < map->blocks; block++) {
        turn_in(rows, out, dy + block * out, ldy, a);
        const float *found = contract(k, map->adjoint + block * size, S, a, b);
        if (block) sq__kernels()->axpy(sum, 1.0f, found, in * S);
        else memcpy(sum, found, (size_t)(in * S) * sizeof *sum);
    }
    sq__kernels()->transpose(turned, in, sum, S, in, rows);
    for (int64_t i = 0; i < rows; i++) sq__kernels()->axpy(dx + i * ldx, 1.0f, turned + i * in, in);
}

/* dw += sum over m of dy[m] x[m]' */
static void outer(int64_t M, int64_t P, int64_t Q, int64_t L, float sign, const float *dy, const float *x, float *dw)
{
    for (int64_t m = 0; m < M; m++) sq__gemm(false, true, P, Q, L, sign, dy + m * P * L, L, x + m * Q * L, L, 1, dw, Q);
}

/* The stages' inputs are made again and kept; then the gradient goes back through them. Complex, as independent reals: of the real
 * part dyr xr + dyi xi, of the imaginary part dyi xr - dyr xi. */
void sq__kronecker_gradient(const sq_kronecker_map *map, int64_t rows, const float *x, int64_t ldx, const float *dy, int64_t ldy, float *dfactors,
                            float *scratch)
{
    const sq_kronecker *k = &map->sizes;
    const int64_t S = filled(rows), out = sq__kronecker_out(k), size = sq__kronecker_prepared(k), floats = sq__kronecker_floats(k);
    float *a = scratch, *b = a + widest(k) * S, *kept[SQ_KRONECKER_FACTORS + 1];
    kept[0] = b + widest(k) * S;
    for (int i = 0; i < k->count; i++) kept[i + 1] = kept[i] + planes(k) * stage_size(k, i) * S;
    turn_in(rows, sq__kronecker_in(k), x, ldx, kept[0]);
    for (int64_t block = 0; block < map->blocks; block++) {
        const float *w = map->factors + block * size, *turned = map->adjoint + (block + 1) * size;
        float *d = dfactors + (block + 1) * floats;
        for (int i = 0; i + 1 < k->count; i++) {
            stage(k, i, product(k->rows, 0, i), S * product(k->columns, i + 1, k->count), w, kept[i], kept[i + 1]);
            w += prepared_of(k, i);
        }
        turn_in(rows, out, dy + block * out, ldy, a);
        for (int i = k->count; i-- > 0;) {
            const int64_t M = product(k->rows, 0, i), L = S * product(k->columns, i + 1, k->count), P = k->rows[i], Q = k->columns[i];
            const float *xi = kept[i] + M * Q * L, *di = a + M * P * L;
            d -= planes(k) * P * Q;
            outer(M, P, Q, L, 1, a, kept[i], d);
            if (k->complex) {
                outer(M, P, Q, L, 1, di, xi, d);
                outer(M, P, Q, L, 1, di, kept[i], d + P * Q);
                outer(M, P, Q, L, -1, a, xi, d + P * Q);
            }
            if (i == 0) break;
            turned -= prepared_of(k, i);
            stage(&map->turned, i, M, L, turned, a, b);
            float *next = a;
            a = b;
            b = next;
        }
    }
}
