#include "bench/check.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"

/* Largest error seen over n = 64 .. 16384, D = 8 .. 128, causal or not: 6e-6 of the row's largest value. */
static const double row_tolerance = 2e-5;

static const float *row(const sq_view *view, int64_t b, int64_t t, int64_t h)
{
    return view->data + b * view->batch + t * view->row + h * view->head;
}

static double dot(const float *x, const float *y, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i] * y[i];
    return sum;
}

static sq_status all_finite(const sq_workload *work, const char *name, const float *values, size_t count, sq_error *error)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            return sq__fail(error, SQ_INTERNAL, "bench: %s gave a %s that is not finite at number %zu of %zu (n = %lld)", work->desc.mechanism, name,
                            i, count, (long long)work->desc.N);
    return SQ_OK;
}

static sq_status compare_row(const sq_workload *work, const char *name, const float *got, const double *expected, int64_t count, int64_t i,
                             sq_error *error)
{
    double largest = 0, worst = 0;
    for (int64_t d = 0; d < count; d++) {
        largest = fmax(largest, fabs(expected[d]));
        worst = fmax(worst, fabs(expected[d] - got[d]));
    }
    if (worst <= row_tolerance * largest) return SQ_OK;
    return sq__fail(error, SQ_INTERNAL, "bench: %s: row %lld of %s is off by %.2g of its largest value; expected at most %.2g", work->desc.mechanism,
                    (long long)i, name, worst / largest, row_tolerance);
}

/* p [N]; expected [D or M]: out_i = sum_j p_ij v_j, dq_i = scale sum_j p_ij (dout_i.v_j - dout_i.out_i) k_j. */
static sq_status softmax_row(const sq_workload *work, int64_t b, int64_t h, int64_t i, double *p, double *expected, sq_error *error)
{
    const sq_attention_desc *d = &work->desc;
    const int64_t hk = h / (d->H / (d->key_heads ? d->key_heads : d->H)), N = d->causal ? (i + 1 < d->N ? i + 1 : d->N) : d->N;
    const double scale = d->scale != 0 ? d->scale : 1.0 / sqrt((double)d->D);
    const float *q = row(&work->call.q, b, i, h);
    double most = -INFINITY, sum = 0, inner = 0;
    for (int64_t j = 0; j < N; j++) {
        p[j] = scale * dot(q, row(&work->call.k, b, j, hk), d->D);
        most = fmax(most, p[j]);
    }
    for (int64_t j = 0; j < N; j++) sum += p[j] = exp(p[j] - most);
    memset(expected, 0, (size_t)d->M * sizeof *expected);
    for (int64_t j = 0; j < N; j++) {
        const float *v = row(&work->call.v, b, j, hk);
        p[j] /= sum;
        for (int64_t m = 0; m < d->M; m++) expected[m] += p[j] * v[m];
    }
    SQ_TRY(compare_row(work, "out", row(&work->call.out, b, i, h), expected, d->M, i, error));
    if (work->pass == SQ_FORWARD) return SQ_OK;
    const float *dout = row(&work->gradients.dout, b, i, h);
    for (int64_t m = 0; m < d->M; m++) inner += dout[m] * expected[m];
    memset(expected, 0, (size_t)d->D * sizeof *expected);
    for (int64_t j = 0; j < N; j++) {
        const double ds = scale * p[j] * (dot(dout, row(&work->call.v, b, j, hk), d->M) - inner);
        const float *k = row(&work->call.k, b, j, hk);
        for (int64_t c = 0; c < d->D; c++) expected[c] += ds * k[c];
    }
    return compare_row(work, "dq", row(&work->gradients.dq, b, i, h), expected, d->D, i, error);
}

static sq_status equal_sums(const char *law, double left, double right, double magnitude, sq_error *error)
{
    if (fabs(left - right) <= row_tolerance * magnitude) return SQ_OK;
    return sq__fail(error, SQ_INTERNAL, "bench: softmax: %s fails: %.9g and %.9g", law, left, right);
}

/* The weights of a row sum to 1, so dv sums to dout; scores are bilinear, so k.dk and q.dq sum to the same. One batch entry, all heads. */
static sq_status softmax_identities(const sq_workload *work, int64_t b, sq_error *error)
{
    const sq_attention_desc *d = &work->desc;
    const int64_t Hk = d->key_heads ? d->key_heads : d->H;
    double dv = 0, dout = 0, kdk = 0, qdq = 0, values = 0, products = 0;
    for (int64_t i = 0; i < d->T; i++)
        for (int64_t h = 0; h < d->H; h++) {
            const float *gradient = row(&work->gradients.dout, b, i, h);
            for (int64_t m = 0; m < d->M; m++) dout += gradient[m];
            const double product = dot(row(&work->call.q, b, i, h), row(&work->gradients.dq, b, i, h), d->D);
            qdq += product;
            products += fabs(product);
        }
    for (int64_t j = 0; j < d->N; j++)
        for (int64_t h = 0; h < Hk; h++) {
            const float *gradient = row(&work->gradients.dv, b, j, h);
            for (int64_t m = 0; m < d->M; m++) {
                dv += gradient[m];
                values += fabs(gradient[m]);
            }
            kdk += dot(row(&work->call.k, b, j, h), row(&work->gradients.dk, b, j, h), d->D);
        }
    SQ_TRY(equal_sums("sum of dv = sum of dout", dv, dout, values, error));
    return equal_sums("sum of k.dk = sum of q.dq", kdk, qdq, products, error);
}

static sq_status check_softmax(const sq_workload *work, sq_error *error)
{
    const sq_attention_desc *d = &work->desc;
    double *p = sq__alloc_array((size_t)d->N, sizeof *p), *expected = sq__alloc_array((size_t)(d->D > d->M ? d->D : d->M), sizeof *expected);
    sq_status status = p && expected ? SQ_OK : sq__no_memory(error);
    const sq_random random = sq__random_stream(d->seed, "bench.rows", 0);
    for (uint64_t i = 0; status == SQ_OK && i < 8; i++)
        status = softmax_row(work, (int64_t)sq__random_below(&random, 3 * i, (uint64_t)d->B),
                             (int64_t)sq__random_below(&random, 3 * i + 1, (uint64_t)d->H),
                             (int64_t)sq__random_below(&random, 3 * i + 2, (uint64_t)d->T), p, expected, error);
    if (status == SQ_OK && work->pass == SQ_BACKWARD && d->T == d->N)
        status = softmax_identities(work, (int64_t)sq__random_below(&random, 24, (uint64_t)d->B), error);
    sq__free(p);
    sq__free(expected);
    return status;
}

sq_status sq__bench_check(const sq_workload *work, sq_error *error)
{
    SQ_TRY(all_finite(work, "out", work->call.out.data, work->out_floats, error));
    if (work->pass == SQ_BACKWARD) {
        SQ_TRY(all_finite(work, "dq", work->gradients.dq.data, work->dq_floats, error));
        SQ_TRY(all_finite(work, "dk", work->gradients.dk.data, work->dk_floats, error));
        SQ_TRY(all_finite(work, "dv", work->gradients.dv.data, work->dv_floats, error));
        for (int i = 0; i < work->input_count; i++)
            SQ_TRY(all_finite(work, "gradient of a further input", work->dinputs[i].data, work->input_floats[i], error));
        for (int i = 0; i < work->tensor_count; i++)
            if (work->dtensors[i])
                SQ_TRY(all_finite(work, "tensor gradient", work->dtensors[i], work->tensor_bytes[i] / sizeof(float), error));
    }
    return strcmp(work->desc.mechanism, "softmax") == 0 ? check_softmax(work, error) : SQ_OK;
}

static sq_status same_bits(const sq_workload *one, const sq_workload *two, sq_error *error)
{
    bool same = !memcmp(one->call.out.data, two->call.out.data, one->out_floats * sizeof(float));
    if (one->pass == SQ_BACKWARD) {
        same = same && !memcmp(one->gradients.dq.data, two->gradients.dq.data, one->dq_floats * sizeof(float)) &&
               !memcmp(one->gradients.dk.data, two->gradients.dk.data, one->dk_floats * sizeof(float)) &&
               !memcmp(one->gradients.dv.data, two->gradients.dv.data, one->dv_floats * sizeof(float));
        for (int i = 0; i < one->input_count; i++)
            same = same && !memcmp(one->dinputs[i].data, two->dinputs[i].data, one->input_floats[i] * sizeof(float));
        for (int i = 0; i < one->tensor_count; i++)
            if (one->dtensors[i]) same = same && !memcmp(one->dtensors[i], two->dtensors[i], one->tensor_bytes[i]);
    }
    if (same) return SQ_OK;
    return sq__fail(error, SQ_INTERNAL, "bench: %s gives other bits on %d threads than on %d", one->desc.mechanism, two->desc.threads, one->desc.threads);
}

sq_status sq__bench_check_threads(const sq_workload *work, sq_error *error)
{
    enum { SHORT = 300 };
    sq_attention_desc desc = work->desc;
    sq_workload one, two;
    if (desc.T > SHORT) desc.T = SHORT;
    if (desc.N > SHORT) desc.N = SHORT;
    if (desc.B > 2) desc.B = 2;
    desc.max_length = desc.N;
    desc.threads = 1;
    SQ_TRY(sq__workload_create(&one, &desc, work->pass, error));
    desc.threads = work->desc.threads > 1 ? work->desc.threads : 2;
    sq_status status = sq__workload_create(&two, &desc, work->pass, error);
    if (status == SQ_OK) {
        sq__workload_run(&one);
        sq__workload_run(&two);
        status = same_bits(&one, &two, error);
        sq__workload_clear(&two);
    }
    sq__workload_clear(&one);
    return status;
}
