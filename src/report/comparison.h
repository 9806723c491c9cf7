/* Everything a comparison found, in the form that each writer (CSV, JSON, SQLite, plots, page) reads. The writers own nothing here.
 * Depends on base. */
#ifndef SQ_REPORT_COMPARISON_H
#define SQ_REPORT_COMPARISON_H

#include "base/status.h"
#include "subquad/compare.h"

/* Arrays of two are by sq_pass: SQ_FORWARD, and SQ_BACKWARD for forward and backward together. */
enum { SQ_PASSES = 2 };

typedef struct sq_sweep_point {
    int64_t n;
    double seconds[SQ_PASSES];         /* least of the runs; NaN: not measured */
    size_t peak_bytes[SQ_PASSES];      /* held above the inputs */
} sq_sweep_point;

typedef struct sq_compared {           /* one mechanism or baseline */
    sq_compare_row row;
    const char *options;               /* "rank=64 sharing=none"; "" */
    int run_count;
    const sq_run_result *runs;         /* by seed */
    double training_seconds;           /* of a whole run, mean over seeds; NaN: none */
    int point_count;
    const sq_sweep_point *points;      /* by rising n */
    double time_exponent[SQ_PASSES], memory_exponent[SQ_PASSES];   /* NaN: too few points */
    double crossover[SQ_PASSES];       /* length from which it is faster than softmax; NaN: nowhere */
    const char *sweep_note;            /* why points are missing; "" */
} sq_compared;

typedef struct sq_report_pair { const char *key, *value; } sq_report_pair;

typedef struct sq_comparison {
    const char *name;                  /* of the task */
    const char *command;               /* that does the same again */
    const char *started;               /* ISO 8601, UTC */
    const char *config_yaml;           /* complete */
    const char *warning;               /* what the data reader dropped; "" */
    sq_target_kind target;
    const char *metric;                /* of those that the target has (metric.h) */
    int environment_count;
    const sq_report_pair *environment;
    int class_count;
    const char *const *classes;        /* hostile text: from the data */
    const char *majority_class;        /* CLASS */
    double majority;                   /* its accuracy on the test split */
    sq_quality constant;               /* on the test split: saying the same of all, what fits the training split best */
    int64_t test_count;                /* clients in the test split */
    int seeds;
    int64_t first_seed;
    int sweep_heads, sweep_head_size;
    int64_t sweep_fit_from;            /* exponents are fitted over lengths from here */
    int count;
    const sq_compared *models;         /* mechanisms, then baselines */
} sq_comparison;

#endif
