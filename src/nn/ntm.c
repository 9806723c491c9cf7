#include "nn/ntm.h"

#include <math.h>

static sq_status create_layer(sq_ntm_machine *m, int l, const char *prefix, sq_error *error)
{
    const sq_ntm_shape *s = &m->config.shape;
    const int64_t H = s->hidden, G = (s->recurrent ? 4 : 1) * H, in = l ? H : m->config.input + s->read_heads * s->slot_size;
    char name[96];
    snprintf(name, sizeof name, "%.64s.controller.%d", prefix, l);
    sq_parameter_spec spec = { .prefix = name, .name = "weight_ih", .rank = 2, .shape = { G, in }, .initial = SQ_INITIAL_UNIFORM,
                               .scale = s->recurrent ? (float)(1 / sqrt((double)H)) : sq__glorot(in, H), .decay = true };
    SQ_TRY(sq__parameters_add(m->set, &spec, &m->layer[l].weight_ih, error));
    m->layer[l].weight_hh = m->layer[l].bias_hh = -1;
    if (s->recurrent) {
        spec.name = "weight_hh";
        spec.shape[1] = H;
        SQ_TRY(sq__parameters_add(m->set, &spec, &m->layer[l].weight_hh, error));
    }
    spec = (sq_parameter_spec){ .prefix = name, .name = "bias_ih", .rank = 1, .shape = { G } };
    SQ_TRY(sq__parameters_add(m->set, &spec, &m->layer[l].bias_ih, error));
    spec.name = "bias_hh";
    return s->recurrent ? sq__parameters_add(m->set, &spec, &m->layer[l].bias_hh, error) : SQ_OK;
}

static sq_status create_initial(sq_ntm_machine *m, const char *prefix, sq_error *error)
{
    const sq_ntm_shape *s = &m->config.shape;
    const int64_t N = s->slots, M = s->slot_size, heads = s->read_heads + s->write_heads;
    char name[96];
    snprintf(name, sizeof name, "%.64s.initial", prefix);
    sq_parameter_spec spec = { .prefix = name, .name = "memory", .rank = 2, .shape = { M, N }, .initial = SQ_INITIAL_UNIFORM,
                               .scale = (float)(1 / sqrt((double)(N + M))), .frozen = m->config.initial_memory != SQ_NTM_LEARNED };
    SQ_TRY(sq__parameters_add(m->set, &spec, &m->memory, error));
    float *memory = m->set->items[m->memory].value;
    for (int64_t i = 0; m->config.initial_memory == SQ_NTM_CONSTANT && i < M * N; i++) memory[i] = 1e-6f;
    spec = (sq_parameter_spec){ .prefix = name, .name = "weights", .rank = 2, .shape = { heads, N },
                                .frozen = m->config.initial_weights != SQ_NTM_LEARNED_WEIGHTS };
    SQ_TRY(sq__parameters_add(m->set, &spec, &m->weights, error));
    float *weights = m->set->items[m->weights].value;
    if (m->config.initial_weights != SQ_NTM_NOWHERE)
        for (int64_t head = 0; head < heads; head++) weights[head * N] = m->config.initial_weights == SQ_NTM_FIRST ? 1.0f : 10.0f;
    spec = (sq_parameter_spec){ .prefix = name, .name = "reads", .rank = 2, .shape = { s->read_heads, M }, .initial = SQ_INITIAL_NORMAL, .scale = 0.01f };
    SQ_TRY(sq__parameters_add(m->set, &spec, &m->reads, error));
    m->hidden = m->cell = -1;
    if (!s->recurrent) return SQ_OK;
    spec = (sq_parameter_spec){ .prefix = name, .name = "hidden", .rank = 2, .shape = { s->layers, s->hidden }, .initial = SQ_INITIAL_NORMAL, .scale = 0.05f };
    SQ_TRY(sq__parameters_add(m->set, &spec, &m->hidden, error));
    spec.name = "cell";
    return sq__parameters_add(m->set, &spec, &m->cell, error);
}

sq_status sq__ntm_create(sq_ntm_machine *machine, sq_parameters *set, const char *prefix, const sq_ntm_config *config, sq_error *error)
{
    *machine = (sq_ntm_machine){ .set = set, .config = *config };
    const sq_ntm_shape *s = &config->shape;
    const int64_t P = sq__ntm_heads_size(s);
    char name[96];
    for (int l = 0; l < s->layers; l++) SQ_TRY(create_layer(machine, l, prefix, error));
    snprintf(name, sizeof name, "%.64s.heads", prefix);
    sq_parameter_spec spec = { .prefix = name, .name = "weight", .rank = 2, .shape = { P, s->hidden }, .initial = SQ_INITIAL_UNIFORM,
                               .scale = sq__glorot(s->hidden, P / (s->read_heads + s->write_heads)), .decay = true };
    SQ_TRY(sq__parameters_add(set, &spec, &machine->heads_weight, error));
    spec = (sq_parameter_spec){ .prefix = name, .name = "bias", .rank = 1, .shape = { P }, .initial = SQ_INITIAL_NORMAL, .scale = 0.01f };
    SQ_TRY(sq__parameters_add(set, &spec, &machine->heads_bias, error));
    return create_initial(machine, prefix, error);
}

static sq_var *flat(sq_tape *tape, sq_var *x) { return x ? sq__reshape(tape, x, 1, (int64_t[]){ x->count }) : NULL; }

sq_var *sq__ntm_initial(const sq_ntm_machine *m, sq_tape *tape)
{
    sq_var *parts[3 + 2 * SQ_NTM_LAYERS];
    const int64_t H = m->config.shape.hidden;
    int count = 0;
    sq_var *weights = sq__parameters_var(m->set, m->weights, tape);
    if (m->config.initial_weights == SQ_NTM_LEARNED_WEIGHTS) weights = sq__softmax(tape, weights);
    parts[count++] = flat(tape, sq__parameters_var(m->set, m->memory, tape));
    parts[count++] = flat(tape, weights);
    parts[count++] = flat(tape, sq__parameters_var(m->set, m->reads, tape));
    for (int l = 0; m->hidden >= 0 && l < m->config.shape.layers; l++) {
        parts[count++] = sq__slice(tape, flat(tape, sq__parameters_var(m->set, m->hidden, tape)), l * H, H);
        parts[count++] = sq__slice(tape, flat(tape, sq__parameters_var(m->set, m->cell, tape)), l * H, H);
    }
    return sq__concatenate(tape, parts, count);
}

sq_var *sq__ntm_run(const sq_ntm_machine *m, sq_tape *tape, sq_var *x, const int32_t *lengths, sq_var *initial, sq_var *state,
                    const int64_t *seen, sq_var **last)
{
    const sq_parameters *set = m->set;
    sq_ntm_inputs in = { x, initial ? initial : sq__ntm_initial(m, tape), state, sq__parameters_var(set, m->heads_weight, tape),
                         sq__parameters_var(set, m->heads_bias, tape), { { 0 } } };
    for (int l = 0; l < m->config.shape.layers; l++)
        in.layer[l] = (sq_ntm_layer){ sq__parameters_var(set, m->layer[l].weight_ih, tape), sq__parameters_var(set, m->layer[l].weight_hh, tape),
                                      sq__parameters_var(set, m->layer[l].bias_ih, tape), sq__parameters_var(set, m->layer[l].bias_hh, tape) };
    return in.x && in.initial ? sq__ntm(tape, &in, &m->config.shape, lengths, seen, last) : NULL;
}
