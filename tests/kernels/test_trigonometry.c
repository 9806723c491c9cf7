/* Sine and cosine of every ISA against double precision: small angles, many turns, multiples of pi/2, what is not finite. */
#include "base/cpu.h"
#include "base/random.h"
#include "kernels/kernels.h"
#include "support/check.h"

enum { COUNT = 4001, BEHIND = 32 };

static float x[COUNT + BEHIND], sine[COUNT + BEHIND], cosine[COUNT + BEHIND];

static void check(const sq_kernels *kernels, int64_t n)
{
    memset(sine, 0x7e, sizeof sine);
    memset(cosine, 0x7e, sizeof cosine);
    kernels->sine_cosine(sine, cosine, x, n);
    for (int64_t i = 0; i < n; i++) {
        assert_close(sine[i], sin((double)x[i]), 1.2e-7);
        assert_close(cosine[i], cos((double)x[i]), 1.2e-7);
    }
    for (size_t i = 0; i < BEHIND * sizeof(float); i++)
        assert_true(((unsigned char *)(sine + n))[i] == 0x7e && ((unsigned char *)(cosine + n))[i] == 0x7e);
}

static void test_angles(void **state)
{
    static const float sizes[] = { 1e-20f, 1e-3f, 1, 10, 1e3f, 3e4f, 1e6f, 1e20f };
    (void)state;
    for (int isa = 0; isa < SQ_ISA_COUNT; isa++) {
        const sq_kernels *kernels = sq__kernels_for(isa);
        if (!kernels) continue;
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
            const sq_random random = sq__random_stream(6, "angles", s);
            sq__random_normal_fill(&random, x, COUNT, sizes[s]);
            check(kernels, COUNT);
        }
        for (int i = 0; i < COUNT; i++) x[i] = (float)((i - COUNT / 2) * 1.5707963267948966);
        for (int64_t n = 0; n < 40; n++) check(kernels, n);
        check(kernels, COUNT);
    }
}

static void test_relative_near_zero(void **state)
{
    (void)state;
    for (int isa = 0; isa < SQ_ISA_COUNT; isa++) {
        const sq_kernels *kernels = sq__kernels_for(isa);
        for (int i = 0; i < COUNT; i++) x[i] = 0.7f * powf(10, -30.0f * (float)i / COUNT);
        if (!kernels) continue;
        kernels->sine_cosine(sine, cosine, x, COUNT);
        for (int i = 0; i < COUNT; i++) assert_close(sine[i] / sin((double)x[i]), 1, 1.5e-7);
    }
}

static void test_not_finite_and_in_place(void **state)
{
    const float odd[] = { NAN, INFINITY, -INFINITY, 1, -2 };
    (void)state;
    for (int isa = 0; isa < SQ_ISA_COUNT; isa++) {
        const sq_kernels *kernels = sq__kernels_for(isa);
        if (!kernels) continue;
        memcpy(cosine, odd, sizeof odd);
        kernels->sine_cosine(sine, cosine, cosine, 5);
        for (int i = 0; i < 3; i++) assert_true(isnan(sine[i]) && isnan(cosine[i]));
        for (int i = 3; i < 5; i++) {
            assert_close(sine[i], sin(odd[i]), 1.2e-7);
            assert_close(cosine[i], cos(odd[i]), 1.2e-7);
        }
        memcpy(sine, odd + 3, 2 * sizeof *odd);
        kernels->sine_cosine(sine, cosine, sine, 2);
        assert_close(sine[1], sin(-2.0), 1.2e-7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_angles), cmocka_unit_test(test_relative_near_zero), cmocka_unit_test(test_not_finite_and_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
