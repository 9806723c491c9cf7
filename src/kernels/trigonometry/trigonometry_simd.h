/* Sine and cosine for one width; included after simd/<isa>.h and simd/functions.h. */
#include <math.h>

#include "kernels/overlay.h"

/* Angles beyond lose the reduction's last bits (n no longer has 24 of them to spare): the C library takes those. */
#define LARGEST_ANGLE 1e5f

/* x = n pi/2 + r with pi/2 in three parts (Cody and Waite; each step one rounding), then polynomials on |r| <= pi/4 (relative
 * error 4e-9 of the sine, 1e-10 of the cosine) and the quadrant n mod 4 in -2 .. 2. */
static inline void sine_cosine_of(vec x, vec *sine, vec *cosine)
{
    const vec n = round_nearest(mul(x, all(0.636619747f)));
    const vec r = fma_sub_from(n, all(-1.71512451e-15f), fma_sub_from(n, all(-4.37113883e-8f), fma_sub_from(n, all(1.57079637f), x)));
    const vec quadrant = fma_sub_from(round_nearest(mul(n, all(0.25f))), all(4), n), square = mul(r, r);
    vec s = fma_add(fma_add(all(-1.951647994e-4f), square, all(8.332172283e-3f)), square, all(-0.1666665485f));
    vec c = fma_add(fma_add(all(2.443753285e-5f), square, all(-1.388735979e-3f)), square, all(0.04166664672f));
    s = fma_add(mul(s, square), r, r);
    c = fma_add(fma_add(c, square, all(-0.5f)), square, all(1));
    const mask odd = equal(magnitude(quadrant), all(1)), half = equal(magnitude(quadrant), all(2));
    const vec minus_sine = choose(half, all(-1), choose(below(quadrant, all(0)), all(-1), all(1)));
    const vec minus_cosine = choose(half, all(-1), choose(equal(quadrant, all(1)), all(-1), all(1)));
    *sine = mul(choose(odd, c, s), minus_sine);
    *cosine = mul(choose(odd, s, c), minus_cosine);
}

static void by_library(float *sine, float *cosine, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const float angle = x[i];
        sine[i] = sinf(angle);
        cosine[i] = cosf(angle);
    }
}

static void sine_cosine(float *sine, float *cosine, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i += LANES) {
        const int64_t count = n - i < LANES ? n - i : LANES;
        const vec angle = count == LANES ? load(x + i) : load_part(x + i, count);
        vec s, c;
        if (any(differ(smaller(magnitude(angle), all(LARGEST_ANGLE)), magnitude(angle)))) {   /* too large, or NaN */
            by_library(sine + i, cosine + i, x + i, count);
            continue;
        }
        sine_cosine_of(angle, &s, &c);
        if (count == LANES) {
            store(sine + i, s);
            store(cosine + i, c);
        } else {
            store_part(sine + i, count, s);
            store_part(cosine + i, count, c);
        }
    }
}

void SIMD_NAME(sq__trigonometry)(sq_kernels *table)
{
    table->sine_cosine = sine_cosine;
}
