/* Performer, FAVOR+ (arXiv:2009.14794): softmax attention through positive orthogonal random features.
 *   phi(x) = m^-1/2 exp(W x~ - |x~|^2/2),  x~ = sqrt(scale) x,  out_i = phi(q_i)' sum_j phi(k_j) v_j' / phi(q_i)' sum_j phi(k_j)
 * q [T,D]; k [N,D]; v [N,M]; W [m,D]; causal: sums over j <= i. O((T + N) F (D + M)) time, O(F M) memory beside the rows.
 * Saves of each row the logarithm of its denominator and, not causal, the final state of each head.
 *
 * convention = paper is this equation without any eps: features stay logarithms until a reference is taken off (linear.h), so
 * the value is right for inputs of any size. Published implementations add an eps to features that are far below it (at D = 64
 * and unit variance exp(.) is about 1e-8 of its largest), which is another function; theirs are the other conventions, exactly:
 *
 *   reference                      options beside convention and features (D^-1/4 scaling is scale 1/sqrt(D), the default)
 *   lucidrains  softmax_           kernel=softmax
 *               relu_              kernel=relu
 *               noproj_            kernel=softmax project=false (no projection tensor; leave the scale at its default)
 *               value mask         kernel=softmax; zero the masked rows of v, give no key_keep
 *   google      positive_          kernel=softmax
 *               trig_              kernel=trigonometric
 *               relu_              kernel=relu (no scale is applied: leave it at its default)
 *               relu_noproj_       kernel=relu project=false
 *   idiap       hyperbolic_        kernel=hyperbolic, stabilize=true where the file says so; projection = omega'
 *               rff_gaussian_      kernel=gaussian; projection = omega'
 *               key_lengths        key_keep, since the stabiliser sees every position; with lengths it does not
 *   hku         favorp_            kernel=softmax per_head=true; mask_keep is key_keep
 *               fourier_           kernel=trigonometric per_head=true
 *   xformers    smorf_, smhyp_     convention=paper kernel=softmax or hyperbolic (its constants cancel); projection = features'
 *   ortho_                         sq__orthogonal_directions (orthogonal.h), scaling 0 with norm_draws, 1 without
 *
 * Departures from the paper: none in `paper` for softmax and hyperbolic. Rows of a drawn orthogonal projection get random signs,
 * without which (as in the public implementations) it is biased. Trigonometric and gaussian denominators can vanish:
 * d + 2e-6 where |d| <= 1e-6. In conventions with a stabiliser over all keys (not paper softmax or hyperbolic) a masked key
 * still counts in it, and a later key moves the rounding of an earlier row. */
#include "attention/performer.h"

#include <math.h>

#include "attention/orthogonal.h"
#include "base/random.h"

/* ---- options ---- */

static const char *const kernels[] = { "softmax", "hyperbolic", "trigonometric", "gaussian", "relu", NULL };
static const char *const conventions[] = { "paper", "lucidrains", "google", "idiap", "hku", NULL };
static const char *const scalings[] = { "chi", "sqrt", NULL };

static const sq_field performer_fields[] = {
    SQ_INT(sq_performer_config, features, "0", 0, 65536, "random directions m; 0: D ln D"),
    SQ_CHOICE(sq_performer_config, kernel, "softmax", kernels, "softmax: positive features; hyperbolic: both signs of each direction; "
              "trigonometric: sines and cosines; gaussian: these without the norm; relu: generalised attention"),
    SQ_BOOL(sq_performer_config, orthogonal, "true", "draw directions orthogonal within each block of D"),
    SQ_CHOICE(sq_performer_config, scaling, "chi", scalings, "length of a direction: that of a normal vector (chi) or sqrt(D)"),
    SQ_BOOL(sq_performer_config, per_head, "false", "a projection for each head"),
    SQ_CHOICE(sq_performer_config, convention, "paper", conventions,
              "where eps and stabilisers stand: the paper's mathematics, or a public implementation's"),
    SQ_BOOL(sq_performer_config, project, "true", "false: no random directions (lucidrains softmax, google relu)"),
    SQ_BOOL(sq_performer_config, stabilize, "false", "idiap hyperbolic: subtract the largest squared norm"),
    SQ_FIELDS_END
};

/* ---- validate ---- */

static sq_status performer_validate(const void *data, const sq_problem *p, sq_error *error)
{
    const sq_performer_config *config = data;
    const sq_performer_rule *rule = sq__performer_rule(config->convention, config->kernel, config->project);
    if (!rule)
        return sq__fail(error, SQ_UNSUPPORTED, "performer: convention %s has no kernel %s%s; convention paper has every kernel, with project true",
                        conventions[config->convention], kernels[config->kernel], config->project ? "" : " with project false");
    if (!(p->scale > 0))
        return sq__fail(error, SQ_UNSUPPORTED, "performer: scale is %g; expected more than 0, since its root scales q and k", (double)p->scale);
    if (!rule->scaled && p->scale != (float)(1.0 / sqrt((double)p->D)))
        return sq__fail(error, SQ_UNSUPPORTED, "performer: these options apply no scale; expected the default, not %g", (double)p->scale);
    if (config->stabilize && rule->convention != SQ_PERFORMER_IDIAP)
        return sq__fail(error, SQ_UNSUPPORTED, "performer: stabilize belongs to convention idiap; convention paper is always stable");
    return SQ_OK;
}

/* ---- tensors ---- */

static int performer_tensors(const void *data, const sq_problem *p, sq_attention_tensor *infos)
{
    const sq_performer_config *config = data;
    if (!config->project) return 0;
    const int64_t m = sq__performer_directions(config, p->D);
    if (infos && config->per_head) infos[0] = (sq_attention_tensor){ "projection", 3, { p->H, m, p->D }, false };
    else if (infos) infos[0] = (sq_attention_tensor){ "projection", 2, { m, p->D }, false };
    return 1;
}

/* LAPACK ties the sign of a row of Q' to the matrix (the first row never points along the first axis), and positive features of
 * such rows do not converge to softmax; a random sign for each row makes Q uniform (Haar). */
static void flip_rows(const sq_random *sign, int64_t m, int64_t D, float *rows)
{
    for (int64_t i = 0; i < m; i++) {
        if (sq__random_u32(sign, (uint64_t)i) & 1) continue;
        for (int64_t d = 0; d < D; d++) rows[i * D + d] = -rows[i * D + d];
    }
}

/* Heads draw from streams of their own, so that each is independent of how many there are. */
static sq_status draw_directions(const sq_performer_config *config, int64_t m, int64_t D, uint64_t seed, uint64_t number, float *out)
{
    const sq_random normal = sq__random_stream(seed, "performer.projection", number);
    const sq_random length = sq__random_stream(seed, "performer.length", number);
    const sq_random sign = sq__random_stream(seed, "performer.sign", number);
    const int64_t draws = (m + D - 1) / D * D * D;
    if (!config->orthogonal) {
        sq__random_normal_fill(&normal, out, m * D, 1);
        return SQ_OK;
    }
    float *blocks = sq__alloc_array((size_t)draws, sizeof *blocks), *norms = sq__alloc_array((size_t)(m * D), sizeof *norms);
    sq_status status = SQ_NO_MEMORY;
    if (blocks && norms) {
        sq__random_normal_fill(&normal, blocks, draws, 1);
        sq__random_normal_fill(&length, norms, m * D, 1);
        status = sq__orthogonal_directions(blocks, config->scaling == 0 ? norms : NULL, m, D, out);
        if (status == SQ_OK) flip_rows(&sign, m, D, out);
    }
    sq__free(blocks);
    sq__free(norms);
    return status;
}

static sq_status performer_tensor_init(const void *data, const sq_problem *p, int index, uint64_t seed, uint64_t draw, float *out)
{
    const sq_performer_config *config = data;
    const int64_t m = sq__performer_directions(config, p->D);
    const uint64_t heads = config->per_head ? (uint64_t)p->H : 1;
    (void)index;
    for (uint64_t h = 0; h < heads; h++) SQ_TRY(draw_directions(config, m, p->D, seed, draw * heads + h, out + (int64_t)h * m * p->D));
    return SQ_OK;
}

/* ---- one head ---- */

static bool as_exponents(const sq_performer_rule *rule, const sq_problem *p)
{
    return rule->exponents || (rule->kernel == SQ_PERFORMER_SOFTMAX && !rule->projected && !p->causal);
}

static sq_linear_rule rule_of(const void *data, const sq_problem *p)
{
    const sq_performer_config *config = data;
    const sq_performer_rule *rule = sq__performer_rule(config->convention, config->kernel, config->project);
    const bool exponents = as_exponents(rule, p), stabilised = !exponents && rule->stabiliser != SQ_STABILISER_NONE;
    sq_linear_rule linear = { .F = sq__performer_features(config, p->D), .context_bytes = sizeof(sq_performer_map), .exponents = exponents,
                              .normalised = exponents && !config->project, .denominator = rule->denominator,
                              .streams = !stabilised, .masked_count = stabilised };
    if (p->causal) linear.denominator.per_feature = (float)rule->causal_per_feature;
    return linear;
}

static sq_linear_map map_of(const sq_run *run, const sq_head *head, int64_t position, void *context, float *scratch)
{
    const sq_performer_config *config = run->config;
    const sq_problem *p = run->problem;
    const sq_performer_rule *rule = sq__performer_rule(config->convention, config->kernel, config->project);
    const int64_t m = sq__performer_directions(config, p->D);
    sq_performer_map *map = context;
    (void)position;
    *map = (sq_performer_map){
        .rule = rule, .kernels = run->kernels, .kernel = (sq_performer_kernel)config->kernel, .project = config->project,
        .exponents = as_exponents(rule, p),
        .stabilize = config->stabilize || rule->convention != SQ_PERFORMER_IDIAP, .accumulate = head->accumulate,
        .D = p->D, .m = m, .F = sq__performer_features(config, p->D), .root = rule->scaled ? sqrtf(p->scale) : 1,
        .W = config->project ? run->call->tensors[0] + (config->per_head ? head->h * m * p->D : 0) : NULL,
    };
    map->side[SQ_LINEAR_QUERIES] = (struct sq_performer_side){
        .x = head->q, .dx = head->dq, .rows = head->T, .x_row = head->q_row, .dx_row = head->dq_row };
    map->side[SQ_LINEAR_KEYS] = (struct sq_performer_side){
        .x = head->k, .dx = head->dk, .rows = head->N, .x_row = head->k_row, .dx_row = head->dk_row };
    sq__performer_map_prepare(map, scratch);
    return sq__performer_linear_map(map);
}

static void finish(const sq_run *run, const sq_head *head, void *context)
{
    (void)run, (void)head;
    sq__performer_map_finish(context);
}

static const sq_linear_mechanism mechanism = { .rule = rule_of, .map = map_of, .finish = finish };

/* ---- sizes ---- */

static void performer_sizes(const void *config, const sq_problem *p, sq_sizes *sizes)
{
    sq__linear_heads_sizes(&mechanism, config, p, sizes);
}

/* The map is a product with W for every row, twice in backward: u again and the way back; causal finds u once more. */
static double performer_flops(const void *data, const sq_problem *p, sq_pass pass)
{
    const sq_performer_config *config = data;
    const double m = config->project ? (double)sq__performer_directions(config, p->D) : 0, rows = (double)(p->T + p->N);
    const double map = 2 * rows * m * (double)p->D * (pass == SQ_FORWARD ? 1 : p->causal ? 3 : 2);
    return (double)(p->B * p->H) * map + sq__linear_heads_flops(&mechanism, config, p, pass);
}

/* ---- forward, backward, step ---- */

static void performer_forward(const sq_run *run)
{
    sq__linear_heads_forward(&mechanism, run);
}

static void performer_backward(const sq_run *run)
{
    sq__linear_heads_backward(&mechanism, run);
}

static size_t performer_state_bytes(const void *config, const sq_problem *p)
{
    return sq__linear_heads_state_bytes(&mechanism, config, p);
}

static void performer_state_reset(const void *config, const sq_problem *p, void *state)
{
    sq__linear_heads_state_reset(&mechanism, config, p, state);
}

static void performer_step(const sq_run *run, void *state)
{
    sq__linear_heads_step(&mechanism, run, state);
}

const sq_attention_kind sq__attention_performer = {
    .name = "performer", .title = "FAVOR+ random features", .paper = "arXiv:2009.14794", .cost = "O(n m (D + M)) time, O(m M) memory",
    .can = SQ_CAN_CAUSAL | SQ_CAN_CROSS | SQ_CAN_LENGTHS | SQ_CAN_KEY_MASK | SQ_CAN_GROUPED | SQ_CAN_STREAM |
           SQ_CAN_ROTARY,
    .fields = performer_fields, .config_size = sizeof(sq_performer_config),
    .validate = performer_validate, .tensors = performer_tensors, .tensor_init = performer_tensor_init,
    .sizes = performer_sizes, .flops = performer_flops, .forward = performer_forward, .backward = performer_backward,
    .state_bytes = performer_state_bytes, .state_reset = performer_state_reset, .step = performer_step,
};
