/* infinite-former: constants of the regression, then every segment of the memory forward and backward. */
#include <math.h>
#include <string.h>

#include "verify/families.h"
#include "verify/infinite_case.h"

static void read_constants(sq_infinite_case *c)
{
    sq_golden *golden = c->golden;
    const struct { int64_t *to; const char *key; } counts[] = {
        { &c->B, "batch" }, { &c->L, "length" }, { &c->N, "num_basis" }, { &c->heads, "heads" }, { &c->D, "head_dim" }, { &c->M, "num_samples" },
        { &c->Q, "queries" }, { &c->segment_count, "segments" },
    };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        *counts[i].to = sq__golden_count(golden, counts[i].key, -1);
        if (*counts[i].to < 1 || *counts[i].to > 1 << 20) sq__golden_fail(golden, "metadata '%s' is %lld", counts[i].key, (long long)*counts[i].to);
    }
    c->e = c->heads * c->D;
    c->tau = sq__golden_number(golden, "tau", NAN);
    c->ridge = sq__golden_number(golden, "ridge", NAN);
    c->sigma_min = sq__golden_number(golden, "sigma_sq_min", NAN);
    c->basis = (sq_memory_basis){ c->N, sq__golden_number(golden, "basis_widths[0]", NAN), sq__golden_number(golden, "basis_widths[1]", NAN), false };
    c->mask = sq__golden_flag(golden, "mask", false);
    c->sticky = sq__golden_flag(golden, "sticky", false);
    c->kl = sq__golden_flag(golden, "kl_regularizer", false);
    c->kl_weight = c->kl ? sq__golden_number(golden, "kl_weight_in_loss", NAN) : 0;
    if (!(c->tau > 0 && c->tau < 1 && c->ridge > 0 && c->sigma_min > 0 && c->basis.narrow > 0 && c->basis.wide > 0))
        sq__golden_fail(golden, "tau, ridge, sigma_sq_min or basis_widths is out of range");
    if (c->N % 2) sq__golden_skip(golden, "an odd number of basis functions (%lld)", (long long)c->N);
}

static void read_variant(sq_infinite_case *c)
{
    sq_golden *golden = c->golden;
    const char *variant = sq__golden_text(golden, "variant", NULL), *density = sq__golden_text(golden, "density", "softmax");
    const bool gpt2 = strcmp(variant, "gpt2") == 0;
    if (!gpt2 && strcmp(variant, "sort") != 0) sq__golden_skip(golden, "variant '%.60s' is unknown to this build", variant);
    if (strcmp(density, "sparsemax") == 0) c->density = SQ_MEMORY_SPARSEMAX;
    else if (strcmp(density, "softmax") == 0) c->density = SQ_MEMORY_GAUSSIAN;
    else sq__golden_skip(golden, "density '%.60s' is unknown to this build", density);
    if (!sq__golden_flag(golden, "affines", true)) sq__golden_skip(golden, "a memory without affine maps is unknown to this build");
    if (gpt2 && c->L * c->segment_count > 2048)
        sq__golden_skip(golden, "the reset of the gpt2 variant's memory after 2048 states is unknown to this build");
    /* the mean is drawn to mu0 as the authors' code does it: sort when mu0 is given, gpt2 when it is not above 0 */
    const double mu0 = sq__golden_number(golden, "mu_0", INFINITY);
    c->prior = (sq_memory_prior){ .sigma0 = sq__golden_number(golden, "sigma_0", 0.05), .mu0 = isfinite(mu0) ? mu0 : 0,
                                  .mean = isfinite(mu0) && (!gpt2 || mu0 <= 0) };
}

static void read_parameters(sq_infinite_case *c)
{
    sq_golden *golden = c->golden;
    c->key = sq__golden_floats(golden, "param.proj_key.weight", SQ_SHAPE(c->e, c->e));
    c->value = sq__golden_floats(golden, "param.proj_value.weight", SQ_SHAPE(c->e, c->e));
    c->output = sq__golden_floats(golden, "param.attn_out.weight", SQ_SHAPE(c->e, c->e));
    c->w_mu = sq__golden_floats(golden, "param.mu.weight", SQ_SHAPE(1, c->N));
    c->w_sigma = sq__golden_floats(golden, "param.sigma.weight", SQ_SHAPE(1, c->N));
    if (!c->mask) return;
    c->gate_weight = sq__golden_floats(golden, "param.mask_net.weight", SQ_SHAPE(c->e, c->e, 3));
    c->gate_bias = sq__golden_floats(golden, "param.mask_net.bias", SQ_SHAPE(c->e));
}

static float *rounded(sq_infinite_case *c, const double *from, int64_t count)
{
    float *to = sq__golden_room(c->golden, count);
    for (int64_t i = 0; to && from && i < count; i++) to[i] = (float)from[i];
    return to;
}

static void compare_places(sq_infinite_case *c, const char *name, bool update)
{
    sq_memory_places places = { .t = NULL };
    const int64_t count = update ? sq__memory_places_update(c->L, c->M, c->tau, &places) : sq__memory_places_first(c->L, &places);
    places.t = sq__golden_memory(c->golden, count, sizeof(double));
    if (!places.t) return;
    if (update) sq__memory_places_update(c->L, c->M, c->tau, &places);
    else sq__memory_places_first(c->L, &places);
    sq__golden_compare_doubles(c->golden, name, places.t, count);
}

static void make_constants(sq_infinite_case *c)
{
    sq_golden *golden = c->golden;
    sq_error error;
    double *mu = sq__golden_memory(golden, c->N, sizeof *mu), *sigma = sq__golden_memory(golden, c->N, sizeof *sigma);
    double *G = sq__golden_memory(golden, (c->M + c->L) * c->N, sizeof *G), *t = sq__golden_memory(golden, c->M, sizeof *t);
    double *psi = sq__golden_memory(golden, c->M * c->N, sizeof *psi);
    if (!psi) return;
    for (int64_t j = 0; j < c->N; j++) {
        mu[j] = sq__memory_centre(&c->basis, j);
        sigma[j] = sq__memory_width(&c->basis, j);
    }
    sq__golden_compare_doubles(golden, "basis_mu", mu, c->N);
    sq__golden_compare_doubles(golden, "basis_sigma", sigma, c->N);
    compare_places(c, "positions_first_padded", false);
    compare_places(c, "positions_update_padded", true);
    sq__golden_status(golden, sq__memory_regression_first(&c->basis, c->L, c->ridge, G, &error), &error);
    sq__golden_compare_doubles(golden, "G_first", G, c->L * c->N);
    c->first = rounded(c, G, c->L * c->N);
    if (sq__golden_going(golden)) sq__golden_status(golden, sq__memory_regression_update(&c->basis, c->L, c->M, c->tau, c->ridge, G, &error), &error);
    sq__golden_compare_doubles(golden, "G_update", G, (c->M + c->L) * c->N);
    c->update = rounded(c, G, (c->M + c->L) * c->N);
    for (int64_t m = 0; m < c->M; m++) t[m] = (double)(m + 1) / (double)c->M;
    sq__memory_psi(&c->basis, t, c->M, psi);
    sq__golden_compare_doubles(golden, "sample_locations", t, c->M);
    sq__golden_compare_doubles(golden, "samples_psi", psi, c->M * c->N);
    c->psi = rounded(c, psi, c->M * c->N);
}

void sq__family_infinite_former(sq_golden *golden)
{
    sq_infinite_case c = { .golden = golden, .kernels = sq__kernels() };
    read_constants(&c);
    read_variant(&c);
    read_parameters(&c);
    if (sq__golden_going(golden)) make_constants(&c);
    c.segments = sq__golden_memory(golden, c.segment_count, sizeof *c.segments);
    if (sq__golden_going(golden)) sq__infinite_case_forward(&c);
    if (sq__golden_going(golden) && sq__golden_has(golden, "loss")) sq__infinite_case_backward(&c);
}
