/* optimizer: a few steps of an optimiser over several tensors, every parameter after every step, the state after the last. */
#include <math.h>
#include <string.h>

#include "train/optimizer.h"
#include "verify/families.h"

enum { PARAMETERS = 32, STEPS = 1000, SLOTS = 4 };

typedef struct parameter {
    int rank;
    const int64_t *shape;
    int64_t count, last, rows;         /* count = rows * last axis */
    float *p, *slot[SLOTS], *update;   /* slots as the optimiser's row below says */
    sq_lamb_norms norms;
} parameter;

typedef struct optimizer optimizer;
typedef void step_fn(const optimizer *o, int64_t t, parameter *p, const float *g);
struct optimizer {
    const char *states[SLOTS];         /* names of the slots in the file; NULL: unused */
    step_fn *step;
    sq_adam adam;
    sq_lamb lamb;
    sq_adafactor adafactor;
    sq_sgd sgd;
    bool correct_bias, first_moment;
};

/* ---- one step each ---- */

static void step_adam(const optimizer *o, int64_t t, parameter *p, const float *g)
{
    sq__adam_step(&o->adam, t, p->count, p->p, g, p->slot[0], p->slot[1], o->states[2] ? p->slot[2] : NULL);
}

static void step_hf(const optimizer *o, int64_t t, parameter *p, const float *g)
{
    sq__hf_adamw_step(&o->adam, o->correct_bias, t, p->count, p->p, g, p->slot[0], p->slot[1]);
}

static void step_lamb(const optimizer *o, int64_t t, parameter *p, const float *g)
{
    p->norms = sq__lamb_step(&o->lamb, t, p->count, p->p, g, p->slot[0], p->slot[1]);
}

static void step_adafactor(const optimizer *o, int64_t t, parameter *p, const float *g)
{
    const bool matrix = p->rank >= 2;
    sq__adafactor_step(&o->adafactor, t, p->rank, p->shape, p->p, g, matrix ? p->slot[0] : NULL, matrix ? p->slot[1] : NULL,
                       matrix ? NULL : p->slot[2], o->first_moment ? p->slot[3] : NULL, p->update);
}

static void step_sgd(const optimizer *o, int64_t t, parameter *p, const float *g)
{
    sq__sgd_step(&o->sgd, t, p->count, p->p, g, p->slot[0]);
}

/* ---- which optimiser, with which constants ---- */

static sq_adam read_adam(sq_golden *golden, bool decoupled)
{
    return (sq_adam){ .learning_rate = sq__golden_number(golden, "lr", NAN), .beta1 = sq__golden_number(golden, "betas[0]", NAN),
                      .beta2 = sq__golden_number(golden, "betas[1]", NAN), .epsilon = sq__golden_number(golden, "eps", NAN),
                      .weight_decay = sq__golden_number(golden, "weight_decay", 0), .decoupled = decoupled };
}

static void choose_lamb(sq_golden *golden, optimizer *o)
{
    sq_adam same = read_adam(golden, false);
    *o = (optimizer){ .states = { "exp_avg", "exp_avg_sq" }, .step = step_lamb };
    o->lamb = (sq_lamb){ same.learning_rate, same.beta1, same.beta2, same.epsilon, same.weight_decay,
                         sq__golden_number(golden, "clamp_value", 10), sq__golden_flag(golden, "debias", false) };
}

static void choose_adafactor(sq_golden *golden, optimizer *o)
{
    *o = (optimizer){ .states = { "exp_avg_sq_row", "exp_avg_sq_col", "exp_avg_sq", "exp_avg" }, .step = step_adafactor };
    sq_adafactor *a = &o->adafactor;
    a->relative_step = sq__golden_flag(golden, "relative_step", true);
    a->learning_rate = sq__golden_number(golden, "lr", a->relative_step ? 0 : NAN);
    a->epsilon1 = sq__golden_number(golden, "eps[0]", NAN);
    a->epsilon2 = sq__golden_number(golden, "eps[1]", NAN);
    a->clip_threshold = sq__golden_number(golden, "clip_threshold", 1);
    a->decay_rate = sq__golden_number(golden, "decay_rate", -0.8);
    a->beta1 = sq__golden_number(golden, "beta1", 0);
    a->weight_decay = sq__golden_number(golden, "weight_decay", 0);
    a->scale_parameter = sq__golden_flag(golden, "scale_parameter", true);
    a->warmup_init = sq__golden_flag(golden, "warmup_init", false);
    o->first_moment = a->beta1 > 0;
}

static void choose_sgd(sq_golden *golden, optimizer *o)
{
    *o = (optimizer){ .states = { "momentum_buffer" }, .step = step_sgd };
    o->sgd = (sq_sgd){ sq__golden_number(golden, "lr", NAN), sq__golden_number(golden, "momentum", 0), sq__golden_number(golden, "weight_decay", 0),
                       sq__golden_flag(golden, "nesterov", false) };
    if (sq__golden_number(golden, "dampening", 0) != 0) sq__golden_skip(golden, "dampening is unknown to this build");
    if (o->sgd.momentum == 0) o->states[0] = NULL;
}

static void choose(sq_golden *golden, const char *file, optimizer *o)
{
    *o = (optimizer){ .states = { "exp_avg", "exp_avg_sq" } };
    if (strstr(file, "torch.optim.Adam")) {
        o->step = step_adam;
        o->adam = read_adam(golden, strstr(file, "torch.optim.AdamW") != NULL);
        if (sq__golden_flag(golden, "amsgrad", false)) o->states[2] = "max_exp_avg_sq";
    } else if (strstr(file, "optimization.py AdamW")) {
        o->step = step_hf;
        o->adam = read_adam(golden, true);
        o->correct_bias = sq__golden_flag(golden, "correct_bias", true);
    } else if (strstr(file, "pytorch_lamb") || strstr(file, "torch_optimizer/lamb")) {
        choose_lamb(golden, o);
    } else if (strstr(file, "Adafactor")) {
        choose_adafactor(golden, o);
    } else if (strstr(file, "torch.optim.SGD")) {
        choose_sgd(golden, o);
    } else {
        sq__golden_skip(golden, "optimiser '%.60s' is unknown to this build", file);
    }
}

/* ---- running ---- */

static const float *read_like(sq_golden *golden, const char *name, const parameter *p)
{
    return sq__golden_floats(golden, name, p->rank, p->shape);
}

static int read_parameters(sq_golden *golden, const char *stem, parameter *parameters)
{
    static const int64_t any[5] = { SQ_ANY, SQ_ANY, SQ_ANY, SQ_ANY, SQ_ANY };
    int count = 0;
    for (char name[64]; count < PARAMETERS; count++) {
        snprintf(name, sizeof name, "%s.%d", stem, count);
        if (!sq__golden_has(golden, name)) break;
        parameter *p = &parameters[count];
        const sq_st_tensor *tensor = sq__golden_tensor(golden, name, sq__golden_rank(golden, name), any);
        if (!tensor || tensor->rank < 1) break;
        *p = (parameter){ .rank = tensor->rank, .shape = tensor->shape, .count = tensor->count, .last = tensor->shape[tensor->rank - 1] };
        p->rows = p->count / p->last;
        p->p = sq__golden_room(golden, p->count);
        p->update = sq__golden_room(golden, p->count);
        for (int i = 0; i < SLOTS; i++) p->slot[i] = sq__golden_room(golden, p->count);
        const float *start = read_like(golden, name, p);
        if (start && p->p) memcpy(p->p, start, (size_t)p->count * sizeof(float));
    }
    if (count == 0) sq__golden_fail(golden, "tensor '%s.0' is missing", stem);
    return count;
}

/* Sizes of a slot as the file holds it: Adafactor's rows and columns are smaller than the parameter. */
static int64_t slot_count(const optimizer *o, const parameter *p, int slot)
{
    if (o->step != step_adafactor) return p->count;
    if (slot == 0) return p->rank >= 2 ? p->rows : 0;
    if (slot == 1) return p->rank >= 2 ? p->count / p->shape[p->rank - 2] : 0;
    if (slot == 2) return p->rank >= 2 ? 0 : p->count;
    return o->first_moment ? p->count : 0;
}

static void compare_state(sq_golden *golden, const optimizer *o, const parameter *p, int index)
{
    char name[96];
    for (int slot = 0; slot < SLOTS; slot++) {
        if (!o->states[slot] || slot_count(o, p, slot) == 0) continue;
        snprintf(name, sizeof name, "state.%s.%d", o->states[slot], index);
        sq__golden_compare(golden, name, p->slot[slot], slot_count(o, p, slot));
    }
    const struct { const char *name; double value; } norms[] = { { "weight_norm", p->norms.weight }, { "adam_norm", p->norms.update },
                                                                 { "trust_ratio", p->norms.ratio } };
    for (size_t i = 0; o->step == step_lamb && i < sizeof norms / sizeof *norms; i++) {
        snprintf(name, sizeof name, "state.%s.%d", norms[i].name, index);
        if (sq__golden_has(golden, name)) sq__golden_compare_doubles(golden, name, &norms[i].value, 1);
    }
}

static void run(sq_golden *golden, const optimizer *o)
{
    parameter parameters[PARAMETERS];
    const int count = read_parameters(golden, "param", parameters);
    const int64_t steps = sq__golden_count(golden, "steps", -1);
    if (steps > STEPS) sq__golden_fail(golden, "metadata 'steps' is %lld; expected at most %d", (long long)steps, STEPS);
    for (int64_t step = 0; step < steps && sq__golden_going(golden); step++)
        for (int i = 0; i < count && sq__golden_going(golden); i++) {
            char name[96];
            snprintf(name, sizeof name, "grad.step%lld.%d", (long long)step, i);
            const float *g = read_like(golden, name, &parameters[i]);
            if (g) o->step(o, step + 1, &parameters[i], g);
            snprintf(name, sizeof name, "param_after.step%lld.%d", (long long)step, i);
            sq__golden_compare(golden, name, parameters[i].p, parameters[i].count);
        }
    for (int i = 0; i < count && sq__golden_going(golden); i++) compare_state(golden, o, &parameters[i], i);
}

static void run_clip(sq_golden *golden)
{
    parameter parameters[PARAMETERS];
    const int count = read_parameters(golden, "grad", parameters);
    const double most = sq__golden_number(golden, "max_norm", NAN);
    if (sq__golden_number(golden, "norm_type", 2) != 2) sq__golden_skip(golden, "this build clips by the Euclidean norm alone");
    if (!sq__golden_going(golden)) return;
    double squares = 0;
    for (int i = 0; i < count; i++) squares += sq__sum_of_squares(parameters[i].p, parameters[i].count);
    const double norm = sqrt(squares);
    const float factor = (float)sq__clip_factor(norm, most);
    sq__golden_compare_doubles(golden, "total_norm", &norm, 1);
    for (int i = 0; i < count; i++) {
        char name[64];
        snprintf(name, sizeof name, "clipped.%d", i);
        for (int64_t j = 0; j < parameters[i].count; j++) parameters[i].p[j] *= factor;
        sq__golden_compare(golden, name, parameters[i].p, parameters[i].count);
    }
}

void sq__family_optimizer(sq_golden *golden)
{
    optimizer o;
    const char *file = sq__golden_text(golden, "file", NULL);
    if (strstr(file, "clip_grad_norm_")) {
        run_clip(golden);
        return;
    }
    choose(golden, file, &o);
    if (sq__golden_going(golden)) run(golden, &o);
}
