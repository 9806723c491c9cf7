/* Compare mechanisms on one task: every mechanism x seed trained under one protocol, a length sweep, a report. */
#ifndef SUBQUAD_COMPARE_H
#define SUBQUAD_COMPARE_H

#include "subquad/task.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sq_compare_options {
    const char *folder;               /* results go here */
    const char *only;                 /* comma-separated mechanisms, models, baselines; NULL: those of the task */
    int seeds;                        /* 0: of the task */
    int threads;                      /* 0: all */
    bool resume;
    sq_progress_fn progress;
    void *user;
    sq_stop_flag *stop;
} sq_compare_options;

/* One row of the final table: mean and standard deviation over the seeds that did not diverge; NaN where there is none.
 * Exponents and crossover are of a training step (forward and backward). */
typedef struct sq_compare_row {
    char mechanism[64];
    bool baseline, other_model;       /* neither: an attention mechanism */
    int seeds, diverged;
    sq_quality mean, deviation;       /* test split; deviation NaN with one seed */
    int64_t parameters;
    double epoch_seconds, clients_per_second, tokens_per_second;
    size_t train_peak_bytes, inference_peak_bytes;
    double time_exponent, memory_exponent;   /* fitted over the length sweep; NaN for baselines */
    double crossover;                 /* length from which it is faster than softmax; NaN: nowhere in the sweep */
    char note[256];                   /* "", or why there is no result, or how many runs diverged */
} sq_compare_row;

typedef struct sq_compare_result {
    int row_count;
    sq_compare_row *rows;             /* mechanisms in the task's order, other models, baselines; one that cannot run here has seeds 0 and a note */
    char metric[16];                  /* that mechanisms are ranked by, of those of sq_metric */
    sq_target_kind target;
    sq_quality constant;              /* on test, of saying the same of all, what fits the training split best */
    int class_count;
    double majority;                  /* accuracy of always saying the most frequent class of training, on test; NaN where no class is asked */
    char headline[512];               /* which is best here, by how much against the spread */
    char report[512], summary[512];   /* path of report.html; one line about the crossovers */
} sq_compare_result;

SQ_API sq_status sq_compare(const sq_task *task, const sq_compare_options *options, sq_compare_result *result, sq_error *error);
SQ_API void sq_compare_result_clear(sq_compare_result *result);

#ifdef __cplusplus
}
#endif
#endif
