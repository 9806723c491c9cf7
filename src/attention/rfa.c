/* Random feature attention, arXiv:2103.02143: softmax over directions by random Fourier features, with an optional gate that forgets.
 *   out_i = f(q_i)' S_i / f(q_i)' z_i,   S_i = sum_j f(k_j) v_j',  z_i = sum_j f(k_j)            (over all keys, or causal j <= i)
 *   f(x) = m^-1/2 [sin W x^, cos W x^],  x^ = sigma o x / (|x| temperature)                      kernel gaussian
 *   f(x) = m^-1/2 relu(W x^)                                                                     kernel arccos
 *   gate:  S_i = g_i S_i-1 + (1 - g_i) f(k_i) v_i',  z likewise,  g_i = sigmoid(the further input "gate", one number for each head)
 * q [T,D]; k [N,D]; v [N,M]; W [H,m,D] drawn normal, sigma [H,D] trained. O((T + N) m (D + M)) time, O(m M) memory beside the rows; with gate
 * two floats a row. Saves of each row its denominator and, not causal, each head's sums.
 *
 * convention = noahs-ark (the authors' code): f is 0.1 [sin, cos], norms have 1e-3 added, the denominator is at least 1: its size if not causal. So
 * rows whose denominator is below 1 are not normalised. projection = random_matrices; sigma=false where the file has none; tau is temperature.
 *
 * Departures from the paper: the direction of a zero vector is zero. A gaussian denominator can vanish: d + 2e-6 where |d| <= 1e-6; an arccos
 * denominator of 0 gives zeros. The scale is not used (sigma and temperature take its place). */
#include "attention/rfa.h"

#include <math.h>
#include <string.h>

#include "base/random.h"

/* ---- options ---- */

static const char *const kernels[] = { "gaussian", "arccos", NULL };
static const char *const conventions[] = { "paper", "noahs-ark", NULL };

static const sq_field rfa_fields[] = {
    SQ_INT(sq_rfa_config, features, "64", 1, 65536, "random directions m"),
    SQ_CHOICE(sq_rfa_config, kernel, "gaussian", kernels, "gaussian: sines and cosines; arccos: rectified"),
    SQ_CHOICE(sq_rfa_config, convention, "paper", conventions, "paper; noahs-ark: features times 0.1, 1e-3 added to norms, denominator at least 1"),
    SQ_FLOAT(sq_rfa_config, temperature, "1", 1e-6, 1e6, "queries and keys are divided by it"),
    SQ_BOOL(sq_rfa_config, sigma, "true", "train a factor for each coordinate of each head"),
    SQ_BOOL(sq_rfa_config, gate, "false", "causal: forget by a gate for each token and head"),
    SQ_FIELDS_END
};

/* ---- validate ---- */

static sq_status rfa_validate(const void *data, const sq_problem *p, sq_error *error)
{
    const sq_rfa_config *config = data;
    if (config->convention == SQ_RFA_NOAHS_ARK && (config->kernel == SQ_RFA_ARCCOS || config->gate))
        return sq__fail(error, SQ_UNSUPPORTED, "rfa: convention noahs-ark has kernel gaussian without gate; convention paper has all");
    if (config->gate && !p->causal) return sq__fail(error, SQ_UNSUPPORTED, "rfa: gate is a recurrence over earlier tokens; only causal attention has it");
    if (p->scale != (float)(1.0 / sqrt((double)p->D)))
        return sq__fail(error, SQ_UNSUPPORTED, "rfa: no scale is applied, see temperature; expected the default, not %g", (double)p->scale);
    return SQ_OK;
}

/* ---- tensors, inputs ---- */

static int rfa_tensors(const void *data, const sq_problem *p, sq_attention_tensor *infos)
{
    const sq_rfa_config *config = data;
    if (infos) infos[0] = (sq_attention_tensor){ "projection", 3, { p->H, config->features, p->D }, false };
    if (infos && config->sigma) infos[1] = (sq_attention_tensor){ "sigma", 2, { p->H, p->D }, true };
    return config->sigma ? 2 : 1;
}

/* Heads draw from streams of their own, so that each is independent of how many there are. */
static sq_status rfa_tensor_init(const void *data, const sq_problem *p, int index, uint64_t seed, uint64_t draw, float *out)
{
    const int64_t count = ((const sq_rfa_config *)data)->features * p->D;
    for (int64_t i = 0; index == 1 && i < p->H * p->D; i++) out[i] = 1;
    for (int64_t h = 0; index == 0 && h < p->H; h++) {
        const sq_random normal = sq__random_stream(seed, "rfa.projection", draw * (uint64_t)p->H + (uint64_t)h);
        sq__random_normal_fill(&normal, out + h * count, count, 1);
    }
    return SQ_OK;
}

static int rfa_inputs(const void *data, const sq_problem *p, sq_attention_input *infos)
{
    const sq_rfa_config *config = data;
    (void)p;
    if (infos && config->gate) infos[0] = (sq_attention_input){ .name = "gate", .width = 1, .of_keys = true };
    return config->gate ? 1 : 0;
}

/* ---- one head ---- */

static sq_linear_rule rule_of(const void *data, const sq_problem *p)
{
    const sq_rfa_config *config = data;
    const int64_t m = config->features;
    sq_linear_rule rule = { .F = config->kernel == SQ_RFA_GAUSSIAN ? 2 * m : m, .context_bytes = sq__rfa_map_bytes(p->D), .denominator = SQ_LINEAR_PLAIN,
                            .streams = true };
    if (config->convention == SQ_RFA_NOAHS_ARK) rule.denominator.floor = 1, rule.denominator.magnitude = !p->causal;
    else if (config->kernel == SQ_RFA_GAUSSIAN) rule.denominator.threshold = 1e-6f, rule.denominator.lift = 2e-6f;
    return rule;
}

static bool decays(const void *data, const sq_problem *p)
{
    (void)p;
    return ((const sq_rfa_config *)data)->gate;
}

/* What the gradient of sigma is summed in: [B,H,D] after the threads' workspace. */
static double *sigma_sums(const sq_run *run, int64_t b, int64_t h);

static sq_linear_map map_of(const sq_run *run, const sq_head *head, int64_t position, void *context, float *scratch)
{
    const sq_rfa_config *config = run->config;
    const sq_problem *p = run->problem;
    const int64_t m = config->features;
    (void)position, (void)scratch;
    sq_rfa_map *map = sq__rfa_map_place(context, p->D);
    map->config = config;
    map->kernels = run->kernels;
    map->D = p->D, map->m = m, map->N = head->N;
    map->W = run->call->tensors[0] + head->h * m * p->D;
    map->sigma = config->sigma ? run->call->tensors[1] + head->h * p->D : NULL;
    map->key_keep = head->key_keep;
    sq__linear_rows(head, map->rows);
    if (config->gate) map->gate = sq__head_input(run, 0, head->b, head->h, &map->gate_row);
    if (!run->gradients) return sq__rfa_linear_map(map);
    if (config->gate) map->dgate = sq__head_dinput(run, 0, head->b, head->h, &map->dgate_row);
    if (config->sigma) map->dsigma = sigma_sums(run, head->b, head->h);
    if (config->sigma) memset(map->dsigma, 0, (size_t)p->D * sizeof(double));
    return sq__rfa_linear_map(map);
}

static const sq_linear_mechanism mechanism = { .rule = rule_of, .map = map_of, .decays = decays, .decay = sq__rfa_decay,
                                               .decay_backward = sq__rfa_decay_backward };

static double *sigma_sums(const sq_run *run, int64_t b, int64_t h)
{
    const sq_problem *p = run->problem;
    char *shared = (char *)run->call->workspace + sq__linear_heads_workspace(&mechanism, run->config, p, SQ_BACKWARD) * (size_t)p->threads;
    return (double *)(void *)shared + (b * p->H + h) * p->D;
}

/* ---- sizes ---- */

static void rfa_sizes(const void *data, const sq_problem *p, sq_sizes *sizes)
{
    const sq_rfa_config *config = data;
    sq__linear_heads_sizes(&mechanism, config, p, sizes);
    if (config->sigma) sizes->backward_workspace += (size_t)(p->B * p->H * p->D) * sizeof(double);
}

/* A product with W for every row; in backward u again and the way back, causal u once more. */
static double rfa_flops(const void *data, const sq_problem *p, sq_pass pass)
{
    const double rows = (double)(p->B * p->H) * (double)(p->T + p->N), m = (double)((const sq_rfa_config *)data)->features;
    return 2 * rows * m * (double)p->D * (pass == SQ_FORWARD ? 1 : p->causal ? 3 : 2) + sq__linear_heads_flops(&mechanism, data, p, pass);
}

/* ---- forward, backward, step ---- */

static void rfa_forward(const sq_run *run)
{
    sq__linear_heads_forward(&mechanism, run);
}

static void rfa_backward(const sq_run *run)
{
    const sq_problem *p = run->problem;
    sq__linear_heads_backward(&mechanism, run);
    float *dsigma = ((const sq_rfa_config *)run->config)->sigma ? run->gradients->dtensors[1] : NULL;
    for (int64_t i = 0; dsigma && i < p->H * p->D; i++) {
        double sum = 0;
        for (int64_t b = 0; b < p->B; b++) sum += sigma_sums(run, b, 0)[i];
        dsigma[i] += (float)sum;
    }
}

static size_t rfa_state_bytes(const void *config, const sq_problem *p)
{
    return sq__linear_heads_state_bytes(&mechanism, config, p);
}

static void rfa_state_reset(const void *config, const sq_problem *p, void *state)
{
    sq__linear_heads_state_reset(&mechanism, config, p, state);
}

static void rfa_step(const sq_run *run, void *state)
{
    sq__linear_heads_step(&mechanism, run, state);
}

const sq_attention_kind sq__attention_rfa = {
    .name = "rfa", .title = "random Fourier features of directions", .paper = "arXiv:2103.02143", .cost = "O(n m (D + M)) time, O(m M) memory",
    .can = SQ_CAN_CAUSAL | SQ_CAN_CROSS | SQ_CAN_LENGTHS | SQ_CAN_KEY_MASK | SQ_CAN_GROUPED | SQ_CAN_STREAM | SQ_CAN_ROTARY,
    .fields = rfa_fields, .config_size = sizeof(sq_rfa_config), .validate = rfa_validate, .tensors = rfa_tensors, .tensor_init = rfa_tensor_init,
    .inputs = rfa_inputs, .sizes = rfa_sizes, .flops = rfa_flops, .forward = rfa_forward, .backward = rfa_backward,
    .state_bytes = rfa_state_bytes, .state_reset = rfa_state_reset, .step = rfa_step,
};
