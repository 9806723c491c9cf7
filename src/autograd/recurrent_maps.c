#include "autograd/recurrent_maps.h"

#include "autograd/groups.h"

static sq_packed packed(float *room, bool trans, int64_t k, int64_t n, const float *b, int64_t ldb)
{
    return room ? sq__pack(room, trans, k, n, b, ldb) : (sq_packed){ trans, k, n, ldb, b, NULL };
}

/* ---- dense: weight [out, in] ---- */

static int64_t dense_room(const sq_map_use *use) { return 2 * use->in * use->out; }

static void dense_pack(sq_map_use *use, float *room)
{
    use->ahead[0] = packed(room, true, use->in, use->out, use->weight, use->in);
    use->back[0] = packed(room ? room + use->in * use->out : NULL, false, use->out, use->in, use->weight, use->in);
}

static void dense_forward(const sq_map_use *use, int64_t rows, const float *x, int64_t ldx, float *y, int64_t ldy, float *middle, float *scratch)
{
    (void)middle, (void)scratch;
    sq__gemm_packed(rows, &use->ahead[0], x, ldx, false, y, ldy);
}

static void dense_backward(const sq_map_use *use, int64_t rows, const float *dy, int64_t ldy, float *dx, int64_t ldx, float *dmiddle,
                           float *scratch)
{
    (void)dmiddle, (void)scratch;
    sq__gemm_packed(rows, &use->back[0], dy, ldy, true, dx, ldx);
}

static void dense_gradient(sq_tape *tape, const sq_map_use *use, int64_t rows, const float *x, int64_t ldx, const float *dy, int64_t ldy,
                           const float *middle, const float *dmiddle, float *dweight, float *dleft)
{
    (void)tape, (void)middle, (void)dmiddle, (void)dleft;
    if (dweight) sq__add_product(dweight, use->out, use->in, rows, dy, ldy, x, ldx);
}

const sq_map_part sq__map_dense = { dense_room, NULL, dense_pack, dense_forward, dense_backward, dense_gradient, false };

/* ---- low rank: weight [out, rank], left [rank, in]; the middle is left x ---- */

static int64_t low_rank_room(const sq_map_use *use) { return 2 * use->middle * (use->in + use->out); }

static void low_rank_pack(sq_map_use *use, float *room)
{
    const int64_t wide = use->middle * use->out, left = use->middle * use->in;
    use->ahead[0] = packed(room, true, use->middle, use->out, use->weight, use->middle);
    use->back[0] = packed(room ? room + wide : NULL, false, use->out, use->middle, use->weight, use->middle);
    use->ahead[1] = packed(room ? room + 2 * wide : NULL, true, use->in, use->middle, use->left, use->in);
    use->back[1] = packed(room ? room + 2 * wide + left : NULL, false, use->middle, use->in, use->left, use->in);
}

static void low_rank_forward(const sq_map_use *use, int64_t rows, const float *x, int64_t ldx, float *y, int64_t ldy, float *middle, float *scratch)
{
    (void)scratch;
    sq__gemm_packed(rows, &use->ahead[1], x, ldx, false, middle, use->middle);
    sq__gemm_packed(rows, &use->ahead[0], middle, use->middle, false, y, ldy);
}

static void low_rank_backward(const sq_map_use *use, int64_t rows, const float *dy, int64_t ldy, float *dx, int64_t ldx, float *dmiddle,
                              float *scratch)
{
    (void)scratch;
    sq__gemm_packed(rows, &use->back[0], dy, ldy, false, dmiddle, use->middle);
    sq__gemm_packed(rows, &use->back[1], dmiddle, use->middle, true, dx, ldx);
}

static void low_rank_gradient(sq_tape *tape, const sq_map_use *use, int64_t rows, const float *x, int64_t ldx, const float *dy, int64_t ldy,
                              const float *middle, const float *dmiddle, float *dweight, float *dleft)
{
    (void)tape;
    if (dweight) sq__add_product(dweight, use->out, use->middle, rows, dy, ldy, middle, use->middle);
    if (dleft) sq__add_product(dleft, use->middle, use->in, rows, dmiddle, use->middle, x, ldx);
}

const sq_map_part sq__map_low_rank = { low_rank_room, NULL, low_rank_pack, low_rank_forward, low_rank_backward, low_rank_gradient, false };

/* ---- Kronecker: weight holds the blocks' factors ---- */

static int64_t kronecker_room(const sq_map_use *use) { return 2 * use->blocks * sq__kronecker_prepared(use->sizes); }
static int64_t kronecker_scratch(const sq_map_use *use, int64_t rows) { return sq__kronecker_scratch(use->sizes, rows); }

static void kronecker_pack(sq_map_use *use, float *room) { use->kronecker = sq__kronecker_prepare(use->sizes, use->blocks, use->weight, room); }

static void kronecker_forward(const sq_map_use *use, int64_t rows, const float *x, int64_t ldx, float *y, int64_t ldy, float *middle, float *scratch)
{
    (void)middle;
    sq__kronecker_forward(&use->kronecker, rows, x, ldx, y, ldy, scratch);
}

static void kronecker_backward(const sq_map_use *use, int64_t rows, const float *dy, int64_t ldy, float *dx, int64_t ldx, float *dmiddle,
                               float *scratch)
{
    (void)dmiddle;
    sq__kronecker_backward(&use->kronecker, rows, dy, ldy, dx, ldx, scratch);
}

typedef struct gradient_call { const sq_kronecker_map *map; const float *x, *dy; int64_t ldx, ldy; } gradient_call;

static void gradient_rows(void *context, int64_t from, int64_t to, float *const *sums, float *scratch)
{
    const gradient_call *c = context;
    sq__kronecker_gradient(c->map, to - from, c->x + from * c->ldx, c->ldx, c->dy + from * c->ldy, c->ldy, sums[0], scratch);
}

static void kronecker_gradient(sq_tape *tape, const sq_map_use *use, int64_t rows, const float *x, int64_t ldx, const float *dy, int64_t ldy,
                               const float *middle, const float *dmiddle, float *dweight, float *dleft)
{
    (void)middle, (void)dmiddle, (void)dleft;
    gradient_call c = { &use->kronecker, x, dy, ldx, ldy };
    sq_row_work work = { .rows = rows, .scratch = sq__kronecker_scratch(use->sizes, SQ_ROWS), .run = gradient_rows, .context = &c };
    work.sums[0] = dweight;
    work.lengths[0] = use->blocks * sq__kronecker_floats(use->sizes);
    if (dweight && rows) sq__run_rows(tape, &work);
}

const sq_map_part sq__map_kronecker = { kronecker_room,     kronecker_scratch,  kronecker_pack, kronecker_forward,
                                        kronecker_backward, kronecker_gradient, true };
