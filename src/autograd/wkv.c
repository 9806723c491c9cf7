/* wkv: the averages of RWKV-4 over all features, which are shared out in blocks. */
#include "attention/engine/wkv.h"

#include "autograd/gated.h"
#include "autograd/ops.h"

enum { R, K, V, RATE, BONUS, INITIAL, INPUTS, BLOCK = 64 };

typedef struct attributes { const int32_t *lengths; } attributes;

typedef struct work {
    const sq_node *node;
    int64_t T, C, blocks;
    float *kept, *scratch;             /* [B,blocks,T,2,BLOCK]; per thread */
    float *d[V + 1];                   /* [B,T,C] */
    double *sums;                      /* [B,2,C] */
} work;

static sq_status wkv_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    sq_var *const *in = node->inputs;
    char text[64];
    if (!in[R] || in[R]->rank != 3 || !in[R]->count)
        return sq__fail(error, SQ_INVALID, "the receptance is %s; expected [B, T, C]", in[R] ? sq__shape_text(in[R], text) : "absent");
    const int64_t *x = in[R]->shape, state[3] = { x[0], SQ_WKV_STATE, x[2] };
    for (int i = K; i <= V; i++) SQ_TRY(sq__want_shape(in[i], i == K ? "the keys" : "the values", 3, x, error));
    for (int i = RATE; i <= BONUS; i++) SQ_TRY(sq__want_shape(in[i], i == RATE ? "the rate" : "the bonus", 1, x + 2, error));
    if (in[INITIAL]) SQ_TRY(sq__want_shape(in[INITIAL], "the initial state", 3, state, error));
    shapes[0] = (sq_shape){ 3, { x[0], x[1], x[2] } };
    shapes[1] = (sq_shape){ 3, { state[0], state[1], state[2] } };
    return SQ_OK;
}

static work work_of(const sq_node *node)
{
    const int64_t C = sq__last(node->inputs[R]);
    return (work){ .node = node, .T = node->inputs[R]->shape[1], .C = C, .blocks = (C + BLOCK - 1) / BLOCK,
                   .kept = node->saved[0] ? sq__floats(node->saved[0]) : NULL };
}

/* The state's rows are BLOCK features of [4,C]; the engine's are contiguous. */
static void copy_state(float *to, int64_t to_row, const float *from, int64_t from_row, int64_t D)
{
    for (int i = 0; i < SQ_WKV_STATE; i++) memcpy(to + i * to_row, from + i * from_row, (size_t)D * sizeof *to);
}

/* Block `item` of features, on a thread whose scratch is the engine's and a state. */
static sq_wkv block_of(const work *w, int64_t item, int thread)
{
    sq_var *const *in = w->node->inputs;
    const int32_t *lengths = ((const attributes *)w->node->attributes)->lengths;
    const int64_t b = item / w->blocks, c = item % w->blocks * BLOCK, D = sq__least(BLOCK, w->C - c), at = b * w->T * w->C + c;
    const int64_t length = lengths ? lengths[b] : w->T;
    float *scratch = w->scratch + thread * (sq__wkv_floats(BLOCK) + SQ_WKV_STATE * BLOCK), *state = scratch + sq__wkv_floats(BLOCK);
    if (in[INITIAL]) copy_state(state, D, in[INITIAL]->value + b * SQ_WKV_STATE * w->C + c, w->C, D);
    else memset(state, 0, (size_t)(SQ_WKV_STATE * D) * sizeof *state);
    return (sq_wkv){
        .kernels = sq__kernels(), .T = length, .N = length, .D = D, .r = in[R]->value + at, .k = in[K]->value + at, .v = in[V]->value + at,
        .out = w->node->outputs[0]->value + at, .r_row = w->C, .k_row = w->C, .v_row = w->C, .out_row = w->C, .rate = in[RATE]->value + c,
        .bonus = in[BONUS]->value + c, .state = state, .kept = w->kept ? w->kept + item * w->T * 2 * BLOCK : NULL, .workspace = scratch,
    };
}

static void forward_block(void *context, int64_t item, int thread)
{
    const work *w = context;
    const sq_wkv block = block_of(w, item, thread);
    const int64_t b = item / w->blocks, c = item % w->blocks * BLOCK;
    sq__wkv_forward(&block);
    for (int64_t t = block.T; t < w->T; t++) memset(block.out + t * w->C, 0, (size_t)block.D * sizeof(float));
    copy_state(w->node->outputs[1]->value + b * SQ_WKV_STATE * w->C + c, w->C, block.state, block.D, block.D);
}

static sq_buffer *scratch_of(sq_tape *tape, work *w)
{
    sq_buffer *scratch = sq__scratch(tape, (size_t)(sq__threads() * (sq__wkv_floats(BLOCK) + SQ_WKV_STATE * BLOCK)) * sizeof(float));
    if (scratch) w->scratch = sq__floats(scratch);
    return scratch;
}

static void wkv_forward(sq_tape *tape, sq_node *node)
{
    const int64_t B = node->inputs[R]->shape[0];
    work w = work_of(node);
    if (node->recorded && !sq__save(tape, node, 0, (size_t)(B * w.blocks * w.T * 2 * BLOCK) * sizeof(float))) return;
    if (node->recorded) w.kept = sq__floats(node->saved[0]);
    sq_buffer *scratch = scratch_of(tape, &w);
    if (!scratch) return;
    sq__parallel(sq__threads(), B * w.blocks, forward_block, &w);
    sq__pool_release(tape->pool, scratch);
}

static void backward_block(void *context, int64_t item, int thread)
{
    const work *w = context;
    const sq_wkv block = block_of(w, item, thread);
    const int64_t b = item / w->blocks, c = item % w->blocks * BLOCK, at = b * w->T * w->C + c;
    double *sums = w->sums + b * 2 * w->C + c;
    const sq_wkv_gradients to = { .dout = w->node->outputs[0]->gradient + at, .dr = w->d[R] + at, .dk = w->d[K] + at, .dv = w->d[V] + at, .dout_row = w->C,
                                  .dr_row = w->C, .dk_row = w->C, .dv_row = w->C, .drate = sums, .dbonus = sums + w->C };
    sq__wkv_backward(&block, &to);
    for (int i = R; i <= V; i++)
        for (int64_t t = block.T; t < w->T; t++) memset(w->d[i] + at + t * w->C, 0, (size_t)block.D * sizeof(float));
}

static void wkv_vjp(sq_tape *tape, sq_node *node)
{
    const int64_t B = node->inputs[R]->shape[0];
    work w = work_of(node);
    sq_target targets[V + 1];
    if (!node->outputs[0]->gradient) return;
    for (int i = R; i <= V; i++) {
        if (!sq__aim(tape, node->inputs[i], &targets[i])) return;
        w.d[i] = targets[i].data;
    }
    sq_buffer *scratch = scratch_of(tape, &w), *sums = sq__scratch(tape, (size_t)(B * 2 * w.C) * sizeof(double));
    if (!scratch || !sums) return;
    w.sums = sq__buffer_data(sums);
    sq__parallel(sq__threads(), B * w.blocks, backward_block, &w);
    for (int i = 0; i < 2; i++) {
        float *d = sq__gradient_added(tape, node->inputs[RATE + i]);
        for (int64_t c = 0; d && c < w.C; c++) {
            double sum = 0;
            for (int64_t b = 0; b < B; b++) sum += w.sums[(b * 2 + i) * w.C + c];
            d[c] += (float)sum;
        }
    }
    sq__pool_release(tape->pool, scratch);
    sq__pool_release(tape->pool, sums);
    for (int i = R; i <= V; i++) sq__hit(tape, node->inputs[i], &targets[i]);
}

const sq_op sq__op_wkv = { "wkv", SQ_READS_INPUTS | SQ_READS_OUTPUT, false, wkv_shape, wkv_forward, wkv_vjp };

sq_var *sq__wkv(sq_tape *tape, sq_var *r, sq_var *k, sq_var *v, sq_var *rate, sq_var *bonus, sq_var *initial, const int32_t *lengths, sq_var **last)
{
    const attributes a = { lengths };
    sq_node *node = sq__apply(tape, &sq__op_wkv, (sq_var *[]){ r, k, v, rate, bonus, initial }, INPUTS, &a, sizeof a, 2);
    if (last) *last = node ? node->outputs[1] : NULL;
    return node ? node->outputs[0] : NULL;
}
