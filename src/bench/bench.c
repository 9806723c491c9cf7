#include "bench/bench.h"

#include <math.h>
#include <string.h>

#include "bench/check.h"
#include "bench/workload.h"
#include "kernels/kernels.h"

static sq_status measure(sq_workload *work, const sq_bench_budget *budget, sq_bench_result *result, sq_error *error)
{
    double least = sq__workload_run(work), spent = least;
    int runs = 1;
    result->peak_bytes = sq_memory_peak();
    SQ_TRY(sq__bench_check(work, error));
    while (runs < budget->least_runs || spent < budget->seconds) {
        if ((budget->most_runs && runs >= budget->most_runs) || (budget->most_seconds > 0 && spent >= budget->most_seconds)) break;
        const double seconds = sq__workload_run(work);
        runs++;
        spent += seconds;
        if (seconds < least) least = seconds;
    }
    double flops = sq_attention_flops(work->plan, SQ_FORWARD);
    if (work->pass == SQ_BACKWARD) flops += sq_attention_flops(work->plan, SQ_BACKWARD);
    result->ms = least * 1e3;
    result->gflops = flops / least * 1e-9;
    result->workspace_bytes = work->workspace_bytes;
    return SQ_OK;
}

sq_status sq__bench(const sq_bench_case *bench, const sq_bench_budget *budget, sq_bench_result *result, sq_error *error)
{
    sq_workload work;
    sq_attention_desc desc = bench->desc;
    if (bench->dtype && strcmp(bench->dtype, "f32") != 0) return sq__fail(error, SQ_UNSUPPORTED, "bench: no dtype '%s'; expected f32", bench->dtype);
    if (desc.lengths || desc.mask) return sq__fail(error, SQ_UNSUPPORTED, "bench: cases have no lengths and no mask");
    if (desc.threads == 0) desc.threads = 1;
    *result = (sq_bench_result){ 0 };
    const double peak = sq__gemm_peak_gflops();
    const size_t before = sq_memory_current();
    sq_memory_reset_peak();
    SQ_TRY(sq__workload_create(&work, &desc, bench->pass, error));
    const size_t inputs = work.input_bytes;
    sq_status status = measure(&work, budget, result, error);
    if (status == SQ_OK) {
        result->peak_bytes -= before + inputs;
        result->roofline = result->gflops / (peak * desc.threads);
        status = sq__bench_check_threads(&work, error);
    }
    sq__workload_clear(&work);
    return status;
}

sq_status sq_bench_attention(const sq_bench_case *bench, sq_bench_result *result, sq_error *error)
{
    const sq_bench_budget budget = bench->runs > 0 ? (sq_bench_budget){ .least_runs = bench->runs, .most_runs = bench->runs } : (sq_bench_budget){ .least_runs = 3, .seconds = 1.0 };
    return sq__bench(bench, &budget, result, error);
}
