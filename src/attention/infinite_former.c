/* Infinity-former, arXiv:2109.00301: a sequence is read segment by segment; what lies before is held as a continuous signal.
 *
 *   out[i] = softmax(scale q_i k')  v over segment s of i   +   sum_j r_j(i) V_j        (no second term in segment 0)
 *   r(i)   = E_p[psi],  p with mu_i = sigmoid(s_i . w_mu + b_mu), sigma_i^2 = max(softplus(s_i . w_sigma + b_sigma), sigma_min),
 *            s_ij = scale q_i . K_j
 *   K, V   = coefficients [N,D], [N,M] of the keys and values of segments 0 .. s-1 (engine/memory.h): after segment 0 the regression of
 *            its rows; after each later one the old signal, read at `samples` places and squeezed into [0,tau], beside its rows in (tau,1]
 *
 * q [T,D]; k [T,D]; v, out [T,M]. Regression and projection are linear maps that commute, so keys and values are held as coefficients
 * directly. O(n (segment (D+M) + basis M)) time; coefficients do not grow with n, a backward keeps one set per segment: n/segment x basis.
 *
 * sticky: the places are drawn from the attention that the memory received (all heads of a batch entry share them): bins of a histogram,
 * left edges, keyed by (seed, step, batch entry, segment). kl_weight: *auxiliary = kl_weight x mean over heads and reading queries of
 * KL(p || N(mu, kl_sigma^2)), with kl_mean of KL(p || N(kl_mu, kl_sigma^2)); it is weighted already.
 * lengths: a memory is made of full segments only, so keys of a partial last one are seen inside it alone; a query beyond the last full
 * segment reads all of them. Without `causal`, too, the memory holds earlier segments only.
 *
 * Gradient: through the memory to every earlier key and value; places drawn by sticky are constants. With `detach` it ends after one
 * update, as in the authors' code: segment s-1 alone gets a gradient from what segment s reads.
 * The constants default to the sorting variant of the authors' code (widths 0.01 and 0.05, tau 0.75, ridge 1, smallest variance 1e-6): with
 * few basis functions its wider ones leave no gaps between centres. Their language model has 0.005 and 0.01, 0.5, 0.5, 1e-4.
 * Departs from the paper: positions are padded by half a window on both sides (as in the authors' code); no gate on new states. */
#include <math.h>

#include "attention/infinite_former.h"
#include "base/status.h"

static const char *const densities[] = { "gaussian", "sparsemax", NULL };
static const char *const functions[] = { "gaussian", "rectangular", NULL };

static const sq_field fields[] = {
    SQ_INT(sq_infinite_config, segment, "256", 2, 1 << 20, "events read at once, with exact attention inside"),
    SQ_INT(sq_infinite_config, basis, "64", 4, 4096, "basis functions of the memory; gaussian ones: even"),
    SQ_CHOICE(sq_infinite_config, functions, "gaussian", functions, "basis functions: bells of two widths, or boxes side by side"),
    SQ_INT(sq_infinite_config, samples, "512", 1, 1 << 20, "places where the past is sampled at an update"),
    SQ_FLOAT(sq_infinite_config, tau, "0.75", 0.01, 0.99, "part of the memory that the past keeps at an update"),
    SQ_FLOAT(sq_infinite_config, ridge, "1", 1e-9, 1e9, "ridge of the regression"),
    SQ_FLOAT(sq_infinite_config, sigma_min, "1e-6", 1e-12, 1, "smallest variance of a density"),
    SQ_FLOAT(sq_infinite_config, width_narrow, "0.01", 1e-5, 10, "width of the narrow basis functions"),
    SQ_FLOAT(sq_infinite_config, width_wide, "0.05", 1e-5, 10, "width of the wide basis functions"),
    SQ_CHOICE(sq_infinite_config, density, "gaussian", densities, "density of the attention over the memory"),
    SQ_BOOL(sq_infinite_config, sticky, "false", "sample the past where attention went, not evenly"),
    SQ_BOOL(sq_infinite_config, bias, "true", "bias in the maps from scores to mean and variance"),
    SQ_BOOL(sq_infinite_config, detach, "false", "no gradient through more than one update of the memory"),
    SQ_FLOAT(sq_infinite_config, kl_weight, "1e-6", 0, 1e6, "weight of the regulariser that keeps densities narrow"),
    SQ_FLOAT(sq_infinite_config, kl_sigma, "0.05", 1e-6, 1e3, "standard deviation that the regulariser draws to"),
    SQ_BOOL(sq_infinite_config, kl_mean, "false", "the regulariser draws the mean, too"),
    SQ_FLOAT(sq_infinite_config, kl_mu, "0.5", -10, 10, "mean that the regulariser draws to, with kl_mean"),
    SQ_FIELDS_END
};

static sq_status validate(const void *options, const sq_problem *problem, sq_error *error)
{
    const sq_infinite_config *config = options;
    (void)problem;
    if (config->functions == 0 && config->basis % 2)
        return sq__fail(error, SQ_INVALID, "infinite-former: basis is %lld; expected an even number (each centre has two widths)",
                        (long long)config->basis);
    return SQ_OK;
}

static int tensors(const void *options, const sq_problem *problem, sq_attention_tensor *infos)
{
    static const char *const names[] = { "w_mu", "w_sigma", "b_mu", "b_sigma" };
    const sq_infinite_config *config = options;
    const int count = config->bias ? 4 : 2;
    (void)problem;
    for (int i = 0; infos && i < count; i++) infos[i] = (sq_attention_tensor){ names[i], 1, { i < SQ_INFINITE_B_MU ? config->basis : 1 }, true };
    return count;
}

static sq_status tensor_init(const void *options, const sq_problem *problem, int index, uint64_t seed, uint64_t draw, float *data)
{
    const sq_infinite_config *config = options;
    const sq_random random = sq__random_stream(seed, index == SQ_INFINITE_W_MU ? "infinite-former.w_mu" : "infinite-former.w_sigma", draw);
    const float bound = (float)(1 / sqrt((double)config->basis));
    (void)problem;
    if (index >= SQ_INFINITE_B_MU) data[0] = 0;
    else sq__random_uniform_fill(&random, data, config->basis, -bound, bound);
    return SQ_OK;
}

static void sizes(const void *options, const sq_problem *p, sq_sizes *out)
{
    const sq_infinite_config *config = options;
    const sq_infinite_shape shape = sq__infinite_shape(config, p, SQ_FORWARD);
    sq_cut saved = { NULL, 0 }, constants = { NULL, 0 };
    sq__infinite_saved(config, p, &saved);
    sq__infinite_constants(config, &constants);
    out->forward_workspace = sq__infinite_forward_workspace(config, p);
    out->backward_workspace = sq__infinite_backward_workspace(config, p);
    out->saved = saved.used;
    out->constants = shape.segments > 1 ? constants.used : 0;
}

static sq_status prepare(const void *options, const sq_problem *problem, void *constants, sq_error *error)
{
    const sq_infinite_config *config = options;
    const sq_memory_basis basis = sq__infinite_basis(config);
    const sq_memory_rule rule = sq__infinite_rule(config);
    sq_cut cut = { constants, 0 };
    const sq_infinite_constants to = sq__infinite_constants(config, &cut);
    (void)problem;
    return sq__memory_update_fill(&basis, &rule, &to, error);
}

/* Products only: attention inside segments, reading (once more for the gradient of r and of V), updates. */
static double flops(const void *options, const sq_problem *p, sq_pass pass)
{
    const sq_infinite_config *config = options;
    const sq_infinite_shape shape = sq__infinite_shape(config, p, SQ_FORWARD);
    const double D = (double)p->D, M = (double)p->M, N = (double)shape.N, heads = (double)(p->B * p->H);
    const double updates = (double)(shape.segments - 1), L = (double)shape.L;
    double pairs = 0, readers = 0;
    for (int64_t s = 0; s < shape.segments; s++) {
        const double rows = (double)sq__infinite_rows(&shape, p->T, s);
        pairs += p->causal ? rows * (rows + 1) / 2 : rows * rows;
        readers += s ? rows : 0;
    }
    const double local = pairs * (pass == SQ_FORWARD ? D + M : 3 * D + 2 * M);
    const double reading = readers * (pass == SQ_FORWARD ? N * M + 2 * D : 3 * N * M + 6 * D);
    const double updating = updates * (L * N + (pass == SQ_BACKWARD && config->detach ? 0 : N * N)) * (D + M);
    return 2 * heads * (local + reading + updating);
}

const sq_attention_kind sq__attention_infinite_former = {
    .name = "infinite-former", .title = "continuous long-term memory", .paper = "arXiv:2109.00301",
    .cost = "O(n (segment + basis)) time, O(segment) memory", .can = SQ_CAN_CAUSAL | SQ_CAN_LENGTHS,
    .fields = fields, .config_size = sizeof(sq_infinite_config), .validate = validate, .tensors = tensors, .tensor_init = tensor_init,
    .sizes = sizes, .prepare = prepare, .flops = flops, .forward = sq__infinite_forward, .backward = sq__infinite_backward,
};
