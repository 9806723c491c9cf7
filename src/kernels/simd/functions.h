/* Elementary functions on vec, for both widths. Coefficients: minimax polynomials by Remez's algorithm for the stated form. */
#ifndef SQ_KERNELS_SIMD_FUNCTIONS_H
#define SQ_KERNELS_SIMD_FUNCTIONS_H

/* exp x = 2^n (1 + r + r^2 q(r)), r = x - n ln 2 in two parts (Cody and Waite); polynomial error 3e-9. */
static inline vec exp_of(vec x)
{
    const vec bounded = smaller(all(89), larger(all(-105), x));   /* beyond: infinity and 0, NaN stays */
    const vec n = round_nearest(mul(bounded, all(1.44269504f)));
    const vec r = fma_sub_from(n, all(-2.12194440e-4f), fma_sub_from(n, all(0.693359375f), bounded));
    vec q = all(0.001381460961f);
    q = fma_add(q, r, all(0.008368716934f));
    q = fma_add(q, r, all(0.04166838783f));
    q = fma_add(q, r, all(0.1666652063f));
    q = fma_add(q, r, all(0.4999999345f));
    return times_power(add(fma_add(mul(r, r), q, r), all(1)), n);
}

/* 2^t for t <= 1, exactly 1 at 0; polynomial error 8.2e-8. AVX2 flushes results below 2^-126 to 0. */
static inline vec exp2_of(vec t)
{
    const vec r = fraction(t);
    vec p = all(0.001867129442f);
    p = fma_add(p, r, all(0.009017031893f));
    p = fma_add(p, r, all(0.05579991178f));
    p = fma_add(p, r, all(0.2401644506f));
    p = fma_add(p, r, all(0.6931513118f));
    return times_power_floor(fma_add(p, r, all(1)), t);
}

/* erfc z = exp(-z^2) sum_k c_k u^k, u = 1/(1 + 0.35 z), z >= 0 (the form of Abramowitz and Stegun 7.1.26; error 5e-9),
 * given exp(-z^2) */
static inline vec erfc_of(vec z, vec exp_minus_square)
{
    const vec u = divide(all(1), fma_add(z, all(0.35f), all(1)));
    vec p = all(-0.1980689042f);
    p = fma_add(p, u, all(0.77271874f));
    p = fma_add(p, u, all(-0.6811976519f));
    p = fma_add(p, u, all(0.6849983714f));
    p = fma_add(p, u, all(-0.008647963566f));
    p = fma_add(p, u, all(0.2358502146f));
    p = fma_add(p, u, all(0.194347189f));
    return mul(mul(p, u), exp_minus_square);
}

/* x + x^3 q(x^2) near 0 (error 4e-9), else 1 - 2/(exp 2|x| + 1) */
static inline vec tanh_of(vec x)
{
    const vec z = magnitude(x), square = mul(x, x);
    vec q = all(-0.005717040657f);
    q = fma_add(q, square, all(0.02065058312f));
    q = fma_add(q, square, all(-0.05374349674f));
    q = fma_add(q, square, all(0.1333149127f));
    q = fma_add(q, square, all(-0.3333328392f));
    const vec small = fma_add(mul(x, square), q, x);
    const vec large = sub(all(1), divide(all(2), add(exp_of(add(z, z)), all(1))));
    return choose(below(z, all(0.625f)), small, with_sign_of(large, x));
}

#endif
