/* attention: any mechanism by its plan, on views into what projections gave: no copies. */
#include "autograd/nested.h"
#include "autograd/ops.h"

#include "attention/kind.h"

/* Inputs of a node: v, q, k or, packed, one; then the mechanism's further inputs; then its tensors. The first is never absent. */
enum { V, Q, K, APART, PACKED = 0, TOGETHER = 1, SAVED = 0, MOST_INPUTS = APART + SQ_KIND_INPUTS };

typedef struct attributes {
    const sq_attention *plan;
    const int32_t *lengths, *query_lengths;
    const uint8_t *key_keep, *pair_keep, *global_tokens;
    bool packed;
    int input_count, tensor_count;     /* further inputs */
} attributes;

/* Number of the first further input, and of the first tensor. */
static int first_input(const attributes *a) { return a->packed ? TOGETHER : APART; }
static int first_tensor(const attributes *a) { return first_input(a) + a->input_count; }

static int64_t input_rows(const sq_problem *p, const sq_attention_input *input) { return input->of_keys ? p->N : p->T; }

/* Widths of q, k and v that the mechanism reads. */
static void widths(const sq_attention *plan, int64_t *width)
{
    const sq_problem *p = sq__attention_problem(plan);
    const unsigned ignores = sq_attention_ignores(plan);
    width[Q] = ignores & SQ_READS_QUERY ? 0 : p->H * p->D;
    width[K] = ignores & SQ_READS_KEY ? 0 : p->Hk * p->D;
    width[V] = p->Hk * p->M;
}

static sq_status want(const sq_var *var, const char *what, const sq_problem *p, int64_t rows, int64_t width, sq_error *error)
{
    if (width == 0) return var ? sq__fail(error, SQ_INVALID, "%s are given, and the mechanism reads none", what) : SQ_OK;
    if (!var) return sq__fail(error, SQ_INVALID, "%s are absent", what);
    return sq__want_shape(var, what, 3, (int64_t[]){ p->B, rows, width }, error);
}

static sq_status want_inputs(const sq_node *node, const attributes *a, sq_error *error)
{
    const sq_problem *p = sq__attention_problem(a->plan);
    for (int i = 0; i < a->input_count; i++) {
        sq_attention_input info;
        SQ_TRY(sq_attention_input_get(a->plan, i, &info));
        SQ_TRY(want(node->inputs[first_input(a) + i], info.name, p, input_rows(p, &info), p->H * info.width, error));
    }
    return SQ_OK;
}

static sq_status attention_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    const attributes *a = node->attributes;
    const sq_problem *p = sq__attention_problem(a->plan);
    int64_t width[3];
    widths(a->plan, width);
    if (a->packed) {
        if (p->T != p->N) return sq__fail(error, SQ_INVALID, "packed projections need as many keys as queries");
        SQ_TRY(want(node->inputs[PACKED], "the packed projection", p, p->T, width[Q] + width[K] + width[V], error));
    } else {
        SQ_TRY(want(node->inputs[Q], "the queries", p, p->T, width[Q], error));
        SQ_TRY(want(node->inputs[K], "the keys", p, p->N, width[K], error));
        SQ_TRY(want(node->inputs[V], "the values", p, p->N, width[V], error));
    }
    SQ_TRY(want_inputs(node, a, error));
    for (int i = 0; i < a->tensor_count; i++) {
        sq_attention_tensor info;
        const sq_var *tensor = node->inputs[first_tensor(a) + i];
        SQ_TRY(sq_attention_tensor_get(a->plan, i, &info));
        if (!tensor) return sq__fail(error, SQ_INVALID, "tensor '%s' of the mechanism is absent", info.name);
        SQ_TRY(sq__want_shape(tensor, info.name, info.rank, info.shape, error));
    }
    shapes[0] = (sq_shape){ 3, { p->B, p->T, p->H * p->M } };
    shapes[1] = (sq_shape){ 1, { 1 } };
    return SQ_OK;
}

static sq_view view(const float *data, int64_t rows, int64_t width, int64_t head)
{
    return (sq_view){ (float *)(uintptr_t)data, rows * width, width, head };
}

/* Views of q, k, v in three tensors, or in one (data[0], rows of which hold q | k | v), then of the further inputs. */
static void views(const attributes *a, float *const *data, sq_view *out)
{
    const sq_problem *p = sq__attention_problem(a->plan);
    const int first = first_input(a);
    int64_t width[3];
    widths(a->plan, width);
    if (a->packed) {
        const int64_t all = width[Q] + width[K] + width[V];
        out[Q] = view(width[Q] ? data[0] : NULL, p->T, all, p->D);
        out[K] = view(width[K] ? data[0] + width[Q] : NULL, p->T, all, p->D);
        out[V] = view(data[0] + width[Q] + width[K], p->T, all, p->M);
    } else {
        out[Q] = view(data[Q], p->T, width[Q], p->D);
        out[K] = view(data[K], p->N, width[K], p->D);
        out[V] = view(data[V], p->N, width[V], p->M);
    }
    for (int i = 0; i < a->input_count; i++) {
        sq_attention_input info = { .width = 0 };
        sq_attention_input_get(a->plan, i, &info);
        out[APART + i] = view(data[first + i], input_rows(p, &info), p->H * info.width, info.width);
    }
}

typedef struct call { sq_attention_call call; sq_view views[MOST_INPUTS]; float *tensors[SQ_PLAN_TENSORS]; } call;

static void fill_call(const sq_tape *tape, const sq_node *node, call *c)
{
    const attributes *a = node->attributes;
    const sq_problem *p = sq__attention_problem(a->plan);
    const int first = first_tensor(a);
    float *data[MOST_INPUTS] = { 0 };
    for (int i = 0; i < first; i++) data[i] = node->inputs[i] ? node->inputs[i]->value : NULL;
    for (int i = 0; i < a->tensor_count; i++) c->tensors[i] = node->inputs[first + i]->value;
    views(a, data, c->views);
    c->call = (sq_attention_call){
        .q = c->views[Q], .k = c->views[K], .v = c->views[V], .inputs = c->views + APART,
        .out = view(node->outputs[0]->value, p->T, p->H * p->M, p->M), .lengths = a->lengths,
        .query_lengths = a->query_lengths, .key_keep = a->key_keep, .pair_keep = a->pair_keep, .global_tokens = a->global_tokens, .tensors = c->tensors,
        .saved = node->saved[SAVED] ? sq__buffer_data(node->saved[SAVED]) : NULL, .step = sq__node_random(tape, node, "attention").stream,
        .training = tape->training, .auxiliary = node->output_count > 1 ? node->outputs[1]->value : NULL,
    };
}

/* Tensors that follow the data while training: their next values, put in their places once the pass has read the present ones. A pass
 * that is run again reads what it read the first time, and moves nothing. */
typedef struct moving { sq_buffer *buffer[SQ_PLAN_TENSORS]; float *next[SQ_PLAN_TENSORS]; } moving;

static bool make_room(sq_tape *tape, const sq_node *node, moving *m)
{
    const attributes *a = node->attributes;
    *m = (moving){ .next = { NULL } };
    for (int i = 0; tape->training && !tape->replaying && i < a->tensor_count; i++) {
        if (!sq_attention_moves(a->plan, i)) continue;
        m->buffer[i] = sq__scratch(tape, (size_t)node->inputs[first_tensor(a) + i]->count * sizeof(float));
        if (!m->buffer[i]) return false;
        m->next[i] = sq__floats(m->buffer[i]);
    }
    return true;
}

static void move(sq_tape *tape, const sq_node *node, const moving *m)
{
    const attributes *a = node->attributes;
    for (int i = 0; i < a->tensor_count; i++) {
        const sq_var *tensor = node->inputs[first_tensor(a) + i];
        if (!m->buffer[i]) continue;
        if (tape->rehearsing) sq__former_keep(tape, node, i, tensor);
        memcpy(tensor->value, m->next[i], (size_t)tensor->count * sizeof(float));
        sq__pool_release(tape->pool, m->buffer[i]);
    }
}

static void attention_forward(sq_tape *tape, sq_node *node)
{
    const attributes *a = node->attributes;
    moving m;
    call c;
    if (node->recorded && !sq__save(tape, node, SAVED, sq_attention_saved_bytes(a->plan))) return;
    sq_buffer *workspace = sq__scratch(tape, sq_attention_workspace_bytes(a->plan, SQ_FORWARD));
    if (!workspace || !make_room(tape, node, &m)) return;
    fill_call(tape, node, &c);
    for (int i = 0; tape->replaying && i < a->tensor_count; i++) {
        float *former = sq__former_find(tape, node, i);
        if (former) c.tensors[i] = former;
    }
    c.call.moved = m.next;
    if (c.call.auxiliary) *c.call.auxiliary = 0;
    c.call.workspace = sq__buffer_data(workspace);
    if (tape->observer && !tape->replaying) tape->observer(tape->observer_context, a->plan, &c.call);
    sq_attention_forward(a->plan, &c.call);
    move(tape, node, &m);
    sq__pool_release(tape->pool, workspace);
}

/* Only the auxiliary output was used: the gradient of the first is zero. */
static sq_buffer *zero_gradient(sq_tape *tape, const sq_var *out)
{
    sq_buffer *zeros = sq__scratch(tape, (size_t)out->count * sizeof(float));
    if (zeros) memset(sq__floats(zeros), 0, (size_t)out->count * sizeof(float));
    return zeros;
}

static void attention_vjp(sq_tape *tape, sq_node *node)
{
    const attributes *a = node->attributes;
    const sq_problem *p = sq__attention_problem(a->plan);
    const int first = first_tensor(a);
    sq_buffer *zeros = node->outputs[0]->gradient ? NULL : zero_gradient(tape, node->outputs[0]);
    const float *dout = zeros ? sq__floats(zeros) : node->outputs[0]->gradient;
    float *data[MOST_INPUTS] = { 0 }, *dtensors[SQ_PLAN_TENSORS];
    sq_target targets[MOST_INPUTS] = { { 0 } };
    sq_view d[MOST_INPUTS];
    call c;
    for (int i = 0; i < first; i++) {
        if (!sq__aim(tape, node->inputs[i], &targets[i])) return;
        data[i] = targets[i].data;
    }
    for (int i = 0; i < a->tensor_count; i++) dtensors[i] = sq__gradient_added(tape, node->inputs[first + i]);
    sq_buffer *workspace = sq__scratch(tape, sq_attention_workspace_bytes(a->plan, SQ_BACKWARD));
    if (tape->status != SQ_OK) return;
    fill_call(tape, node, &c);
    c.call.workspace = sq__buffer_data(workspace);
    views(a, data, d);
    sq_attention_backward(a->plan, &c.call, &(sq_attention_gradients){
        .dout = view(dout, p->T, p->H * p->M, p->M), .dq = d[Q], .dk = d[K], .dv = d[V], .dinputs = d + APART, .dtensors = dtensors,
        .dauxiliary = node->output_count > 1 && node->outputs[1]->gradient ? node->outputs[1]->gradient[0] : 0 });
    sq__pool_release(tape->pool, workspace);
    sq__pool_release(tape->pool, zeros);
    for (int i = 0; i < first; i++) sq__hit(tape, node->inputs[i], &targets[i]);
}

const sq_op sq__op_attention = { "attention", SQ_READS_INPUTS | SQ_READS_OUTPUT, false, attention_shape, attention_forward, attention_vjp };

void sq__tape_observe(sq_tape *tape, sq_attention_observer observer, void *context)
{
    tape->observer = observer;
    tape->observer_context = context;
}

sq_var *sq__attention(sq_tape *tape, const sq_attention *plan, const sq_attention_inputs *inputs)
{
    const attributes a = {
        .plan = plan, .lengths = inputs->lengths, .query_lengths = inputs->query_lengths, .key_keep = inputs->key_keep, .pair_keep = inputs->pair_keep,
        .global_tokens = inputs->global_tokens, .packed = inputs->packed != NULL, .input_count = sq_attention_input_count(plan),
        .tensor_count = sq_attention_tensor_count(plan),
    };
    sq_var *in[MOST_INPUTS + SQ_PLAN_TENSORS] = { [V] = inputs->v, [Q] = inputs->q, [K] = inputs->k };
    if (a.packed) in[PACKED] = inputs->packed;
    for (int i = 0; i < a.input_count; i++) in[first_input(&a) + i] = inputs->inputs ? inputs->inputs[i] : NULL;
    for (int i = 0; i < a.tensor_count; i++) in[first_tensor(&a) + i] = inputs->tensors[i];
    sq_node *node = sq__apply(tape, &sq__op_attention, in, first_tensor(&a) + a.tensor_count, &a, sizeof a, inputs->auxiliary ? 2 : 1);
    if (inputs->auxiliary) *inputs->auxiliary = node ? node->outputs[1] : NULL;
    return node ? node->outputs[0] : NULL;
}
