/* Is what was timed right? Depends on attention. */
#ifndef SQ_BENCH_CHECK_H
#define SQ_BENCH_CHECK_H

#include "bench/workload.h"

/* After a run: every number finite, and for softmax eight sampled rows of out and dq against the definition in double precision,
 * and the identities  sum_j dv_j = sum_i dout_i  and  sum_j k_j.dk_j = sum_i q_i.dq_i. SQ_INTERNAL when wrong. */
sq_status sq__bench_check(const sq_workload *work, sq_error *error);
/* The mechanism on a short sequence with another number of threads: the same bits. */
sq_status sq__bench_check_threads(const sq_workload *work, sq_error *error);

#endif
