#include "autograd/ntm.h"

#include "autograd/ntm_run.h"
#include "autograd/ops.h"

enum { X, INITIAL, STATE, HEADS_WEIGHT, HEADS_BIAS, LAYERS, WEIGHT_IH = 0, WEIGHT_HH, BIAS_IH, BIAS_HH, WEIGHTS, INPUTS = LAYERS + SQ_NTM_LAYERS * WEIGHTS };

typedef struct attributes { sq_ntm_shape shape; const int32_t *lengths; const uint8_t *going; } attributes;

/* ---- sizes ---- */

bool sq__ntm_writes(const sq_ntm_shape *shape, int head)
{
    const int pairs = shape->read_heads < shape->write_heads ? shape->read_heads : shape->write_heads;
    return head < 2 * pairs ? head % 2 == 1 : shape->write_heads > shape->read_heads;
}

int64_t sq__ntm_heads_size(const sq_ntm_shape *shape)
{
    return shape->read_heads * sq__ntm_head_size(shape, false) + shape->write_heads * sq__ntm_head_size(shape, true);
}

sq_ntm_state sq__ntm_state(const sq_ntm_shape *shape)
{
    const int64_t N = shape->slots, M = shape->slot_size, H = shape->hidden;
    sq_ntm_state at = { .memory = 0, .weights = M * N, .reads = M * N + (shape->read_heads + shape->write_heads) * N };
    int64_t end = at.reads + shape->read_heads * M;
    for (int l = 0; l < shape->layers; l++) {
        at.hidden[l] = end + (shape->recurrent ? 2 * l : l) * H;
        at.cell[l] = at.hidden[l] + H;
    }
    at.size = end + (shape->recurrent ? 2 * shape->layers * H : 0);
    return at;
}

static int64_t gates_of(const sq_ntm_shape *shape) { return (shape->recurrent ? 4 : 1) * shape->hidden; }

/* ---- shape rule ---- */

static sq_status check_sizes(const sq_ntm_shape *s, sq_error *error)
{
    if (s->slots < 1 || s->slot_size < 1 || s->hidden < 1)
        return sq__fail(error, SQ_INVALID, "%lld slots of %lld numbers and %lld hidden units; expected at least 1 of each", (long long)s->slots,
                        (long long)s->slot_size, (long long)s->hidden);
    if (s->layers < 1 || s->layers > SQ_NTM_LAYERS)
        return sq__fail(error, SQ_INVALID, "%d layers of the controller; expected 1 to %d", s->layers, SQ_NTM_LAYERS);
    if (s->read_heads < 1 || s->write_heads < 1 || s->read_heads > SQ_NTM_HEADS || s->write_heads > SQ_NTM_HEADS)
        return sq__fail(error, SQ_INVALID, "%d read heads and %d write heads; expected 1 to %d of each", s->read_heads, s->write_heads, SQ_NTM_HEADS);
    if (s->shift < 0 || 2 * s->shift + 1 > s->slots)
        return sq__fail(error, SQ_INVALID, "a shift of %lld places to either side of %lld slots; expected fewer than half of them",
                        (long long)s->shift, (long long)s->slots);
    return SQ_OK;
}

static sq_status want(const sq_var *var, const char *what, int rank, int64_t first, int64_t second, sq_error *error)
{
    if (!var) return sq__fail(error, SQ_INVALID, "%s is absent", what);
    return sq__want_shape(var, what, rank, (const int64_t[]){ first, second }, error);
}

static sq_status ntm_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    sq_var *const *in = node->inputs;
    const attributes *a = node->attributes;
    const sq_ntm_shape *s = &a->shape;
    char text[64];
    SQ_TRY(check_sizes(s, error));
    if (in[X]->rank != 3 || !in[X]->count) return sq__fail(error, SQ_INVALID, "the input is %s; expected [B, T, I]", sq__shape_text(in[X], text));
    const int64_t B = in[X]->shape[0], T = in[X]->shape[1], H = s->hidden, RM = s->read_heads * s->slot_size, G = gates_of(s), P = sq__ntm_heads_size(s);
    const sq_ntm_state at = sq__ntm_state(s);
    SQ_TRY(want(in[INITIAL], "the initial state", 1, at.size, 0, error));
    if (in[STATE]) SQ_TRY(want(in[STATE], "the state", 2, B, at.size, error));
    SQ_TRY(want(in[HEADS_WEIGHT], "the heads' weight", 2, P, H, error));
    SQ_TRY(want(in[HEADS_BIAS], "the heads' bias", 1, P, 0, error));
    for (int l = 0; l < s->layers; l++) {
        sq_var *const *layer = in + LAYERS + l * WEIGHTS;
        SQ_TRY(want(layer[WEIGHT_IH], "an input weight", 2, G, l ? H : in[X]->shape[2] + RM, error));
        SQ_TRY(want(layer[BIAS_IH], "a bias", 1, G, 0, error));
        if (!s->recurrent) continue;
        SQ_TRY(want(layer[WEIGHT_HH], "a recurrent weight", 2, G, H, error));
        SQ_TRY(want(layer[BIAS_HH], "a recurrent bias", 1, G, 0, error));
    }
    for (int64_t b = 0; a->lengths && b < B; b++)
        if (a->lengths[b] < 0 || a->lengths[b] > T)
            return sq__fail(error, SQ_INVALID, "length %d of row %lld; expected 0 to %lld", a->lengths[b], (long long)b, (long long)T);
    shapes[0] = (sq_shape){ 3, { B, T, H + RM } };
    shapes[1] = (sq_shape){ 2, { B, at.size } };
    return SQ_OK;
}

/* ---- a run over a node ---- */

static const float *value_of(const sq_var *var) { return var ? var->value : NULL; }

static sq_ntm_run run_of(const sq_node *node)
{
    sq_var *const *in = node->inputs;
    const attributes *a = node->attributes;
    const sq_ntm_shape *s = &a->shape;
    sq_ntm_run c = {
        .shape = *s, .at = sq__ntm_state(s), .B = in[X]->shape[0], .T = in[X]->shape[1], .I = in[X]->shape[2], .G = gates_of(s),
        .P = sq__ntm_heads_size(s), .heads = s->read_heads + s->write_heads, .width = sq__last(node->outputs[0]),
        .rows = node->recorded ? in[X]->shape[1] : 1, .lengths = a->lengths, .going = in[STATE] ? a->going : NULL, .x = in[X]->value,
        .initial = in[INITIAL]->value, .state = value_of(in[STATE]), .heads_weight = in[HEADS_WEIGHT]->value, .heads_bias = in[HEADS_BIAS]->value,
        .out = node->outputs[0]->value, .last = node->outputs[1]->value,
    };
    c.wide = c.at.size + (s->recurrent ? 0 : s->layers * s->hidden);
    for (int l = 0; l < s->layers; l++) {
        sq_var *const *layer = in + LAYERS + l * WEIGHTS;
        c.layer[l] = (sq_ntm_cell){ .weight_ih = layer[WEIGHT_IH]->value, .weight_hh = value_of(layer[WEIGHT_HH]), .bias_ih = layer[BIAS_IH]->value,
                                    .bias_hh = value_of(layer[BIAS_HH]), .below = l ? s->hidden : s->read_heads * s->slot_size,
                                    .own = s->recurrent ? s->hidden : 0, .in = layer[WEIGHT_IH]->shape[1], .rows = l ? c.rows : c.T };
    }
    return c;
}

/* Cuts what is kept into its pieces; with base NULL only measures. */
static size_t cut_kept(sq_ntm_run *c, bool recorded, void *base)
{
    sq_cut cut = { base, 0 };
    const int64_t N = c->shape.slots, rows = c->B * c->rows;
    for (int l = 0; l < c->shape.layers; l++) {
        sq_ntm_cell *cell = &c->layer[l];
        cell->gates = sq__cut_floats(&cut, c->B * cell->rows * c->G);
        cell->inputs = sq__cut_floats(&cut, rows * (cell->below + cell->own));
        cell->cells = sq__cut_floats(&cut, rows * cell->own);
    }
    c->rules = sq__cut_floats(&cut, rows * c->P);
    c->kept = sq__cut_floats(&cut, rows * c->heads * SQ_NTM_KEPT * N);
    c->memories = recorded ? sq__cut_floats(&cut, c->B * (c->T * c->shape.write_heads + 1) * N * c->shape.slot_size) : NULL;
    return cut.used;
}

static int64_t packed_size(const sq_ntm_run *c)
{
    int64_t size = c->P * c->shape.hidden + c->G * c->I;
    for (int l = 0; l < c->shape.layers; l++) size += c->G * (c->layer[l].below + c->layer[l].own);
    return size;
}

typedef struct projection { const sq_ntm_run *c; const float *packed; } projection;   /* [I, G] */

static void project_rows(void *context, int64_t from, int64_t to)
{
    const projection *p = context;
    const sq_ntm_run *c = p->c;
    float *gates = c->layer[0].gates + from * c->G;
    for (int64_t i = 0; i < to - from; i++) {
        memcpy(gates + i * c->G, c->layer[0].bias_ih, (size_t)c->G * sizeof(float));
        if (c->layer[0].bias_hh) sq__kernels()->axpy(gates + i * c->G, 1, c->layer[0].bias_hh, c->G);
    }
    sq__gemm(false, false, to - from, c->G, c->I, 1, c->x + from * c->I, c->I, p->packed, c->G, 1, gates, c->G);
}

/* Transposed weights for steps, where a product of few rows runs best; returns that of the events. */
static const float *pack(sq_ntm_run *c, float *to)
{
    const sq_kernels *kernels = sq__kernels();
    const int64_t H = c->shape.hidden, G = c->G;
    kernels->transpose(to, c->P, c->heads_weight, H, c->P, H);
    c->packed_heads = to;
    to += c->P * H;
    for (int l = 0; l < c->shape.layers; l++) {
        sq_ntm_cell *cell = &c->layer[l];
        kernels->transpose(to, G, cell->weight_ih + cell->in - cell->below, cell->in, G, cell->below);
        if (cell->own) kernels->transpose(to + cell->below * G, G, cell->weight_hh, H, G, H);
        cell->packed = to;
        to += (cell->below + cell->own) * G;
    }
    kernels->transpose(to, G, c->layer[0].weight_ih, c->layer[0].in, G, c->I);
    return to;
}

static void ntm_forward(sq_tape *tape, sq_node *node)
{
    sq_ntm_run c = run_of(node);
    if (!sq__save(tape, node, 0, cut_kept(&c, node->recorded, NULL))) return;
    cut_kept(&c, node->recorded, sq__floats(node->saved[0]));
    c.slice_scratch = sq__ntm_head_scratch(&c.shape);
    const int64_t packed = packed_size(&c);
    sq_buffer *scratch = sq__scratch(tape, (size_t)(packed + sq__threads() * c.slice_scratch) * sizeof(float));
    if (!scratch) return;
    c.scratch = sq__floats(scratch) + packed;
    const float *events = pack(&c, sq__floats(scratch));
    sq__for_range(c.B * c.T, SQ_ROWS, project_rows, &(projection){ &c, events });
    sq__parallel(sq__threads(), (c.B + SQ_NTM_SLICE - 1) / SQ_NTM_SLICE, sq__ntm_forward_slice, &c);
    sq__pool_release(tape->pool, scratch);
    if (node->recorded) return;
    sq__pool_release(tape->pool, node->saved[0]);
    node->saved[0] = NULL;
}

/* ---- the way back ---- */

/* dweight [m, n] (rows ld apart) += dy' x over all rows */
static void add_product(const sq_ntm_run *c, float *dweight, int64_t ld, const float *dy, int64_t m, const float *x, int64_t n, int64_t ldx)
{
    sq__gemm_parallel(sq__threads(), true, false, m, n, c->B * c->T, 1, dy, m, x, ldx, 1, dweight, ld);
}

static void add_weights(sq_tape *tape, sq_node *node, const sq_ntm_run *c)
{
    const int64_t positions = c->B * c->T, H = c->shape.hidden;
    float beta, *d = sq__gradient(tape, node->inputs[X], &beta);
    const sq_ntm_cell *first = &c->layer[0];
    if (d) sq__gemm_parallel(sq__threads(), false, false, positions, c->I, c->G, 1, first->gates, c->G, first->weight_ih, first->in, beta, d, c->I);
    for (int l = 0; l < c->shape.layers; l++) {
        sq_var *const *layer = node->inputs + LAYERS + l * WEIGHTS;
        const sq_ntm_cell *cell = &c->layer[l];
        const int64_t columns = cell->below + cell->own;
        d = sq__gradient_added(tape, layer[WEIGHT_IH]);
        if (d && l == 0) add_product(c, d, cell->in, cell->gates, c->G, c->x, c->I, c->I);
        if (d) add_product(c, d + cell->in - cell->below, cell->in, cell->gates, c->G, cell->inputs, cell->below, columns);
        d = sq__gradient_added(tape, layer[WEIGHT_HH]);
        if (d && cell->own) add_product(c, d, H, cell->gates, c->G, cell->inputs + cell->below, H, columns);
        for (int i = BIAS_IH; i <= BIAS_HH; i++) {
            d = sq__gradient_added(tape, layer[i]);
            if (d) sq__add_rows(d, cell->gates, positions, c->G, c->G);
        }
    }
    d = sq__gradient_added(tape, node->inputs[HEADS_WEIGHT]);
    if (d) add_product(c, d, H, c->rules, c->P, c->out, H, c->width);
    d = sq__gradient_added(tape, node->inputs[HEADS_BIAS]);
    if (d) sq__add_rows(d, c->rules, positions, c->P, c->P);
}

static void add_beginnings(sq_tape *tape, sq_node *node, const sq_ntm_run *c)
{
    float *dinitial = sq__gradient_added(tape, node->inputs[INITIAL]), *dstate = sq__gradient_added(tape, node->inputs[STATE]);
    for (int64_t b = 0; b < c->B; b++) {
        const bool going = c->going && c->going[b];
        float *to = going ? dstate ? dstate + b * c->at.size : NULL : dinitial;
        if (to) sq__kernels()->axpy(to, 1, c->dstate + b * c->wide, c->at.size);
    }
}

static void ntm_vjp(sq_tape *tape, sq_node *node)
{
    sq_ntm_run c = run_of(node);
    cut_kept(&c, node->recorded, sq__floats(node->saved[0]));
    c.slice_scratch = SQ_NTM_SLICE * c.shape.hidden + sq__ntm_head_scratch(&c.shape) + sq__ntm_head_size(&c.shape, true);
    sq_buffer *scratch = sq__scratch(tape, (size_t)(c.B * c.wide + sq__threads() * c.slice_scratch) * sizeof(float));
    if (!scratch) return;
    c.dstate = sq__floats(scratch);
    c.scratch = c.dstate + c.B * c.wide;
    c.dout = node->outputs[0]->gradient;
    memset(c.dstate, 0, (size_t)(c.B * c.wide) * sizeof(float));
    const float *dlast = node->outputs[1]->gradient;
    for (int64_t b = 0; dlast && b < c.B; b++) memcpy(c.dstate + b * c.wide, dlast + b * c.at.size, (size_t)c.at.size * sizeof(float));
    sq__parallel(sq__threads(), (c.B + SQ_NTM_SLICE - 1) / SQ_NTM_SLICE, sq__ntm_backward_slice, &c);
    add_weights(tape, node, &c);
    add_beginnings(tape, node, &c);
    sq__pool_release(tape->pool, scratch);
}

const sq_op sq__op_ntm = { "ntm", SQ_READS_INPUTS | SQ_READS_OUTPUT, false, ntm_shape, ntm_forward, ntm_vjp };

sq_var *sq__ntm(sq_tape *tape, const sq_ntm_inputs *inputs, const sq_ntm_shape *shape, const int32_t *lengths, const int64_t *seen, sq_var **last)
{
    attributes a = { *shape, lengths, NULL };
    sq_var *in[INPUTS] = { inputs->x, inputs->initial, inputs->state, inputs->heads_weight, inputs->heads_bias };
    if (last) *last = NULL;
    for (int l = 0; l < shape->layers && l < SQ_NTM_LAYERS; l++)
        memcpy(in + LAYERS + l * WEIGHTS, (sq_var *[]){ inputs->layer[l].weight_ih, inputs->layer[l].weight_hh, inputs->layer[l].bias_ih, inputs->layer[l].bias_hh },
               WEIGHTS * sizeof *in);
    if (inputs->state && inputs->x) {
        uint8_t *going = sq__tape_memory(tape, (size_t)inputs->x->shape[0]);   /* a copy: what has been seen moves on before the way back */
        if (!going) return NULL;
        for (int64_t b = 0; b < inputs->x->shape[0]; b++) going[b] = !seen || seen[b] > 0;
        a.going = going;
    }
    sq_node *node = sq__apply(tape, &sq__op_ntm, in, INPUTS, &a, sizeof a, 2);
    if (last) *last = node ? node->outputs[1] : NULL;
    return node ? node->outputs[0] : NULL;
}
