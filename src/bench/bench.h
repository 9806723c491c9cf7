/* Timing one attention case within a budget. sq_bench_attention is this with about a second and three runs. Depends on attention. */
#ifndef SQ_BENCH_BENCH_H
#define SQ_BENCH_BENCH_H

#include "base/status.h"
#include "subquad/tools.h"

/* Runs go on until there are least_runs and `seconds` are spent, but end at most_runs (0: no limit) or most_seconds (0: no limit). */
typedef struct sq_bench_budget {
    int least_runs, most_runs;
    double seconds, most_seconds;
} sq_bench_budget;

sq_status sq__bench(const sq_bench_case *bench, const sq_bench_budget *budget, sq_bench_result *result, sq_error *error);

#endif
