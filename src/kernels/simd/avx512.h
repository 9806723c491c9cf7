/* Sixteen floats. The same names as avx2.h, so that one source serves both: *_simd.h, included by *_avx2.c and *_avx512.c.
 * Partial loads and stores touch the first n floats only, 0 < n < LANES. */
#ifndef SQ_KERNELS_SIMD_AVX512_H
#define SQ_KERNELS_SIMD_AVX512_H

#include <immintrin.h>
#include <stdint.h>

#define SIMD_NAME(name) name##_avx512

enum { LANES = 16 };
typedef __m512 vec;
typedef __mmask16 mask;

static inline mask first_lanes(int64_t n) { return (mask)((1u << n) - 1); }
static inline vec load(const float *x) { return _mm512_loadu_ps(x); }
static inline void store(float *x, vec a) { _mm512_storeu_ps(x, a); }
static inline vec load_part(const float *x, int64_t n) { return _mm512_maskz_loadu_ps(first_lanes(n), x); }
static inline vec load_part_or(const float *x, int64_t n, vec fill) { return _mm512_mask_loadu_ps(fill, first_lanes(n), x); }
static inline void store_part(float *x, int64_t n, vec a) { _mm512_mask_storeu_ps(x, first_lanes(n), a); }
static inline vec all(float a) { return _mm512_set1_ps(a); }
static inline vec add(vec a, vec b) { return _mm512_add_ps(a, b); }
static inline vec sub(vec a, vec b) { return _mm512_sub_ps(a, b); }
static inline vec mul(vec a, vec b) { return _mm512_mul_ps(a, b); }
static inline vec divide(vec a, vec b) { return _mm512_div_ps(a, b); }
static inline vec fma_add(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }    /* a b + c */
static inline vec fma_sub_from(vec a, vec b, vec c) { return _mm512_fnmadd_ps(a, b, c); } /* c - a b */
/* b where either is NaN */
static inline vec larger(vec a, vec b) { return _mm512_max_ps(a, b); }
static inline vec smaller(vec a, vec b) { return _mm512_min_ps(a, b); }
static inline mask below(vec a, vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
static inline mask equal(vec a, vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
static inline mask differ(vec a, vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_NEQ_UQ); }
static inline vec choose(mask m, vec yes, vec no) { return _mm512_mask_blend_ps(m, no, yes); }
static inline int any(mask m) { return m != 0; }
static inline vec magnitude(vec a) { return _mm512_abs_ps(a); }
static inline vec with_sign_of(vec a, vec sign)   /* a >= 0 */
{
    return _mm512_or_ps(a, _mm512_and_ps(sign, _mm512_set1_ps(-0.0f)));
}
static inline vec round_nearest(vec a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
/* p 2^n, n whole; overflow gives infinity, underflow denormals and 0 */
static inline vec times_power(vec p, vec n) { return _mm512_scalef_ps(p, n); }
/* t - floor(t) and p 2^floor(t), for t <= 1, -inf allowed (0 and 0) */
static inline vec fraction(vec t) { return _mm512_reduce_ps(t, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
static inline vec times_power_floor(vec p, vec t) { return _mm512_scalef_ps(p, t); }
static inline float sum_lanes(vec a) { return _mm512_reduce_add_ps(a); }
static inline void store_four_sums(float *y, const vec *s)   /* y[i] = sum of s[i]'s lanes */
{
    __m128 quarter[4];
    for (int i = 0; i < 4; i++) {
        const __m512 half = _mm512_add_ps(s[i], _mm512_shuffle_f32x4(s[i], s[i], 0x4e));
        quarter[i] = _mm512_castps512_ps128(_mm512_add_ps(half, _mm512_shuffle_f32x4(half, half, 0xb1)));
    }
    _MM_TRANSPOSE4_PS(quarter[0], quarter[1], quarter[2], quarter[3]);
    _mm_storeu_ps(y, _mm_add_ps(_mm_add_ps(quarter[0], quarter[1]), _mm_add_ps(quarter[2], quarter[3])));
}
static inline float max_lanes(vec a) { return _mm512_reduce_max_ps(a); }

/* Transposes a LANES x LANES block: pairs, quadruples, then 128-bit quarters twice. */
static inline void transpose_block(vec *r)
{
    vec t[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int j = 0; j < 2; j++) {
            const __m512d a = _mm512_castps_pd(t[i + j]), b = _mm512_castps_pd(t[i + 2 + j]);
            r[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
            r[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
        }
    for (int i = 0; i < 4; i++) {   /* r[i + 4 g] holds columns i, i+4, i+8, i+12 of rows 4g .. 4g+3 */
        const vec low01 = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88), low23 = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
        const vec high01 = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd), high23 = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xdd);
        t[i] = _mm512_shuffle_f32x4(low01, low23, 0x88);
        t[i + 8] = _mm512_shuffle_f32x4(low01, low23, 0xdd);
        t[i + 4] = _mm512_shuffle_f32x4(high01, high23, 0x88);
        t[i + 12] = _mm512_shuffle_f32x4(high01, high23, 0xdd);
    }
    for (int i = 0; i < 16; i++) r[i] = t[i];
}

#endif
