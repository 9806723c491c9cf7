/* Eight floats: the same names as avx512.h. */
#ifndef SQ_KERNELS_SIMD_AVX2_H
#define SQ_KERNELS_SIMD_AVX2_H

#include <immintrin.h>
#include <stdint.h>

#define SIMD_NAME(name) name##_avx2

enum { LANES = 8 };
typedef __m256 vec;
typedef __m256 mask;

static inline __m256i first_lanes(int64_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline vec load(const float *x) { return _mm256_loadu_ps(x); }
static inline void store(float *x, vec a) { _mm256_storeu_ps(x, a); }
static inline vec load_part(const float *x, int64_t n) { return _mm256_maskload_ps(x, first_lanes(n)); }
static inline vec load_part_or(const float *x, int64_t n, vec fill)
{
    const __m256i some = first_lanes(n);
    return _mm256_blendv_ps(fill, _mm256_maskload_ps(x, some), _mm256_castsi256_ps(some));
}
static inline void store_part(float *x, int64_t n, vec a) { _mm256_maskstore_ps(x, first_lanes(n), a); }
static inline vec all(float a) { return _mm256_set1_ps(a); }
static inline vec add(vec a, vec b) { return _mm256_add_ps(a, b); }
static inline vec sub(vec a, vec b) { return _mm256_sub_ps(a, b); }
static inline vec mul(vec a, vec b) { return _mm256_mul_ps(a, b); }
static inline vec divide(vec a, vec b) { return _mm256_div_ps(a, b); }
static inline vec fma_add(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
static inline vec fma_sub_from(vec a, vec b, vec c) { return _mm256_fnmadd_ps(a, b, c); }
static inline vec larger(vec a, vec b) { return _mm256_max_ps(a, b); }
static inline vec smaller(vec a, vec b) { return _mm256_min_ps(a, b); }
static inline mask below(vec a, vec b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
static inline mask equal(vec a, vec b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
static inline mask differ(vec a, vec b) { return _mm256_cmp_ps(a, b, _CMP_NEQ_UQ); }
static inline vec choose(mask m, vec yes, vec no) { return _mm256_blendv_ps(no, yes, m); }
static inline int any(mask m) { return _mm256_movemask_ps(m) != 0; }
static inline vec magnitude(vec a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
static inline vec with_sign_of(vec a, vec sign) { return _mm256_or_ps(a, _mm256_and_ps(sign, _mm256_set1_ps(-0.0f))); }
static inline vec round_nearest(vec a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

/* 2^n by writing the exponent, -127 <= n <= 127 (-127 gives 0) */
static inline vec power(__m256i n) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23)); }
static inline vec times_power(vec p, vec n)   /* in two steps, so that denormals and overflow come out right */
{
    const __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1);
    return _mm256_mul_ps(_mm256_mul_ps(p, power(half)), power(_mm256_sub_epi32(whole, half)));
}
/* t beyond -126 underflows to 0 here */
static inline vec clamped_floor(vec t) { return _mm256_floor_ps(_mm256_max_ps(_mm256_set1_ps(-127), t)); }
static inline vec fraction(vec t) { return _mm256_sub_ps(_mm256_max_ps(_mm256_set1_ps(-127), t), clamped_floor(t)); }
static inline vec times_power_floor(vec p, vec t) { return _mm256_mul_ps(p, power(_mm256_cvtps_epi32(clamped_floor(t)))); }

static inline float sum_lanes(vec a)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
static inline void store_four_sums(float *y, const vec *s)   /* y[i] = sum_lanes(s[i]) */
{
    const __m256 halves = _mm256_hadd_ps(_mm256_hadd_ps(s[0], s[1]), _mm256_hadd_ps(s[2], s[3]));
    _mm_storeu_ps(y, _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps(halves, 1)));
}
static inline float max_lanes(vec a)
{
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

static inline void transpose_block(vec *r)
{
    vec t[8];
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4)
        for (int j = 0; j < 2; j++) {
            r[i + 2 * j] = _mm256_shuffle_ps(t[i + j], t[i + 2 + j], 0x44);
            r[i + 2 * j + 1] = _mm256_shuffle_ps(t[i + j], t[i + 2 + j], 0xee);
        }
    for (int i = 0; i < 4; i++) {
        t[i] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
        t[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
    }
    for (int i = 0; i < 8; i++) r[i] = t[i];
}

#endif
