/* attention: any mechanism by its plan, on views into what projections gave: no copies. */
#include "autograd/ops.h"

#include "attention/kind.h"

enum { Q, K, V, TENSORS, PACKED = 0, PACKED_TENSORS = 1, SAVED = 0 };

typedef struct attributes {
    const sq_attention *plan;
    const int32_t *lengths, *query_lengths;
    const uint8_t *key_keep, *pair_keep;
    bool packed;
    int tensor_count;
} attributes;

static sq_status attention_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    const attributes *a = node->attributes;
    const sq_problem *p = sq__attention_problem(a->plan);
    const int64_t q[3] = { p->B, p->T, p->H * p->D }, k[3] = { p->B, p->N, p->Hk * p->D }, v[3] = { p->B, p->N, p->Hk * p->M };
    const int64_t packed[3] = { p->B, p->T, q[2] + k[2] + v[2] };
    if (a->packed) {
        if (p->T != p->N) return sq__fail(error, SQ_INVALID, "packed projections need as many keys as queries");
        SQ_TRY(sq__want_shape(node->inputs[PACKED], "the packed projection", 3, packed, error));
    } else {
        if (!node->inputs[K] || !node->inputs[V]) return sq__fail(error, SQ_INVALID, "keys or values are absent");
        SQ_TRY(sq__want_shape(node->inputs[Q], "the queries", 3, q, error));
        SQ_TRY(sq__want_shape(node->inputs[K], "the keys", 3, k, error));
        SQ_TRY(sq__want_shape(node->inputs[V], "the values", 3, v, error));
    }
    for (int i = 0; i < a->tensor_count; i++) {
        sq_attention_tensor info;
        const sq_var *tensor = node->inputs[(a->packed ? PACKED_TENSORS : TENSORS) + i];
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

/* Views of q, k, v in three tensors, or in one (data[0], rows of which hold q | k | v). */
static void views(const attributes *a, float *const *data, sq_view *out)
{
    const sq_problem *p = sq__attention_problem(a->plan);
    int64_t q = p->H * p->D, k = p->Hk * p->D, v = p->Hk * p->M;
    if (a->packed) {
        out[Q] = view(data[0], p->T, q + k + v, p->D);
        out[K] = view(data[0] + q, p->T, q + k + v, p->D);
        out[V] = view(data[0] + q + k, p->T, q + k + v, p->M);
        return;
    }
    out[Q] = view(data[Q], p->T, q, p->D);
    out[K] = view(data[K], p->N, k, p->D);
    out[V] = view(data[V], p->N, v, p->M);
}

typedef struct call { sq_attention_call call; float *tensors[SQ_KIND_TENSORS]; } call;

static void fill_call(const sq_tape *tape, const sq_node *node, call *c)
{
    const attributes *a = node->attributes;
    const sq_problem *p = sq__attention_problem(a->plan);
    const int first = a->packed ? PACKED_TENSORS : TENSORS;
    float *data[3] = { 0 };
    sq_view in[3];
    for (int i = 0; i < first; i++) data[i] = node->inputs[i]->value;
    for (int i = 0; i < a->tensor_count; i++) c->tensors[i] = node->inputs[first + i]->value;
    views(a, data, in);
    c->call = (sq_attention_call){
        .q = in[Q], .k = in[K], .v = in[V], .out = view(node->outputs[0]->value, p->T, p->H * p->M, p->M), .lengths = a->lengths,
        .query_lengths = a->query_lengths, .key_keep = a->key_keep, .pair_keep = a->pair_keep, .tensors = c->tensors,
        .saved = node->saved[SAVED] ? sq__buffer_data(node->saved[SAVED]) : NULL, .step = sq__node_random(tape, node, "attention").stream,
        .training = tape->training, .auxiliary = node->output_count > 1 ? node->outputs[1]->value : NULL,
    };
}

static void attention_forward(sq_tape *tape, sq_node *node)
{
    const attributes *a = node->attributes;
    call c;
    if (node->recorded && !sq__save(tape, node, SAVED, sq_attention_saved_bytes(a->plan))) return;
    sq_buffer *workspace = sq__scratch(tape, sq_attention_workspace_bytes(a->plan, SQ_FORWARD));
    if (!workspace) return;
    fill_call(tape, node, &c);
    if (c.call.auxiliary) *c.call.auxiliary = 0;
    c.call.workspace = sq__buffer_data(workspace);
    sq_attention_forward(a->plan, &c.call);
    sq__pool_release(tape->pool, workspace);
}

/* The backward pass overwrites dq, dk, dv: fresh gradients are written directly, others through a buffer that is given afterwards. */
typedef struct target { sq_buffer *buffer; float *data; } target;

static bool aim(sq_tape *tape, sq_var *input, target *t)
{
    float beta;
    *t = (target){ NULL, NULL };
    if (sq__wants(input) && !input->gradient) {
        t->data = sq__gradient(tape, input, &beta);
    } else {
        t->buffer = sq__scratch(tape, (size_t)input->count * sizeof(float));
        t->data = t->buffer ? sq__floats(t->buffer) : NULL;
    }
    return t->data != NULL;
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
    const int first = a->packed ? PACKED_TENSORS : TENSORS;
    sq_buffer *zeros = node->outputs[0]->gradient ? NULL : zero_gradient(tape, node->outputs[0]);
    const float *dout = zeros ? sq__floats(zeros) : node->outputs[0]->gradient;
    float *data[3] = { 0 }, *dtensors[SQ_KIND_TENSORS];
    target targets[3] = { { 0 } };
    sq_view d[3];
    call c;
    for (int i = 0; i < first; i++) {
        if (!aim(tape, node->inputs[i], &targets[i])) return;
        data[i] = targets[i].data;
    }
    for (int i = 0; i < a->tensor_count; i++) dtensors[i] = sq__gradient_added(tape, node->inputs[first + i]);
    sq_buffer *workspace = sq__scratch(tape, sq_attention_workspace_bytes(a->plan, SQ_BACKWARD));
    if (tape->status != SQ_OK) return;
    fill_call(tape, node, &c);
    c.call.workspace = sq__buffer_data(workspace);
    views(a, data, d);
    sq_attention_backward(a->plan, &c.call, &(sq_attention_gradients){
        .dout = view(dout, p->T, p->H * p->M, p->M), .dq = d[Q], .dk = d[K], .dv = d[V], .dtensors = dtensors,
        .dauxiliary = node->output_count > 1 && node->outputs[1]->gradient ? node->outputs[1]->gradient[0] : 0 });
    sq__pool_release(tape->pool, workspace);
    sq__pool_release(tape->pool, zeros);
    for (int i = 0; i < first; i++)
        if (targets[i].buffer) sq__gradient_give(tape, node->inputs[i], targets[i].buffer);
}

const sq_op sq__op_attention = { "attention", ~0u, false, attention_shape, attention_forward, attention_vjp };

sq_var *sq__attention(sq_tape *tape, const sq_attention *plan, const sq_attention_inputs *inputs)
{
    attributes a = { plan,
                     inputs->lengths,
                     inputs->query_lengths,
                     inputs->key_keep,
                     inputs->pair_keep,
                     inputs->packed != NULL,
                     sq_attention_tensor_count(plan) };
    sq_var *in[TENSORS + SQ_KIND_TENSORS] = { inputs->q, inputs->k, inputs->v };
    int first = TENSORS;
    if (a.packed) {
        in[PACKED] = inputs->packed;
        first = PACKED_TENSORS;
    }
    for (int i = 0; i < a.tensor_count; i++) in[first + i] = inputs->tensors[i];
    sq_node *node = sq__apply(tape, &sq__op_attention, in, first + a.tensor_count, &a, sizeof a, inputs->auxiliary ? 2 : 1);
    if (inputs->auxiliary) *inputs->auxiliary = node ? node->outputs[1] : NULL;
    return node ? node->outputs[0] : NULL;
}
