#include "autograd/ntm_head.h"

#include <math.h>
#include <string.h>

#include "autograd/activation.h"
#include "kernels/kernels.h"

/* A norm counts as at least this much, and a weight, before it is sharpened, as at least this part of the largest. */
#define LEAST_NORM 1e-8f
#define LEAST_PART 1e-30f

/* Places in a head's rules. */
typedef struct places { int64_t beta, gate, shift, gamma, erase, add, shifts; } places;

static places places_of(const sq_ntm_shape *s)
{
    const int64_t M = s->slot_size, shifts = 2 * s->shift + 1;
    return (places){ M, M + 1, M + 2, M + 2 + shifts, M + 3 + shifts, 2 * M + 3 + shifts, shifts };
}

int64_t sq__ntm_head_size(const sq_ntm_shape *shape, bool writes)
{
    const places at = places_of(shape);
    return writes ? at.add + shape->slot_size : at.erase;
}

int64_t sq__ntm_head_scratch(const sq_ntm_shape *shape) { return 4 * (shape->slots + 2 * shape->shift); }

/* ---- rules ---- */

void sq__ntm_activate(const sq_ntm_shape *shape, bool writes, float *rules)
{
    const sq_kernels *kernels = sq__kernels();
    const places at = places_of(shape);
    const int64_t M = shape->slot_size;
    if (shape->squash) kernels->tanh(rules, rules, M);
    sq__activation_forward(SQ_SOFTPLUS, rules + at.beta, rules + at.beta, 1);
    kernels->sigmoid(rules + at.gate, rules + at.gate, 1);
    const float sum = kernels->exp_sum(rules + at.shift, rules + at.shift, 1, kernels->max(rules + at.shift, at.shifts), at.shifts);
    kernels->scale(rules + at.shift, 1 / sum, at.shifts);
    sq__activation_forward(SQ_SOFTPLUS, rules + at.gamma, rules + at.gamma, 1);
    rules[at.gamma] += 1;
    if (!writes) return;
    kernels->sigmoid(rules + at.erase, rules + at.erase, M);
    if (shape->squash) kernels->tanh(rules + at.add, rules + at.add, M);
}

static void tanh_back(const float *y, float *d, int64_t n)
{
    for (int64_t i = 0; i < n; i++) d[i] *= 1 - y[i] * y[i];
}

static void sigmoid_back(const float *y, float *d, int64_t n)
{
    for (int64_t i = 0; i < n; i++) d[i] *= y[i] * (1 - y[i]);
}

void sq__ntm_activate_back(const sq_ntm_shape *shape, bool writes, const float *rules, float *d)
{
    const places at = places_of(shape);
    const int64_t M = shape->slot_size;
    if (shape->squash) tanh_back(rules, d, M);
    d[at.beta] *= -expm1f(-rules[at.beta]);   /* softplus' = 1 - exp(-softplus) */
    sigmoid_back(rules + at.gate, d + at.gate, 1);
    const float mean = sq__kernels()->dot(rules + at.shift, d + at.shift, at.shifts);
    for (int64_t j = 0; j < at.shifts; j++) d[at.shift + j] = rules[at.shift + j] * (d[at.shift + j] - mean);
    d[at.gamma] *= -expm1f(1 - rules[at.gamma]);
    if (!writes) return;
    sigmoid_back(rules + at.erase, d + at.erase, M);
    if (shape->squash) tanh_back(rules + at.add, d + at.add, M);
}

/* ---- addressing ---- */

/* log x of a normal positive x, error 1e-7: x = m 2^e, m in [0.7, 1.42), and a polynomial (Cephes). Without a branch, so loops over it
 * run in lanes. */
static inline float logarithm(float x)
{
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits -= 0x3f3504f3;
    const float e = (float)(bits >> 23);
    bits = (bits & 0x7fffff) + 0x3f3504f3;
    memcpy(&x, &bits, sizeof x);
    const float f = x - 1, f2 = f * f;
    float p = 7.0376836292e-2f;
    p = p * f - 1.1514610310e-1f;
    p = p * f + 1.1676998740e-1f;
    p = p * f - 1.2420140846e-1f;
    p = p * f + 1.4249322787e-1f;
    p = p * f - 1.6668057665e-1f;
    p = p * f + 2.0000714765e-1f;
    p = p * f - 2.4999993993e-1f;
    p = p * f + 3.3333331174e-1f;
    return f + (p * f * f2 - 2.12194440e-4f * e - 0.5f * f2) + 0.693359375f * e;
}

/* spread [N + 2 S]: w_g with its ends around it, so that a rotation is a sum over S places to either side. */
static void interpolate(const sq_ntm_shape *s, float gate, const float *content, const float *before, float *spread)
{
    const int64_t N = s->slots, S = s->shift;
    float *wg = spread + S;
    const float rest = 1 - gate;
#pragma omp simd
    for (int64_t i = 0; i < N; i++) wg[i] = gate * content[i] + rest * before[i];
    memcpy(spread, wg + N - S, (size_t)S * sizeof(float));
    memcpy(wg + N, wg, (size_t)S * sizeof(float));
}

/* shifted [N], relative to its largest entry, which is returned (0: nothing is there), and its logarithms [N]. */
static float rotate(const sq_ntm_shape *s, const float *shifts, const float *spread, float *shifted, float *logs)
{
    const sq_kernels *kernels = sq__kernels();
    const int64_t N = s->slots;
    memset(shifted, 0, (size_t)N * sizeof(float));
    for (int64_t j = 0; j <= 2 * s->shift; j++) kernels->axpy(shifted, shifts[j], spread + j, N);
    const float top = kernels->max(shifted, N);
    if (!(top > 0)) return 0;
    const float unit = 1 / top;
#pragma omp simd
    for (int64_t i = 0; i < N; i++) {
        const float part = shifted[i] * unit;
        shifted[i] = part > LEAST_PART ? part : LEAST_PART;
        logs[i] = logarithm(shifted[i]);
    }
    return top;
}

void sq__ntm_address(const sq_ntm_shape *shape, const float *rules, const float *memory, const float *before, float *kept, float *scratch)
{
    const sq_kernels *kernels = sq__kernels();
    const places at = places_of(shape);
    const int64_t N = shape->slots, M = shape->slot_size;
    float *cosine = kept + SQ_NTM_COSINE * N, *inverse = kept + SQ_NTM_INVERSE * N, *content = kept + SQ_NTM_CONTENT * N,
          *w = kept + SQ_NTM_WEIGHT * N, *spread = scratch, *shifted = spread + N + 2 * shape->shift, *logs = shifted + N;
    memset(cosine, 0, (size_t)N * sizeof(float));
    memset(inverse, 0, (size_t)N * sizeof(float));
    for (int64_t m = 0; m < M; m++) {
        const float *row = memory + m * N, k = rules[m];
#pragma omp simd
        for (int64_t i = 0; i < N; i++) {
            cosine[i] += k * row[i];
            inverse[i] += row[i] * row[i];
        }
    }
    const float unit = 1 / fmaxf(sqrtf(kernels->dot(rules, rules, M)), LEAST_NORM);
#pragma omp simd
    for (int64_t i = 0; i < N; i++) {
        const float norm = sqrtf(inverse[i]);
        inverse[i] = 1 / (norm > LEAST_NORM ? norm : LEAST_NORM);
        cosine[i] *= inverse[i] * unit;
    }
    const float beta = rules[at.beta], sum = kernels->exp_sum(content, cosine, beta, beta * kernels->max(cosine, N), N);
    kernels->scale(content, 1 / sum, N);
    interpolate(shape, rules[at.gate], content, before, spread);
    if (rotate(shape, rules + at.shift, spread, shifted, logs) > 0)
        kernels->scale(w, 1 / kernels->exp_sum(w, logs, rules[at.gamma], 0, N), N);
    else memset(w, 0, (size_t)N * sizeof(float));
}

/* dw -> that of the shifted weights top u, and gamma's: w = u^gamma / sum u^gamma does not depend on top. */
static float sharpen_back(int64_t N, float gamma, float top, const float *w, const float *u, const float *logs, float *dw)
{
    const float mean = sq__kernels()->dot(w, dw, N), slope = gamma / top;
    float dgamma = 0;
#pragma omp simd reduction(+ : dgamma)
    for (int64_t i = 0; i < N; i++) {
        const float d = w[i] * (dw[i] - mean);
        dgamma += d * logs[i];
        dw[i] = slope * (d / u[i]);
    }
    return dgamma;
}

/* cosines' gradient -> key and memory */
static void cosine_back(const sq_ntm_shape *s, const float *key, const float *memory, const float *kept, float *dcosine, float *scratch,
                        float *dkey, float *dmemory)
{
    const sq_kernels *kernels = sq__kernels();
    const int64_t N = s->slots, M = s->slot_size;
    const float *cosine = kept + SQ_NTM_COSINE * N, *inverse = kept + SQ_NTM_INVERSE * N;
    const float norm = sqrtf(kernels->dot(key, key, M)), unit = 1 / fmaxf(norm, LEAST_NORM);
    const float along = norm > LEAST_NORM ? unit * unit * kernels->dot(dcosine, cosine, N) : 0;
    float *own = scratch;
#pragma omp simd
    for (int64_t i = 0; i < N; i++) {
        own[i] = inverse[i] < 1 / LEAST_NORM ? dcosine[i] * cosine[i] * inverse[i] * inverse[i] : 0;
        dcosine[i] *= inverse[i] * unit;
    }
    for (int64_t m = 0; m < M; m++) {
        const float *row = memory + m * N, k = key[m];
        float *drow = dmemory + m * N;
        dkey[m] += kernels->dot(dcosine, row, N) - along * k;
#pragma omp simd
        for (int64_t i = 0; i < N; i++) drow[i] += k * dcosine[i] - own[i] * row[i];
    }
}

void sq__ntm_address_back(const sq_ntm_shape *shape, const float *rules, const float *memory, const float *before, const float *kept, float *dw,
                          float *drules, float *dmemory, float *scratch)
{
    const sq_kernels *kernels = sq__kernels();
    const places at = places_of(shape);
    const int64_t N = shape->slots, S = shape->shift;
    const float *content = kept + SQ_NTM_CONTENT * N, *cosine = kept + SQ_NTM_COSINE * N, *w = kept + SQ_NTM_WEIGHT * N, gate = rules[at.gate];
    float *spread = scratch, *shifted = spread + N + 2 * S, *logs = shifted + N, *dspread = logs + N, *dwg = dspread + S, *dcosine = shifted;
    interpolate(shape, gate, content, before, spread);
    const float top = rotate(shape, rules + at.shift, spread, shifted, logs);
    if (!(top > 0)) {
        memset(dw, 0, (size_t)N * sizeof(float));
        return;
    }
    drules[at.gamma] += sharpen_back(N, rules[at.gamma], top, w, shifted, logs, dw);
    memset(dspread, 0, (size_t)(N + 2 * S) * sizeof(float));
    for (int64_t j = 0; j < at.shifts; j++) {
        drules[at.shift + j] += kernels->dot(dw, spread + j, N);
        kernels->axpy(dspread + j, rules[at.shift + j], dw, N);
    }
    kernels->axpy(dwg + N - S, 1, dspread, S);
    kernels->axpy(dwg, 1, dwg + N, S);
    float dgate = 0;
#pragma omp simd reduction(+ : dgate)
    for (int64_t i = 0; i < N; i++) {
        dgate += dwg[i] * (content[i] - before[i]);
        dw[i] = (1 - gate) * dwg[i];
    }
    drules[at.gate] += dgate;
    const float mean = kernels->dot(content, dwg, N), beta = rules[at.beta];
#pragma omp simd
    for (int64_t i = 0; i < N; i++) dcosine[i] = gate * content[i] * (dwg[i] - mean);
    drules[at.beta] += kernels->dot(dcosine, cosine, N);
    kernels->scale(dcosine, beta, N);
    cosine_back(shape, rules, memory, kept, dcosine, spread, drules, dmemory);
}

/* ---- reading and writing ---- */

void sq__ntm_read(const sq_ntm_shape *shape, const float *memory, const float *w, float *read)
{
    for (int64_t m = 0; m < shape->slot_size; m++) read[m] = sq__kernels()->dot(memory + m * shape->slots, w, shape->slots);
}

void sq__ntm_read_back(const sq_ntm_shape *shape, const float *memory, const float *w, const float *dread, float *dw, float *dmemory)
{
    const sq_kernels *kernels = sq__kernels();
    for (int64_t m = 0; m < shape->slot_size; m++) {
        kernels->axpy(dw, dread[m], memory + m * shape->slots, shape->slots);
        kernels->axpy(dmemory + m * shape->slots, dread[m], w, shape->slots);
    }
}

void sq__ntm_write(const sq_ntm_shape *shape, const float *rules, const float *w, float *memory)
{
    const places at = places_of(shape);
    for (int64_t m = 0; m < shape->slot_size; m++) {
        const float e = rules[at.erase + m], a = rules[at.add + m];
        float *row = memory + m * shape->slots;
#pragma omp simd
        for (int64_t i = 0; i < shape->slots; i++) row[i] += w[i] * (a - e * row[i]);
    }
}

void sq__ntm_write_back(const sq_ntm_shape *shape, const float *rules, const float *memory, const float *w, float *dw, float *drules, float *dmemory)
{
    const places at = places_of(shape);
    for (int64_t m = 0; m < shape->slot_size; m++) {
        const float e = rules[at.erase + m], a = rules[at.add + m], *row = memory + m * shape->slots;
        float *drow = dmemory + m * shape->slots, de = 0, da = 0;
#pragma omp simd reduction(+ : de, da)
        for (int64_t i = 0; i < shape->slots; i++) {
            const float d = drow[i], wd = w[i] * d;
            da += wd;
            de -= wd * row[i];
            dw[i] += d * (a - e * row[i]);
            drow[i] = d - e * wd;
        }
        drules[at.erase + m] = de;
        drules[at.add + m] = da;
    }
}
