/* recurrent: a recurrent layer in one direction. Cells, maps and the walk are parts; here are shapes, memory and the gradients that
 * are sums over all steps: one product for each weight.
 * Kept for the way back, a row for each step of each sequence in the order of the walk: gates, the state before the step, and what
 * the cell and the maps need. Without recording nothing is kept. */
#include "autograd/recurrent.h"

#include "autograd/ops.h"
#include "autograd/recurrent_run.h"

enum { PROJECTION, WEIGHT, LEFT, BIAS, PARAMETERS, OUTPUT, INITIAL, INPUTS };
enum { SAVED_ROWS, SAVED_WALK };

typedef struct attributes { sq_cell cell; sq_map_kind map; sq_kronecker kronecker; const int32_t *lengths; bool reverse; } attributes;

static const sq_map_part *const parts[] = { &sq__map_dense, &sq__map_low_rank, &sq__map_kronecker };

/* Columns of the weight, and what kind of map it is. */
static sq_status map_shape(const sq_node *node, int64_t blocks, int64_t H, int64_t P, sq_error *error)
{
    const sq_var *weight = node->inputs[WEIGHT], *left = node->inputs[LEFT];
    const attributes *a = node->attributes;
    char text[64];
    if (!weight) return sq__fail(error, SQ_INVALID, "the recurrent weight is absent");
    if (a->map == SQ_MAP_KRONECKER) {
        SQ_TRY(sq__kronecker_check(&a->kronecker, error));
        if (sq__kronecker_in(&a->kronecker) != P || sq__kronecker_out(&a->kronecker) != H)
            return sq__fail(error, SQ_INVALID, "the factors lead from %lld to %lld numbers; expected %lld to %lld",
                            (long long)sq__kronecker_in(&a->kronecker), (long long)sq__kronecker_out(&a->kronecker), (long long)P, (long long)H);
        return sq__want_shape(weight, "the factors", 2, (const int64_t[]){ blocks, sq__kronecker_floats(&a->kronecker) }, error);
    }
    if (a->map == SQ_MAP_DENSE) return sq__want_shape(weight, "the recurrent weight", 2, (const int64_t[]){ blocks * H, P }, error);
    if (!left || left->rank != 2 || left->shape[1] != P || !left->count)
        return sq__fail(error, SQ_INVALID, "the left factor is %s; expected [rank, %lld]", left ? sq__shape_text(left, text) : "absent", (long long)P);
    return sq__want_shape(weight, "the recurrent weight", 2, (const int64_t[]){ blocks * H, left->shape[0] }, error);
}

static sq_status recurrent_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    sq_var *const *in = node->inputs;
    const sq_var *x = in[PROJECTION];
    const attributes *a = node->attributes;
    const sq_cell_kind *cell = sq__cell_kinds[a->cell];
    char text[64];
    if (x->rank != 3 || !x->count || x->shape[2] % cell->blocks || (cell->is_complex && x->shape[2] % 2))
        return sq__fail(error, SQ_INVALID, "the projection is %s; expected [B, T, %d H]%s", sq__shape_text(x, text), cell->blocks,
                        cell->is_complex ? ", H even" : "");
    const int64_t B = x->shape[0], H = x->shape[2] / cell->blocks, parameters = cell->parameters ? cell->parameters(H) : 0;
    int64_t P = H;
    if (in[OUTPUT]) {
        if (!cell->has_c) return sq__fail(error, SQ_INVALID, "an output projection for %s; only lstm has one", cell->name);
        if (in[OUTPUT]->rank != 2 || in[OUTPUT]->shape[1] != H || in[OUTPUT]->shape[0] < 1)
            return sq__fail(error, SQ_INVALID, "the output projection is %s; expected [P, %lld]", sq__shape_text(in[OUTPUT], text), (long long)H);
        P = in[OUTPUT]->shape[0];
    }
    const int64_t state[2] = { B, P + (cell->has_c ? H : 0) };
    SQ_TRY(map_shape(node, cell->blocks, H, P, error));
    if (in[BIAS]) SQ_TRY(sq__want_shape(in[BIAS], "the bias", 1, &x->shape[2], error));
    if ((in[PARAMETERS] != NULL) != (parameters > 0)) return sq__fail(error, SQ_INVALID, "%s has %lld parameters", cell->name, (long long)parameters);
    if (parameters) SQ_TRY(sq__want_shape(in[PARAMETERS], "the cell's parameters", 1, &parameters, error));
    if (in[INITIAL]) SQ_TRY(sq__want_shape(in[INITIAL], "the initial state", 2, state, error));
    for (int64_t b = 0; a->lengths && b < B; b++)
        if (a->lengths[b] < 0 || a->lengths[b] > x->shape[1])
            return sq__fail(error, SQ_INVALID, "length %d of row %lld; expected 0 to %lld", a->lengths[b], (long long)b, (long long)x->shape[1]);
    shapes[0] = (sq_shape){ 3, { B, x->shape[1], P } };
    shapes[1] = (sq_shape){ 2, { B, state[1] } };
    return SQ_OK;
}

static const float *value_of(const sq_var *var) { return var ? var->value : NULL; }

/* Blocks [from, to) of the recurrent weight. */
static sq_map_use use_of(const sq_node *node, const sq_recurrent_run *run, int64_t from, int64_t to)
{
    const attributes *a = node->attributes;
    const sq_var *weight = node->inputs[WEIGHT];
    const int64_t rows = a->map == SQ_MAP_KRONECKER ? from : from * run->H;
    return (sq_map_use){ .part = parts[a->map],
                         .in = run->P,
                         .out = (to - from) * run->H,
                         .middle = a->map == SQ_MAP_LOW_RANK ? weight->shape[1] : 0,
                         .blocks = to - from,
                         .weight = weight->value + rows * weight->shape[1],
                         .left = value_of(node->inputs[LEFT]),
                         .sizes = &a->kronecker };
}

static sq_recurrent_run run_of(const sq_node *node)
{
    sq_var *const *in = node->inputs;
    const attributes *a = node->attributes;
    const sq_cell_kind *cell = sq__cell_kinds[a->cell];
    sq_recurrent_run run = { .cell = cell,
                             .H = in[PROJECTION]->shape[2] / cell->blocks,
                             .P = sq__last(node->outputs[0]),
                             .state = sq__last(node->outputs[1]),
                             .gates = in[PROJECTION]->shape[2],
                             .projection = in[PROJECTION]->value,
                             .bias = value_of(in[BIAS]),
                             .parameters = value_of(in[PARAMETERS]),
                             .initial = value_of(in[INITIAL]),
                             .out = node->outputs[0]->value,
                             .last = node->outputs[1]->value };
    run.uses[SQ_MAP_STATE] = use_of(node, &run, 0, cell->within);
    if (cell->within < cell->blocks) run.uses[SQ_MAP_WITHIN] = use_of(node, &run, cell->within, cell->blocks);
    if (in[OUTPUT]) run.uses[SQ_MAP_OUTPUT] = (sq_map_use){ .part = &sq__map_dense, .in = run.H, .out = run.P, .weight = in[OUTPUT]->value };
    run.rows.width[SQ_ROW_GATES] = run.gates;
    run.rows.width[SQ_ROW_STATE] = run.state;
    run.rows.width[SQ_ROW_KEPT] = cell->kept ? cell->kept(run.H) : 0;
    run.rows.width[SQ_ROW_MADE] = cell->open ? run.H : 0;
    run.rows.width[SQ_ROW_RESULT] = in[OUTPUT] ? run.H : 0;
    run.back.width[SQ_BACK_OUTPUT] = in[OUTPUT] ? run.P : 0;
    for (int i = 0; i < SQ_MAP_USES; i++) run.rows.width[SQ_ROW_MIDDLE + i] = run.back.width[SQ_BACK_MIDDLE + i] = run.uses[i].middle;
    return run;
}

/* Scratch of all threads, and the weights packed for many rows. extra: floats before them. */
static sq_buffer *prepare(sq_tape *tape, sq_recurrent_run *run, bool back)
{
    const bool many = run->walk.base[run->walk.slices] >= SQ_ROWS;
    int64_t room = 0;
    run->thread_scratch = sq__recurrent_scratch(run, back);
    for (int i = 0; i < SQ_MAP_USES; i++)
        if (run->uses[i].part && (many || run->uses[i].part->packs_always)) room += run->uses[i].part->room(&run->uses[i]);
    sq_buffer *buffer = sq__scratch(tape, (size_t)(room + sq__rows_floats(&run->back) + sq__threads() * run->thread_scratch) * sizeof(float));
    if (!buffer) return NULL;
    float *at = sq__floats(buffer);
    for (int i = 0; i < SQ_MAP_USES; i++) {
        sq_map_use *use = &run->uses[i];
        if (!use->part) continue;
        const bool pack = many || use->part->packs_always;
        use->part->pack(use, pack ? at : NULL);
        at += pack ? use->part->room(use) : 0;
    }
    run->back.at = at;
    run->scratch = at + sq__rows_floats(&run->back);
    return buffer;
}

static void recurrent_forward(sq_tape *tape, sq_node *node)
{
    const sq_var *x = node->inputs[PROJECTION];
    const attributes *a = node->attributes;
    sq_recurrent_run run = run_of(node);
    sq_buffer *order = sq__scratch(tape, (size_t)sq__walk_room(x->shape[0]) * sizeof(int64_t)), *scratch = NULL;
    if (!order) return;
    run.walk = sq__walk_make(x->shape[0], x->shape[1], a->lengths, a->reverse, sq__buffer_data(order));
    run.rows.count = run.walk.base[run.walk.slices];
    if (!node->recorded || sq__save(tape, node, SAVED_ROWS, (size_t)(sq__rows_floats(&run.rows) + 1) * sizeof(float))) {
        run.rows.at = node->recorded ? sq__floats(node->saved[SAVED_ROWS]) : NULL;
        scratch = prepare(tape, &run, false);
    }
    if (scratch) sq__parallel(sq__threads(), run.walk.slices, sq__recurrent_forward_slice, &run);
    sq__pool_release(tape->pool, scratch);
    if (node->recorded) node->saved[SAVED_WALK] = order;
    else sq__pool_release(tape->pool, order);
}

/* Sums over all steps. */
static void add_gradients(sq_tape *tape, sq_node *node, const sq_recurrent_run *run)
{
    const sq_rows *rows = &run->rows;
    const int64_t H = run->H, count = rows->count;
    const float *gates = sq__rows_at(rows, SQ_ROW_GATES, 0), *kept = sq__rows_at(rows, SQ_ROW_KEPT, 0);
    const float *read[SQ_MAP_USES] = { sq__rows_at(rows, SQ_ROW_STATE, 0), sq__rows_at(rows, SQ_ROW_MADE, 0), sq__rows_at(rows, SQ_ROW_RESULT, 0) };
    const float *given[SQ_MAP_USES] = { gates, gates + run->cell->within * H, sq__rows_at(&run->back, SQ_BACK_OUTPUT, 0) };
    const int64_t read_row[SQ_MAP_USES] = { run->state, H, H }, given_row[SQ_MAP_USES] = { run->gates, run->gates, run->P };
    float *dweight = sq__gradient_added(tape, node->inputs[WEIGHT]), *dleft = sq__gradient_added(tape, node->inputs[LEFT]);
    float *doutput = sq__gradient_added(tape, node->inputs[OUTPUT]);
    for (int i = 0; i < SQ_MAP_USES && tape->status == SQ_OK; i++) {
        const sq_map_use *use = &run->uses[i];
        if (!use->part) continue;
        float *d = i == SQ_MAP_OUTPUT ? doutput : dweight ? dweight + (use->weight - node->inputs[WEIGHT]->value) : NULL;
        use->part->gradient(tape, use, count, read[i], read_row[i], given[i], given_row[i], sq__rows_at(rows, SQ_ROW_MIDDLE + i, 0),
                            sq__rows_at(&run->back, SQ_BACK_MIDDLE + i, 0), d, dleft);
    }
    float *d = sq__gradient_added(tape, node->inputs[BIAS]);
    if (d) sq__add_rows(d, gates, count, run->gates, run->gates);
    d = sq__gradient_added(tape, node->inputs[PARAMETERS]);
    if (d) run->cell->parameter_gradient(d, run->parameters, gates, kept, count, H);
}

static void recurrent_vjp(sq_tape *tape, sq_node *node)
{
    const sq_var *x = node->inputs[PROJECTION];
    const attributes *a = node->attributes;
    sq_recurrent_run run = run_of(node);
    run.walk = sq__walk_again(x->shape[0], x->shape[1], a->lengths, a->reverse, sq__buffer_data(node->saved[SAVED_WALK]));
    run.rows.count = run.back.count = run.walk.base[run.walk.slices];
    run.rows.at = sq__floats(node->saved[SAVED_ROWS]);
    run.dout = node->outputs[0]->gradient;
    run.dlast = node->outputs[1]->gradient;
    run.dinitial = sq__gradient_added(tape, node->inputs[INITIAL]);
    sq_buffer *dprojection = sq__scratch(tape, (size_t)x->count * sizeof(float)), *scratch = dprojection ? prepare(tape, &run, true) : NULL;
    if (!scratch) {
        sq__pool_release(tape->pool, dprojection);
        return;
    }
    run.dprojection = sq__floats(dprojection);
    sq__parallel(sq__threads(), run.walk.slices, sq__recurrent_backward_slice, &run);
    add_gradients(tape, node, &run);
    sq__pool_release(tape->pool, scratch);
    sq__gradient_give(tape, node->inputs[PROJECTION], dprojection);
}

const sq_op sq__op_recurrent = { "recurrent", SQ_READS_INPUT(WEIGHT) | SQ_READS_INPUT(LEFT) | SQ_READS_INPUT(PARAMETERS) | SQ_READS_INPUT(OUTPUT),
                                 false, recurrent_shape, recurrent_forward, recurrent_vjp };

sq_var *sq__recurrent(sq_tape *tape, const sq_recurrent *inputs, sq_var **last)
{
    attributes a = { inputs->cell, inputs->map, { .count = 0 }, inputs->lengths, inputs->reverse };
    if (inputs->kronecker) a.kronecker = *inputs->kronecker;
    sq_var *in[INPUTS] = { inputs->projection, inputs->weight, inputs->left, inputs->bias, inputs->parameters, inputs->output, inputs->initial };
    sq_node *node = sq__apply(tape, &sq__op_recurrent, in, INPUTS, &a, sizeof a, 2);
    if (last) *last = node ? node->outputs[1] : NULL;
    return node ? node->outputs[0] : NULL;
}

sq_var *sq__gru(sq_tape *tape, sq_var *x, sq_var *weight_ih, sq_var *weight_hh, sq_var *bias_ih, sq_var *bias_hh, sq_var *initial,
                const int32_t *lengths, bool reverse, sq_var **last)
{
    return sq__recurrent(tape,
                         &(sq_recurrent){ .cell = SQ_CELL_GRU,
                                          .projection = sq__linear(tape, x, weight_ih, bias_ih),
                                          .weight = weight_hh,
                                          .bias = bias_hh,
                                          .initial = initial,
                                          .lengths = lengths,
                                          .reverse = reverse },
                         last);
}
