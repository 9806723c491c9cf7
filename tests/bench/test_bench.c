/* Benchmarks are not timed here: what must hold is that figures are consistent, memory exact, and that wrong results are caught. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/memory.h"
#include "bench/bench.h"
#include "bench/check.h"
#include "bench/workload.h"

static sq_bench_case bench_case(const char *mechanism, int64_t n, sq_pass pass)
{
    return (sq_bench_case){ .desc = { .mechanism = mechanism, .B = 1, .H = 2, .T = n, .N = n, .D = 16, .M = 16, .threads = 1, .seed = 7 },
                            .pass = pass, .dtype = "f32", .runs = 2 };
}

static void every_mechanism_passes_both_ways(void **state)
{
    (void)state;
    const size_t before = sq_memory_current();
    for (int i = 0; i < sq_mechanism_count(); i++)
        for (int pass = SQ_FORWARD; pass <= SQ_BACKWARD; pass++) {
            sq_mechanism_info info;
            sq_bench_result result;
            sq_error error = { 0 };
            sq_mechanism_get(i, &info);
            sq_bench_case bench = bench_case(info.name, 333, (sq_pass)pass);
            bench.desc.causal = (info.can & SQ_CAUSAL_ONLY) != 0;
            const sq_status status = sq_bench_attention(&bench, &result, &error);
            if (status != SQ_OK) fail_msg("%s: %s", info.name, error.message);
            assert_true(result.ms > 0 && isfinite(result.ms));
            assert_true(result.gflops > 0 && result.roofline > 0 && result.roofline < 1.5);
            const size_t output = 333 * 2 * 16 * sizeof(float);
            assert_true(result.peak_bytes >= result.workspace_bytes + output * (pass == SQ_BACKWARD ? 4 : 1));
            assert_true(result.peak_bytes < (1u << 26));
        }
    assert_int_equal(sq_memory_current(), before);
}

static void causal_and_cross_are_checked_too(void **state)
{
    (void)state;
    sq_bench_result result;
    sq_error error = { 0 };
    sq_bench_case bench = bench_case("softmax", 130, SQ_BACKWARD);
    bench.desc.causal = true;
    if (sq_bench_attention(&bench, &result, &error) != SQ_OK) fail_msg("%s", error.message);
    bench.desc.causal = false;
    bench.desc.T = 65;
    bench.desc.key_heads = 1;
    bench.desc.M = 8;
    bench.desc.threads = 2;
    if (sq_bench_attention(&bench, &result, &error) != SQ_OK) fail_msg("%s", error.message);
}

static void what_cannot_be_timed_is_refused(void **state)
{
    (void)state;
    sq_bench_result result;
    sq_error error = { 0 };
    sq_bench_case bench = bench_case("softmaxx", 64, SQ_FORWARD);
    assert_int_equal(sq_bench_attention(&bench, &result, &error), SQ_NOT_FOUND);
    assert_non_null(strstr(error.message, "did you mean 'softmax'"));
    bench = bench_case("softmax", 64, SQ_FORWARD);
    bench.dtype = "f16";
    assert_int_equal(sq_bench_attention(&bench, &result, &error), SQ_UNSUPPORTED);
    assert_string_equal(error.message, "bench: no dtype 'f16'; expected f32");
    bench = bench_case("softmax", 0, SQ_FORWARD);
    assert_int_equal(sq_bench_attention(&bench, &result, &error), SQ_INVALID);
}

/* One number changed by a thousandth of the row is found, in whichever array. */
static void wrong_results_are_caught(void **state)
{
    (void)state;
    const sq_bench_case bench = bench_case("softmax", 8, SQ_BACKWARD);
    sq_workload work;
    sq_error error = { 0 };
    assert_int_equal(sq__workload_create(&work, &bench.desc, SQ_BACKWARD, &error), SQ_OK);
    sq__workload_run(&work);
    assert_int_equal(sq__bench_check(&work, &error), SQ_OK);
    float *const arrays[] = { work.call.out.data, work.gradients.dq.data, work.gradients.dk.data, work.gradients.dv.data };
    for (int a = 0; a < 4; a++) {
        float kept[8 * 2 * 16];
        memcpy(kept, arrays[a], sizeof kept);
        for (int i = 0; i < 8 * 2 * 16; i++) arrays[a][i] *= 1.001f;
        assert_int_equal(sq__bench_check(&work, &error), SQ_INTERNAL);
        memcpy(arrays[a], kept, sizeof kept);
        arrays[a][77] = NAN;
        assert_int_equal(sq__bench_check(&work, &error), SQ_INTERNAL);
        assert_non_null(strstr(error.message, "not finite at number 77 of 256"));
        memcpy(arrays[a], kept, sizeof kept);
    }
    assert_int_equal(sq__bench_check(&work, &error), SQ_OK);
    sq__workload_clear(&work);
}

static void failed_allocation_is_survived(void **state)
{
    (void)state;
    const size_t before = sq_memory_current();
    sq_bench_result result;
    sq_error error = { 0 };
    const sq_bench_case bench = bench_case("linformer", 40, SQ_BACKWARD);
    sq_status status = SQ_NO_MEMORY;
    long n = 1;
    for (; n < 500 && status != SQ_OK; n++) {
        sq__alloc_fail_after(n);
        status = sq_bench_attention(&bench, &result, &error);
        sq__alloc_fail_after(0);
        assert_true(status == SQ_OK || status == SQ_NO_MEMORY);
        assert_int_equal(sq_memory_current(), before);
    }
    assert_true(n > 10 && n < 500);
}

static void exponents_are_slopes(void **state)
{
    (void)state;
    double x[6], y[6];
    for (int i = 0; i < 6; i++) {
        x[i] = 256 << i;
        y[i] = 3e-9 * pow(x[i], 1.75);
    }
    assert_true(fabs(sq_fitted_exponent(x, y, 6) - 1.75) < 1e-12);
    y[2] = NAN;
    y[3] = 0;
    assert_true(fabs(sq_fitted_exponent(x, y, 6) - 1.75) < 1e-12);
    assert_true(isnan(sq_fitted_exponent(x, y, 1)));
    assert_true(isnan(sq_fitted_exponent(x, y, 0)));
    x[1] = x[0];
    assert_true(isnan(sq_fitted_exponent(x, y, 2)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_mechanism_passes_both_ways),
        cmocka_unit_test(causal_and_cross_are_checked_too),
        cmocka_unit_test(what_cannot_be_timed_is_refused),
        cmocka_unit_test(wrong_results_are_caught),
        cmocka_unit_test(failed_allocation_is_survived),
        cmocka_unit_test(exponents_are_slopes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
