/* A comparison under way: what was asked, what is done so far, where it lies. Shared by the files of this layer only.
 * Depends on task, train, report, bench. */
#ifndef SQ_COMPARE_COMPARING_H
#define SQ_COMPARE_COMPARING_H

#include "report/comparison.h"
#include "report/store.h"
#include "subquad/compare.h"
#include "task/task.h"

enum { SQ_COMPARE_MODELS = 64, SQ_COMPARE_LENGTHS = 32, SQ_COMPARE_OPTIONS = 512 };

typedef struct sq_comparing_model {
    const char *name;                  /* static text */
    bool baseline, attention;          /* attention: a mechanism, which the sweep measures, too */
    char refused[256];                 /* why it cannot run on this task; "" */
    char options[SQ_COMPARE_OPTIONS];  /* "rank=64 sharing=none" */
    int run_count;
    sq_run_result *runs;               /* [seeds] */
    double run_seconds;                /* that training took, all its runs */
    int point_count;
    sq_sweep_point points[SQ_COMPARE_LENGTHS];
    char sweep_note[256];
} sq_comparing_model;

typedef struct sq_comparing {
    const sq_task *task;
    const sq_compare_options *options;
    sq_dataset *dataset;
    const char *folder;
    int threads, seeds, length_count, model_count;
    int64_t lengths[SQ_COMPARE_LENGTHS];
    sq_comparing_model models[SQ_COMPARE_MODELS];   /* mechanisms, other models, baselines */
    sq_store *store;
    char started[32];
    double begin;                      /* clock */
    double sweep_seconds;              /* guessed for the whole sweep */
    int current;                       /* model that trains now */
} sq_comparing;

/* ---- runs.c ---- */
/* Which mechanisms can run here: the others get their reason. SQ_UNSUPPORTED when none is left. */
sq_status sq__compare_check_models(sq_comparing *comparing, sq_error *error);
/* All seeds of all models, seed by seed, so that a comparison stopped early has something of each. */
sq_status sq__compare_train(sq_comparing *comparing, sq_error *error);
/* Seconds that the rest of the training will take; NaN while nothing is known. running: what the run under way says is left of it. */
double sq__compare_training_left(const sq_comparing *comparing, double spent, double running);

/* ---- sweep.c ---- */
sq_status sq__compare_sweep(sq_comparing *comparing, sq_error *error);
double sq__compare_sweep_guess(const sq_comparing *comparing);
void sq__compare_sweep_shape(const sq_comparing *comparing, int64_t *heads, int64_t *head_size);

/* ---- sweep_cache.c: sweep.json in the folder ---- */
/* The stored points of a mechanism, if they were measured under the same description; else none. */
void sq__sweep_cache_read(const char *folder, const char *mechanism, const char *description, sq_comparing_model *model);
sq_status sq__sweep_cache_write(const char *folder, const char *mechanism, const char *description, const sq_comparing_model *model, sq_error *error);

/* ---- environment.c ---- */
enum { SQ_ENVIRONMENT = 10, SQ_ENVIRONMENT_TEXT = 160 };
typedef struct sq_environment { int count; sq_report_pair pairs[SQ_ENVIRONMENT]; char texts[SQ_ENVIRONMENT][SQ_ENVIRONMENT_TEXT]; } sq_environment;
void sq__compare_environment(int threads, sq_environment *environment);

/* ---- progress.c ---- */
/* A line of progress of the whole comparison; left: NaN unknown. */
void sq__compare_report(const sq_comparing *comparing, const char *stage, const char *mechanism, int64_t done, int64_t total, double left, const char *message);
bool sq__compare_stopped(const sq_comparing *comparing);

/* ---- summary.c ---- */
/* Seconds of training that a run took, in whichever call it was. */
double sq__run_seconds(const sq_run_result *run);
/* Mean and deviation over seeds, exponents, crossovers. models [model_count] borrow from comparing. */
void sq__compare_summarise(const sq_comparing *comparing, sq_compared *models, int64_t *fit_from);
/* Length from which `mine` is below `theirs` at this and every longer n, interpolated in log-log; NaN: not at the longest.
 * Points that are not finite in both are left out. */
double sq__crossover(const double *n, const double *mine, const double *theirs, int count);

#endif
