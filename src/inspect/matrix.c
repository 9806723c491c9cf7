/* The implied matrix: out = A v, so the columns of the identity as values give the columns of A. A head's channels take as many
 * columns at a time as it has; where channels differ (AFT) each column goes to all of them and the mean counts. What is not linear in
 * its values (a norm of them) is differentiated at random ones. */
#include "inspect/matrix.h"

#include <math.h>
#include <string.h>

#include "base/random.h"
#include "base/status.h"

static double size_of(const float *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i] * x[i];
    return sqrt(sum);
}

/* f(a + b) against f(a) + f(b), a and b random. */
static sq_status measure_linearity(sq_probe *probe, uint64_t seed, sq_matrix_info *info, sq_error *error)
{
    const sq_problem *p = sq__attention_problem(probe->plan);
    const int64_t values = p->N * p->H * p->M, outs = p->T * p->H * p->M;
    float *sum = sq__alloc_zero((size_t)outs * sizeof *sum), *v = sq__alloc_zero((size_t)(2 * values) * sizeof *v);
    if (sum && v) {
        const sq_random random = sq__random_stream(seed, "inspect.linearity", 0);
        sq__random_normal_fill(&random, v, 2 * values, 1);
        for (int half = 0; half < 2; half++) {
            sq__probe_run(probe, v + half * values);
            for (int64_t i = 0; i < outs; i++) sum[i] += probe->out[i];
        }
        for (int64_t i = 0; i < values; i++) v[i] += v[values + i];
        sq__probe_run(probe, v);
        const double size = size_of(probe->out, outs);
        for (int64_t i = 0; i < outs; i++) sum[i] -= probe->out[i];
        info->linearity = size > 0 ? size_of(sum, outs) / size : 0;
    }
    const sq_status status = sum && v ? SQ_OK : sq__no_memory(error);
    sq__free(sum);
    sq__free(v);
    return status;
}

/* Key j alone, in every channel. */
static void run_key(sq_probe *probe, int64_t j)
{
    const sq_problem *p = sq__attention_problem(probe->plan);
    memset(probe->v, 0, (size_t)(p->N * p->H * p->M) * sizeof(float));
    for (int64_t i = 0; i < p->H * p->M; i++) probe->v[j * p->H * p->M + i] = 1;
    sq__probe_run(probe, probe->v);
}

static bool channels_differ(sq_probe *probe)
{
    const sq_problem *p = sq__attention_problem(probe->plan);
    double most = 0, apart = 0;
    run_key(probe, p->N / 2);
    for (int64_t i = 0; i < p->T * p->H; i++)
        for (int64_t c = 0; c < p->M; c++) {
            most = fmax(most, fabs(probe->out[i * p->M + c]));
            apart = fmax(apart, fabs(probe->out[i * p->M + c] - probe->out[i * p->M]));
        }
    return apart > 1e-4 * most;
}

static void by_key(sq_probe *probe, float *matrix)
{
    const sq_problem *p = sq__attention_problem(probe->plan);
    for (int64_t j = 0; j < p->N; j++) {
        run_key(probe, j);
        for (int64_t h = 0; h < p->H; h++)
            for (int64_t i = 0; i < p->T; i++) {
                double sum = 0;
                for (int64_t c = 0; c < p->M; c++) sum += probe->out[(i * p->H + h) * p->M + c];
                matrix[(h * p->T + i) * p->N + j] = (float)(sum / (double)p->M);
            }
    }
}

static void by_columns(sq_probe *probe, float *matrix)
{
    const sq_problem *p = sq__attention_problem(probe->plan);
    for (int64_t from = 0; from < p->N; from += p->M) {
        const int64_t count = p->M < p->N - from ? p->M : p->N - from;
        memset(probe->v, 0, (size_t)(p->N * p->H * p->M) * sizeof(float));
        for (int64_t c = 0; c < count; c++)
            for (int64_t h = 0; h < p->H; h++) probe->v[((from + c) * p->H + h) * p->M + c] = 1;
        sq__probe_run(probe, probe->v);
        for (int64_t h = 0; h < p->H; h++)
            for (int64_t i = 0; i < p->T; i++)
                memcpy(matrix + (h * p->T + i) * p->N + from, probe->out + (i * p->H + h) * p->M, (size_t)count * sizeof *matrix);
    }
}

/* Row i's answer to a small change of value j in a random direction r of signs: r . (f(v + e r) - f(v)) / (e r.r). */
static sq_status by_response(sq_probe *probe, uint64_t seed, float *matrix, sq_error *error)
{
    const sq_problem *p = sq__attention_problem(probe->plan);
    const int64_t values = p->N * p->H * p->M, outs = p->T * p->H * p->M, width = p->H * p->M;
    const float e = 0x1p-7f;
    float *v = sq__alloc_array((size_t)(values + 2 * width), sizeof *v), *r = v ? v + values : NULL, *before = v ? r + width : NULL;
    float *base = sq__alloc_array((size_t)outs, sizeof *base);
    const sq_random random = sq__random_stream(seed, "inspect.response", 0);
    for (int64_t c = 0; v && c < width; c++) r[c] = sq__random_below(&random, (uint64_t)(values + c), 2) ? 1 : -1;
    if (v) sq__random_normal_fill(&random, v, values, 1);
    if (v && base) {
        sq__probe_run(probe, v);
        memcpy(base, probe->out, (size_t)outs * sizeof *base);
    }
    for (int64_t j = 0; v && base && j < p->N; j++) {
        memcpy(before, v + j * width, (size_t)width * sizeof *v);
        for (int64_t c = 0; c < width; c++) v[j * width + c] += e * r[c];
        sq__probe_run(probe, v);
        memcpy(v + j * width, before, (size_t)width * sizeof *v);
        for (int64_t h = 0; h < p->H; h++)
            for (int64_t i = 0; i < p->T; i++) {
                double sum = 0;
                for (int64_t c = 0; c < p->M; c++) {
                    const int64_t at = (i * p->H + h) * p->M + c;
                    sum += ((double)probe->out[at] - base[at]) * r[h * p->M + c];
                }
                matrix[(h * p->T + i) * p->N + j] = (float)(sum / (e * (double)p->M));
            }
    }
    const sq_status status = v && base ? SQ_OK : sq__no_memory(error);
    sq__free(v);
    sq__free(base);
    return status;
}

sq_status sq_attention_matrix(const sq_attention_desc *desc, const sq_qkv *qkv, float *const *tensors, const uint8_t *globals, float *matrix,
                              sq_matrix_info *info, sq_error *error)
{
    sq_probe probe;
    sq_matrix_info found = { 0, false };
    SQ_TRY(sq__probe_open(&probe, desc, qkv, qkv->D, tensors, globals, error));
    sq_status status = measure_linearity(&probe, desc->seed, &found, error);
    if (status == SQ_OK && found.linearity > 1e-3) {
        status = by_response(&probe, desc->seed, matrix, error);
    } else if (status == SQ_OK) {
        found.by_channel = channels_differ(&probe);
        if (found.by_channel) by_key(&probe, matrix);
        else by_columns(&probe, matrix);
    }
    sq__probe_close(&probe);
    if (info) *info = found;
    return status;
}

/* ---- reach ---- */

/* now[i] = union of before[k] over the k that row i reads by any head, and i itself. Weights below a millionth of the row's
 * largest are rounding. */
static void step(const float *matrix, int64_t H, int64_t T, const uint8_t *before, uint8_t *now)
{
    for (int64_t i = 0; i < T; i++) {
        if (before) memcpy(now + i * T, before + i * T, (size_t)T);
        else memset(now + i * T, 0, (size_t)T);
        if (!before) now[i * T + i] = 1;
        for (int64_t h = 0; h < H; h++) {
            const float *row = matrix + (h * T + i) * T;
            double most = 0;
            for (int64_t k = 0; k < T; k++) most = fmax(most, fabs(row[k]));
            for (int64_t k = 0; k < T; k++) {
                if (!(fabs(row[k]) > 1e-6 * most)) continue;
                if (!before) now[i * T + k] = 1;
                for (int64_t j = 0; before && j < T; j++) now[i * T + j] |= before[k * T + j];
            }
        }
    }
}

sq_status sq_attention_reach(const sq_attention_desc *desc, const sq_qkv *qkv, const uint8_t *globals, int layers, uint8_t *reach, sq_error *error)
{
    const int64_t T = qkv->T;
    sq_attention_desc d = *desc;
    sq_status status = SQ_OK;
    if (T != qkv->N) return sq__fail(error, SQ_INVALID, "reach: needs as many keys as queries");
    float *matrix = sq__alloc_array((size_t)(qkv->H * T * T), sizeof *matrix);
    if (!matrix) return sq__no_memory(error);
    for (int layer = 0; layer < layers && status == SQ_OK; layer++) {
        d.layer = layer;
        d.seed = desc->seed + (uint64_t)layer;   /* each layer draws its own features */
        status = sq_attention_matrix(&d, qkv, NULL, globals, matrix, NULL, error);
        if (status == SQ_OK) step(matrix, qkv->H, T, layer ? reach + (layer - 1) * T * T : NULL, reach + layer * T * T);
    }
    sq__free(matrix);
    return status;
}
