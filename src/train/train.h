/* Training one model: optimiser, schedule, early stopping, checkpoints, measurements. Depends on models, data. */
#ifndef SQ_TRAIN_TRAIN_H
#define SQ_TRAIN_TRAIN_H

#include "models/model.h"
#include "subquad/task.h"

typedef struct sq_train_config {
    int64_t epochs, batch;
    double learning_rate, weight_decay, beta1, beta2, epsilon;
    double warmup;                     /* fraction of all steps */
    int schedule;                      /* "cosine", "constant", "linear" */
    double clip;                       /* gradient norm; 0: off */
    double label_smoothing;
    int class_weights;                 /* "none", "balanced" */
    int64_t patience;                  /* epochs without improvement of `metric` before stopping; 0: never stop */
    int metric;                        /* "auto", or one that the target has */
    int64_t segment;                   /* events between which back-propagation through time ends; 0: none */
    int64_t redraw;                    /* steps between redraws of random features; 0: never */
    double checkpoint_seconds;         /* least time between checkpoints inside an epoch; one is always made at its end */
    int64_t checkpoint_steps;          /* also every so many steps; 0: by time alone */
    int64_t max_steps;                 /* stop after so many; 0: no limit */
} sq_train_config;

extern const sq_field sq__train_fields[];

const char *sq__train_metric(const sq_train_config *config, sq_target_kind target);   /* the name of the chosen metric, never "auto" */
/* Do the settings suit what is asked? SQ_INVALID; *key (may be NULL) names the setting. */
sq_status sq__train_config_check(const sq_train_config *config, sq_target_kind target, const char **key, sq_error *error);

typedef struct sq_train_job {
    const sq_dataset *dataset;
    sq_model_config model;
    sq_train_config train;
    const char *mechanism;             /* a registry name, or the baselines "gru" and "logistic" */
    const sq_option *options;
    int option_count;
    uint64_t seed;
    int threads;
    const char *folder;                /* the run folder; made if absent */
    const char *config_yaml;           /* complete configuration, written to config.yaml */
    bool resume;                       /* go on from folder/checkpoint when there is one; a finished run returns its stored result */
    sq_progress_fn progress;
    void *user;
    sq_stop_flag *stop;
} sq_train_job;

sq_status sq__train_run(const sq_train_job *job, sq_run_result *result, sq_error *error);

#endif
