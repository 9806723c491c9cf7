/* ntm: x [T,B,I], out = sigmoid(fc([h, reads])), loss sum(out*g). An LSTM controller, pairs of a read and a write head; the weightings
 * before the first step are zeros. The whole sequence gives out and the gradients; a run step by step gives what is in between. */
#include <string.h>

#include "autograd/ntm_head.h"
#include "nn/ntm.h"
#include "verify/families.h"
#include "verify/module.h"

enum { MOST_PARTS = 2 + SQ_NTM_HEADS + 2 * SQ_NTM_LAYERS };

typedef struct sizes { int64_t T, B, I, O, N, M, H, heads; int layers, pairs; sq_ntm_shape shape; } sizes;

static bool read_sizes(sq_golden *golden, sizes *s)
{
    const sq_st_tensor *x = sq__golden_tensor(golden, "x", SQ_SHAPE(SQ_ANY, SQ_ANY, SQ_ANY));
    const sq_st_tensor *memory = sq__golden_tensor(golden, "mem_bias", SQ_SHAPE(SQ_ANY, SQ_ANY));
    const sq_st_tensor *hidden = sq__golden_tensor(golden, "param.ntm.controller.lstm_h_bias", SQ_SHAPE(SQ_ANY, 1, SQ_ANY));
    const sq_st_tensor *head = sq__golden_tensor(golden, "param.ntm.heads.0.fc_read.weight", SQ_SHAPE(SQ_ANY, SQ_ANY));
    const sq_st_tensor *out = sq__golden_tensor(golden, "param.ntm.fc.weight", SQ_SHAPE(SQ_ANY, SQ_ANY));
    const int64_t pairs = sq__golden_count(golden, "head_pairs", 1);
    if (!x || !memory || !hidden || !head || !out) return false;
    *s = (sizes){ x->shape[0], x->shape[1], x->shape[2], out->shape[0], memory->shape[0], memory->shape[1], hidden->shape[2], 2 * pairs,
                  (int)hidden->shape[0], (int)pairs, { 0 } };
    const int64_t shifts = head->shape[0] - s->M - 3;
    if (pairs < 1) sq__golden_fail(golden, "metadata 'head_pairs' is 0");
    if (hidden->shape[0] > SQ_NTM_LAYERS || pairs > SQ_NTM_HEADS)
        sq__golden_skip(golden, "this build's machines have up to %d layers of controller and %d heads of a kind", SQ_NTM_LAYERS, SQ_NTM_HEADS);
    if (shifts < 1 || shifts % 2 == 0) sq__golden_fail(golden, "a read head has %lld rules for keys of %lld numbers", (long long)head->shape[0], (long long)s->M);
    s->shape = (sq_ntm_shape){ .slots = s->N, .slot_size = s->M, .hidden = s->H, .shift = shifts / 2, .layers = s->layers, .read_heads = s->pairs,
                               .write_heads = s->pairs, .recurrent = true };
    return sq__golden_going(golden);
}

static void load(sq_module *m, const sizes *s)
{
    static const char *const parts[] = { "weight_ih", "weight_hh", "bias_ih", "bias_hh" };
    char to[96], from[96];
    for (int l = 0; l < s->layers; l++)
        for (int i = 0; i < 4; i++) {
            snprintf(to, sizeof to, "ntm.controller.%d.%s", l, parts[i]);
            snprintf(from, sizeof from, "param.ntm.controller.lstm.%s_l%d", parts[i], l);
            sq__module_parameter(m, to, 0, 4 * s->H, from);
        }
    int64_t row = 0;
    for (int head = 0; head < s->heads; head++) {
        const bool writes = sq__ntm_writes(&s->shape, head);
        const int64_t rows = sq__ntm_head_size(&s->shape, writes);
        for (int i = 0; i < 2; i++) {
            snprintf(to, sizeof to, "ntm.heads.%s", i ? "bias" : "weight");
            snprintf(from, sizeof from, "param.ntm.heads.%d.fc_%s.%s", head, writes ? "write" : "read", i ? "bias" : "weight");
            sq__module_parameter(m, to, row, rows, from);
        }
        row += rows;
    }
}

static sq_var *flat(sq_module *m, sq_var *x) { return x ? sq__reshape(m->tape, x, 1, (int64_t[]){ x->count }) : NULL; }

/* The state of the first step, in the order of sq_ntm_state. */
static sq_var *beginning(sq_module *m, const sizes *s)
{
    sq_var *parts[MOST_PARTS], *memory = sq__module_input(m, "mem_bias", SQ_SHAPE(s->N, s->M));
    int count = 0;
    parts[count++] = flat(m, sq__transpose(m->tape, memory));
    parts[count++] = sq__module_values(m, SQ_SHAPE(s->heads * s->N), sq__golden_room(m->golden, s->heads * s->N), false);
    for (int i = 0; i < s->pairs; i++)
        parts[count++] = flat(m, sq__module_input(m, sq__golden_numbered(m->golden, "init_read.%d", i), SQ_SHAPE(1, s->M)));
    sq_var *hidden = flat(m, sq__module_input(m, "param.ntm.controller.lstm_h_bias", SQ_SHAPE(s->layers, 1, s->H)));
    sq_var *cell = flat(m, sq__module_input(m, "param.ntm.controller.lstm_c_bias", SQ_SHAPE(s->layers, 1, s->H)));
    for (int l = 0; l < s->layers; l++) {
        parts[count++] = sq__slice(m->tape, hidden, l * s->H, s->H);
        parts[count++] = sq__slice(m->tape, cell, l * s->H, s->H);
    }
    return sq__concatenate(m->tape, parts, count);
}

/* What happens in between, by name: [T, outer, B, inner]. */
enum { MEMORY, WEIGHTS, READS, CONTROLLER, KEY, BETA, GATE, SHIFT, GAMMA, TRACES };
typedef struct trace { const char *name; int64_t outer, inner; float *value; } trace;

static void put(const trace *of, const sizes *s, int64_t t, int64_t i, int64_t b, const float *from)
{
    memcpy(of->value + ((t * of->outer + i) * s->B + b) * of->inner, from, (size_t)of->inner * sizeof(float));
}

/* The rules are a linear map of the controller's output, made again here to be looked at. */
static void put_rules(trace *traces, const sizes *s, int64_t t, int64_t b, float *rules)
{
    for (int head = 0; head < s->heads; head++) {
        const bool writes = sq__ntm_writes(&s->shape, head);
        const float *at = rules;
        sq__ntm_activate(&s->shape, writes, rules);
        for (int i = KEY; i <= GAMMA; at += traces[i++].inner) put(&traces[i], s, t, head, b, at);
        rules += sq__ntm_head_size(&s->shape, writes);
    }
}

static void put_step(sq_module *m, const sizes *s, trace *traces, int64_t t, const sq_var *out, const sq_var *rules, const sq_var *last)
{
    const sq_ntm_state at = sq__ntm_state(&s->shape);
    float *copies = sq__golden_room(m->golden, rules->count), *memory = sq__golden_room(m->golden, s->N * s->M);
    if (!copies || !memory) return;
    memcpy(copies, rules->value, (size_t)rules->count * sizeof(float));
    for (int64_t b = 0; b < s->B; b++) {
        const float *state = last->value + b * at.size;
        for (int64_t i = 0; i < s->N * s->M; i++) memory[i] = state[at.memory + i % s->M * s->N + i / s->M];
        put(&traces[MEMORY], s, t, 0, b, memory);
        for (int head = 0; head < s->heads; head++) put(&traces[WEIGHTS], s, t, head, b, state + at.weights + head * s->N);
        for (int head = 0; head < s->pairs; head++) put(&traces[READS], s, t, head, b, state + at.reads + head * s->M);
        put(&traces[CONTROLLER], s, t, 0, b, out->value + b * (s->H + s->pairs * s->M));
        put_rules(traces, s, t, b, copies + b * (rules->count / s->B));
    }
}

static void run_by_steps(sq_module *m, const sizes *s, const sq_ntm_machine *machine, sq_var *initial, const float *x)
{
    const int64_t shifts = 2 * s->shape.shift + 1;
    trace traces[TRACES] = { { "memory", 1, s->N * s->M, NULL }, { "weights", s->heads, s->N, NULL }, { "reads", s->pairs, s->M, NULL },
                             { "controller_out", 1, s->H, NULL }, { "addr.key", s->heads, s->M, NULL }, { "addr.beta", s->heads, 1, NULL },
                             { "addr.gate", s->heads, 1, NULL }, { "addr.shift", s->heads, shifts, NULL }, { "addr.gamma", s->heads, 1, NULL } };
    for (int i = 0; i < TRACES; i++) {
        traces[i].value = sq__golden_room(m->golden, s->T * traces[i].outer * s->B * traces[i].inner);
        if (!traces[i].value) return;
    }
    sq_var *state = NULL, *weight = sq__parameters_var(&m->set, machine->heads_weight, m->tape), *bias = sq__parameters_var(&m->set, machine->heads_bias, m->tape);
    for (int64_t t = 0; t < s->T; t++) {
        sq_var *step = sq__module_values(m, SQ_SHAPE(s->B, 1, s->I), x + t * s->B * s->I, false);
        sq_var *out = step ? sq__ntm_run(machine, m->tape, step, NULL, initial, state, NULL, &state) : NULL;
        sq_var *rules = out ? sq__linear(m->tape, sq__slice(m->tape, out, 0, s->H), weight, bias) : NULL;
        if (!sq__module_going(m) || !rules) return;
        put_step(m, s, traces, t, out, rules, state);
    }
    for (int i = 0; i < TRACES; i++) sq__golden_compare(m->golden, traces[i].name, traces[i].value, s->T * traces[i].outer * s->B * traces[i].inner);
}

static void run(sq_module *m, const sizes *s)
{
    sq_ntm_machine machine;
    sq_error error;
    const sq_ntm_config config = { .shape = s->shape, .input = s->I, .initial_weights = SQ_NTM_NOWHERE };
    sq__golden_status(m->golden, sq__ntm_create(&machine, &m->set, "ntm", &config, &error), &error);
    load(m, s);
    sq_var *x = sq__module_input(m, "x", SQ_SHAPE(s->T, s->B, s->I)), *initial = beginning(m, s);
    if (!sq__module_going(m)) return;
    run_by_steps(m, s, &machine, initial, x->value);
    sq_var *rows = sq__ntm_run(&machine, m->tape, sq__transpose(m->tape, x), NULL, initial, NULL, NULL, NULL);
    sq_var *weight = sq__module_input(m, "param.ntm.fc.weight", SQ_SHAPE(s->O, s->H + s->pairs * s->M));
    sq_var *logits = rows && weight ? sq__linear(m->tape, rows, weight, sq__module_input(m, "param.ntm.fc.bias", SQ_SHAPE(s->O))) : NULL;
    if (logits) sq__module_finish(m, sq__transpose(m->tape, sq__activate(m->tape, logits, SQ_SIGMOID)));
}

void sq__family_ntm(sq_golden *golden)
{
    sq_module module;
    sizes s;
    if (!read_sizes(golden, &s)) return;
    if (sq__module_open(&module, golden)) run(&module, &s);
    sq__module_close(&module);
}
