/* Verify against reference vectors, benchmark, generate clients, describe the build. */
#ifndef SUBQUAD_TOOLS_H
#define SUBQUAD_TOOLS_H

#include "subquad/attention.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- verify ---- */

typedef struct sq_verify_tensor { char name[64]; double error, tolerance, largest; bool passed; } sq_verify_tensor; /* max|diff|, its bound, max|reference| */
typedef enum sq_verify_outcome { SQ_VERIFY_PASSED, SQ_VERIFY_FAILED, SQ_VERIFY_SKIPPED } sq_verify_outcome;
typedef struct sq_verify_result {
    sq_verify_outcome outcome;
    char mechanism[64], variant[128];
    char reason[256];                 /* of a skip or failure */
    int tensor_count;
    sq_verify_tensor *tensors;        /* freed by sq_verify_result_clear */
} sq_verify_result;
/* An unknown mechanism or variant is SKIPPED with its reason; an unreadable file is an error status. */
SQ_API sq_status sq_verify_file(const char *path, sq_verify_result *result, sq_error *error);
SQ_API void sq_verify_result_clear(sq_verify_result *result);

/* ---- benchmark ---- */

typedef struct sq_bench_case {
    sq_attention_desc desc;
    sq_pass pass;                     /* SQ_BACKWARD: forward that saves, then backward, together */
    const char *dtype;                /* "f32" */
    int runs;                         /* 0: until about a second is spent, 3 at least */
} sq_bench_case;
typedef struct sq_bench_result {
    double ms;                        /* least of the runs */
    double gflops;                    /* the mechanism's own operation count / time */
    double roofline;                  /* gflops / (measured peak x threads) */
    size_t workspace_bytes, peak_bytes;   /* peak: everything held during the run above the inputs */
} sq_bench_result;
/* The result is first checked (finite, and against the double-precision law out of sampled rows where one is known); a wrong one gives SQ_INTERNAL. */
SQ_API sq_status sq_bench_attention(const sq_bench_case *bench, sq_bench_result *result, sq_error *error);
/* A whole model (models.h, or a mechanism's encoder) over made-up events of one categorical column of 64 words, two classes, no dropout. */
typedef struct sq_bench_model_case {
    const char *model;
    const sq_option *options;         /* its own */
    int option_count;
    int64_t n, batch, layers, width, heads;
    bool causal;
    enum { SQ_BENCH_MODEL_FORWARD, SQ_BENCH_MODEL_BACKWARD, SQ_BENCH_MODEL_STEP } pass;
    /* BACKWARD: forward that records, then backward. STEP: n events one by one through the state; ms is of one event, the mean over the last
     * half of them, and peak_bytes is the state of all streams */
    int threads, runs;                /* threads 0: 1; runs 0: until about a second is spent, 3 at least (STEP: 1) */
    uint64_t seed;
} sq_bench_model_case;
/* gflops and roofline are NaN. Outputs that are not finite give SQ_INTERNAL. SQ_UNSUPPORTED: STEP of a model that has no state. */
SQ_API sq_status sq_bench_model(const sq_bench_model_case *bench, sq_bench_result *result, sq_error *error);
/* Slope of log(y) against log(x). */
SQ_API double sq_fitted_exponent(const double *x, const double *y, int count);

/* ---- sample clients ---- */

typedef struct sq_clients_options {
    const char *folder;
    int64_t clients;                  /* 4000 */
    uint64_t seed;
    const char *mode;                 /* "mixed" or "long-range" */
    int64_t min_events, max_events;   /* 0: the mode's default */
    double noise;                     /* fraction of labels flipped; negative: the mode's default */
} sq_clients_options;
typedef struct sq_clients_result { int64_t clients, events; double bayes_accuracy, bayes_auc; char task[512]; } sq_clients_result;
/* Writes transactions.csv, gender.csv, task.yaml and README.md (the planted structure and the Bayes rate) into folder. */
SQ_API sq_status sq_generate_clients(const sq_clients_options *options, sq_clients_result *result, sq_error *error);

/* ---- built-in tasks ---- */

typedef struct sq_task_generator_info { const char *name, *title, *source, *help; } sq_task_generator_info;
SQ_API int sq_task_generator_count(void);
SQ_API sq_status sq_task_generator(int index, sq_task_generator_info *info);                       /* SQ_NOT_FOUND past the end */
SQ_API sq_status sq_task_generator_option(int index, int option, sq_option_info *info);            /* SQ_NOT_FOUND past the end */
typedef struct sq_task_generated { int64_t sequences, events; char task[512]; } sq_task_generated;
/* Writes train.csv, validation.csv, test.csv, README.md and task.yaml into folder. Options by the names of sq_task_generator_option. */
SQ_API sq_status sq_generate_task(const char *name, const char *folder, const sq_option *options, int count, sq_task_generated *made, sq_error *error);

/* ---- the build ---- */

/* Lines "key: value" about version, ISA compiled and detected, matrix backend, libraries, threads. Free with sq_text_free. */
SQ_API sq_status sq_build_info(char **text, sq_error *error);

/* ---- for programs that offer the nearest valid name ---- */

/* The entry of names[count] that word was probably meant to be, or NULL. '-' and '_' are equal, case does not matter. */
SQ_API const char *sq_nearest(const char *word, const char *const *names, int count);

#ifdef __cplusplus
}
#endif
#endif
