/* gated_scan: the engine of gated linear recurrences on one packed projection, with its states at both ends. */
#include "autograd/gated.h"
#include "autograd/ops.h"

enum { PACKED, GATE, STRENGTH, RATE, BIAS, SKIP, INITIAL, INPUTS };

typedef struct attributes {
    sq_gated_rule rule;
    int64_t heads, groups;
    const float *fixed;
    const int32_t *lengths;
} attributes;

static sq_status want(const sq_var *var, bool wanted, const char *what, int rank, const int64_t *shape, sq_error *error)
{
    if (wanted != (var != NULL)) return sq__fail(error, SQ_INVALID, "%s is %s", what, wanted ? "absent" : "given, and not read");
    return var ? sq__want_shape(var, what, rank, shape, error) : SQ_OK;
}

static sq_status gated_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    const attributes *a = node->attributes;
    const sq_gated_rule *rule = &a->rule;
    sq_var *const *in = node->inputs;
    const int64_t H = a->heads, D = rule->D, M = rule->M;
    char text[64];
    if (!in[PACKED] || in[PACKED]->rank != 3 || !in[PACKED]->count)
        return sq__fail(error, SQ_INVALID, "the packed projection is %s; expected [B, T, width]", in[PACKED] ? sq__shape_text(in[PACKED], text) : "absent");
    if (a->groups < 1 || H % a->groups) return sq__fail(error, SQ_INVALID, "%lld groups do not divide %lld heads", (long long)a->groups, (long long)H);
    const int64_t B = in[PACKED]->shape[0], T = in[PACKED]->shape[1], packed[3] = { B, T, 2 * a->groups * D + H * M };
    const int64_t gate[3] = { B, T, H * rule->width }, strength[3] = { B, T, H }, initial[4] = { B, H, D, M };
    const bool softplus = rule->gate == SQ_GATE_SOFTPLUS;
    SQ_TRY(want(in[PACKED], true, "the packed projection", 3, packed, error));
    SQ_TRY(want(in[GATE], rule->gate >= SQ_GATE_SIGMOID, "the gate", 3, gate, error));
    SQ_TRY(want(in[STRENGTH], rule->delta, "the strength", 3, strength, error));
    SQ_TRY(want(in[RATE], softplus, "the rate", 1, &H, error));
    SQ_TRY(want(in[BIAS], softplus, "the bias of the gate", 1, &H, error));
    SQ_TRY(want(in[SKIP], rule->skips, "the skip", 1, &H, error));
    SQ_TRY(want(in[INITIAL], in[INITIAL] != NULL, "the initial state", 4, initial, error));
    shapes[0] = (sq_shape){ 3, { B, T, H * M } };
    shapes[1] = (sq_shape){ 4, { B, H, D, M } };
    return SQ_OK;
}

static sq_gated_rows rows(const float *data, int64_t T, int64_t row, int64_t head, int64_t heads)
{
    return (sq_gated_rows){ { (float *)(uintptr_t)data, T * row, row, head }, heads };
}

/* Where q, k and v, the gate and the strength lie in tensors, of values or of gradients. */
static void place(const attributes *a, int64_t T, float *const *data, sq_gated_rows *q, sq_gated_rows *k, sq_gated_rows *v, sq_gated_rows *gate,
                  sq_gated_rows *strength)
{
    const int64_t D = a->rule.D, M = a->rule.M, H = a->heads, keys = a->groups * D, all = 2 * keys + H * M;
    *q = rows(data[PACKED], T, all, D, a->groups);
    *k = rows(data[PACKED] + keys, T, all, D, a->groups);
    *v = rows(data[PACKED] + 2 * keys, T, all, M, H);
    *gate = rows(data[GATE], T, H * a->rule.width, a->rule.width, H);
    *strength = rows(data[STRENGTH], T, H, 1, H);
}

static sq_gated gated_of(const sq_node *node)
{
    const attributes *a = node->attributes;
    float *data[INPUTS];
    for (int i = 0; i < INPUTS; i++) data[i] = node->inputs[i] ? node->inputs[i]->value : NULL;
    const int64_t B = node->inputs[PACKED]->shape[0], T = node->inputs[PACKED]->shape[1];
    sq_gated g = {
        .rule = a->rule, .kernels = sq__kernels(), .threads = sq__threads(), .B = B, .H = a->heads, .T = T, .N = T, .fixed = a->fixed, .rate = data[RATE],
        .bias = data[BIAS], .skip = data[SKIP], .lengths = a->lengths, .query_lengths = a->lengths, .before = data[INITIAL],
        .after = node->outputs[1]->value, .out = rows(node->outputs[0]->value, T, a->heads * a->rule.M, a->rule.M, a->heads).view,
    };
    place(a, T, data, &g.q, &g.k, &g.v, &g.gate, &g.strength);
    return g;
}

static void gated_forward(sq_tape *tape, sq_node *node)
{
    sq_gated g = gated_of(node);
    if (node->recorded && !sq__save(tape, node, 0, sq__gated_saved_bytes(&g))) return;
    sq_buffer *workspace = sq__scratch(tape, sq__gated_workspace_bytes(&g, SQ_FORWARD));
    if (!workspace) return;
    g.saved = node->recorded ? sq__buffer_data(node->saved[0]) : NULL;
    g.workspace = sq__buffer_data(workspace);
    sq__gated_forward(&g);
    sq__pool_release(tape->pool, workspace);
}

static void gated_vjp(sq_tape *tape, sq_node *node)
{
    const attributes *a = node->attributes;
    static const int overwritten[] = { PACKED, GATE, STRENGTH, INITIAL };
    sq_gated g = gated_of(node);
    sq_target targets[INPUTS] = { { 0 } };
    float *data[INPUTS] = { 0 };
    const size_t bytes = (size_t)node->outputs[0]->count * sizeof(float);
    sq_buffer *zeros = node->outputs[0]->gradient ? NULL : sq__scratch(tape, bytes);
    if (zeros) memset(sq__floats(zeros), 0, bytes);
    for (size_t i = 0; i < sizeof overwritten / sizeof *overwritten; i++) {
        const int input = overwritten[i];
        if (!sq__aim(tape, node->inputs[input], &targets[input])) return;
        data[input] = targets[input].data;
    }
    sq_buffer *workspace = sq__scratch(tape, sq__gated_workspace_bytes(&g, SQ_BACKWARD));
    sq_gated_gradients to = { .drate = sq__gradient_added(tape, node->inputs[RATE]), .dbias = sq__gradient_added(tape, node->inputs[BIAS]),
                              .dskip = sq__gradient_added(tape, node->inputs[SKIP]), .dafter = node->outputs[1]->gradient, .dbefore = data[INITIAL] };
    if (tape->status != SQ_OK) return;
    to.dout = rows(zeros ? sq__floats(zeros) : node->outputs[0]->gradient, g.T, g.H * a->rule.M, a->rule.M, g.H).view;
    place(a, g.T, data, &to.dq, &to.dk, &to.dv, &to.dgate, &to.dstrength);
    g.saved = sq__buffer_data(node->saved[0]);
    g.workspace = sq__buffer_data(workspace);
    sq__gated_backward(&g, &to);
    sq__pool_release(tape->pool, workspace);
    sq__pool_release(tape->pool, zeros);
    for (int i = 0; i < INPUTS; i++) sq__hit(tape, node->inputs[i], &targets[i]);
}

const sq_op sq__op_gated_scan = { "gated_scan", SQ_READS_INPUTS | SQ_READS_OUTPUT, false, gated_shape, gated_forward, gated_vjp };

sq_var *sq__gated_scan(sq_tape *tape, const sq_gated_inputs *inputs, const sq_gated_rule *rule, int64_t heads, int64_t groups, sq_var **last)
{
    const attributes a = { *rule, heads, groups, inputs->fixed, inputs->lengths };
    sq_var *in[INPUTS] = { inputs->packed, inputs->gate, inputs->strength, inputs->rate, inputs->bias, inputs->skip, inputs->initial };
    sq_node *node = sq__apply(tape, &sq__op_gated_scan, in, INPUTS, &a, sizeof a, 2);
    if (last) *last = node ? node->outputs[1] : NULL;
    return node ? node->outputs[0] : NULL;
}
