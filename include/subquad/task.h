/* A task file: the data, the model, the training, the comparison. Train one model on it, predict with a trained one. */
#ifndef SUBQUAD_TASK_H
#define SUBQUAD_TASK_H

#include "subquad/attention.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sq_task sq_task;       /* not for use by two threads at once */

/* Every key is checked: an unknown one is SQ_NOT_FOUND with file:line:column and the nearest known key. */
SQ_API sq_status sq_task_load(sq_task **task, const char *path, sq_error *error);
/* path is dotted, as in the file: "train.epochs", "model.width", "attention.performer.features", "data.max_length". */
SQ_API sq_status sq_task_set(sq_task *task, const char *path, const char *value, sq_error *error);
SQ_API const char *sq_task_get(sq_task *task, const char *path);         /* value as text, NULL if unknown; valid until the next call */
SQ_API void sq_task_destroy(sq_task **task);
/* The complete task as YAML with every default filled in. Free with sq_text_free. */
SQ_API sq_status sq_task_yaml(const sq_task *task, char **yaml, sq_error *error);
SQ_API void sq_text_free(char **text);
/* Options of a section, by index, for help texts: "model", "train", "compare", "data", its parts "data.time", "data.explode", "data.text",
 * "data.target", "data.split", and "data.categorical", "data.numeric" for an entry of these lists. SQ_NOT_FOUND past the end. */
SQ_API sq_status sq_task_option(const char *section, int index, sq_option_info *info);

/* ---- progress ---- */

typedef struct sq_progress {
    const char *stage;                /* "reading", "training", "testing", "sweep", "report" */
    const char *mechanism;            /* NULL while reading */
    uint64_t seed;
    int64_t done, total;              /* of this stage: rows (total 0: unknown), steps, cases */
    int64_t epoch, epochs;
    double loss;                      /* running mean of the epoch; NaN if none yet */
    const char *metric;               /* NULL until the first validation */
    double validation;                /* best validation metric so far; NaN if none */
    double seconds, seconds_left;     /* of the whole call; left is NaN while unknown */
    const char *message;              /* a line to show, or NULL: warnings, "diverged", "resumed at step ..." */
} sq_progress;
typedef void (*sq_progress_fn)(void *user, const sq_progress *progress);

/* ---- targets ---- */

/* What is asked of a model: a class or a number per client; a class or binary columns per event, at the events that ask for it. */
typedef enum sq_target_kind { SQ_TARGET_CLASS, SQ_TARGET_NUMBER, SQ_TARGET_EVENT_CLASS, SQ_TARGET_EVENT_BITS } sq_target_kind;

#define SQ_MAX_CLASSES 64             /* of a client; of events: */
#define SQ_MAX_EVENT_CLASSES 65536
#define SQ_MAX_BITS 256

/* ---- train ---- */

/* NaN: not of this kind of target. Classes: auc and f1 of class 1 when there are two, else macro average, one against rest (of a client only).
 * Events: accuracy, log_loss and perplexity (its exponential) over all that ask; bits, bit_errors per client: the cross-entropy in bits and
 * the bits that are wrong; exact: share of clients with everything right. Numbers: in their own units; r2: 1 - mse / variance. */
typedef struct sq_quality {
    double accuracy, auc, f1, log_loss, perplexity, mse, mae, r2, bits, bit_errors, exact;
} sq_quality;

typedef struct sq_metric_info {
    const char *name, *title;         /* "log-loss"; "bits per sequence" */
    bool falls;                       /* smaller is better */
    bool scaled;                      /* of the size that the data gives it, not of the order of 1 */
} sq_metric_info;
/* The metrics that a kind of target has, by index. SQ_NOT_FOUND past the end. */
SQ_API sq_status sq_metric(sq_target_kind target, int index, sq_metric_info *info);
SQ_API double sq_metric_value(const char *name, const sq_quality *quality);   /* NaN for an unknown name */

typedef struct sq_epoch {
    int64_t epoch, step;
    double train_loss, validation_loss, seconds;   /* seconds: training only */
    sq_quality validation;
} sq_epoch;

typedef struct sq_run_result {
    char mechanism[64];
    uint64_t seed;
    bool diverged;                        /* the loss was not finite; the qualities are those of the last good epoch, or NaN */
    sq_quality test, validation;          /* at the best epoch */
    int64_t parameters, epochs, steps, best_epoch;
    double epoch_seconds;                 /* median */
    double clients_per_second, tokens_per_second;      /* inference on the test split */
    size_t train_peak_bytes, inference_peak_bytes;     /* exact, own allocator */
    size_t train_resident_bytes;
    sq_target_kind target;
    int class_count;                      /* 0: no confusion, for another kind of target or more than SQ_MAX_CLASSES classes */
    int64_t confusion[SQ_MAX_CLASSES * SQ_MAX_CLASSES]; /* [true * class_count + predicted], test */
    int epoch_count;
    sq_epoch *curve;                      /* [epoch_count]; freed by sq_run_result_clear */
} sq_run_result;
SQ_API void sq_run_result_clear(sq_run_result *result);

typedef struct sq_train_options {
    const char *mechanism;            /* a mechanism's name, a model's (models.h), or "logistic" */
    const char *folder;               /* run folder; must be empty or absent unless resume */
    uint64_t seed;
    int threads;                      /* 0: all */
    bool resume;
    sq_progress_fn progress;          /* may be NULL */
    void *user;
    sq_stop_flag *stop;               /* may be NULL */
} sq_train_options;

/* Leaves config.yaml, schema.json, model.safetensors, checkpoint/, metrics.csv, result.json and TensorBoard events in the folder. */
SQ_API sq_status sq_train(const sq_task *task, const sq_train_options *options, sq_run_result *result, sq_error *error);

/* ---- predict ---- */

typedef struct sq_classifier sq_classifier;
SQ_API sq_status sq_classifier_open(sq_classifier **classifier, const char *run_folder, int threads, sq_error *error);
SQ_API sq_target_kind sq_classifier_target(const sq_classifier *classifier);
/* What an answer holds: probabilities of classes or of bits, or one number. Names: of classes, of bits, "number". */
SQ_API int sq_classifier_class_count(const sq_classifier *classifier);
SQ_API const char *sq_classifier_class_name(const sq_classifier *classifier, int index);
/* Every client of a table of the training table's form (labels not needed), in file order: probabilities of classes sum to 1.
 * SQ_UNSUPPORTED where the model answers for events. */
typedef sq_status (*sq_prediction_fn)(void *user, const char *id, const float *probabilities, int class_count);
SQ_API sq_status sq_classifier_predict(sq_classifier *classifier, const char *table, sq_prediction_fn each, void *user,
                                       sq_stop_flag *stop, sq_error *error);
/* The same for every event that the model reads, counted from 1 among those of its client; where it answers for clients event is 0. */
typedef sq_status (*sq_event_prediction_fn)(void *user, const char *id, int64_t event, const float *probabilities, int class_count);
SQ_API sq_status sq_classifier_predict_events(sq_classifier *classifier, const char *table, sq_event_prediction_fn each, void *user,
                                              sq_stop_flag *stop, sq_error *error);
SQ_API void sq_classifier_destroy(sq_classifier **classifier);
/* Into a CSV, written whole or not at all: "id,p_CLASS,..." or "id,number" of clients; "id,event,class,probability" (the likeliest) or
 * "id,event,p_BIT,..." of events. */
SQ_API sq_status sq_predict_file(const char *run_folder, const char *table, const char *output, int threads, sq_stop_flag *stop,
                                 int64_t *clients, sq_error *error);

/* ---- streams: a prediction after every event ---- */

/* A trained model that follows the events of any number of clients, mixed as they come; each client's state has a fixed size. Events of a
 * client must come in order of time. SQ_UNSUPPORTED: the model cannot go on from a state ('subquad list' says which can), or its task has
 * inputs that look ahead. */
typedef struct sq_predictor sq_predictor;
SQ_API sq_status sq_predictor_open(sq_predictor **predictor, const char *run_folder, int threads, sq_error *error);
SQ_API sq_target_kind sq_predictor_target(const sq_predictor *predictor);
SQ_API int sq_predictor_class_count(const sq_predictor *predictor);
SQ_API const char *sq_predictor_class_name(const sq_predictor *predictor, int index);
SQ_API int64_t sq_predictor_clients(const sq_predictor *predictor);
SQ_API size_t sq_predictor_state_bytes(const sq_predictor *predictor);   /* of one client */
/* States of all clients as they were saved: what follows gets the same bits as if it had never stopped. SQ_INVALID: of another model. */
SQ_API sq_status sq_predictor_load(sq_predictor *predictor, const char *path, sq_error *error);
SQ_API sq_status sq_predictor_save(const sq_predictor *predictor, const char *path, sq_error *error);   /* whole or not at all */
/* Every event of a table (NULL: standard input), in its order: event counts the client's from 1. On an error or interruption the states
 * stand after the last row that was given out. A time before the client's previous one makes a row broken. skipped (may be NULL): broken
 * rows, where the task says to skip them. */
SQ_API sq_status sq_predictor_run(sq_predictor *predictor, const char *table, sq_event_prediction_fn each, void *user, sq_stop_flag *stop,
                                  int64_t *skipped, sq_error *error);
SQ_API void sq_predictor_destroy(sq_predictor **predictor);

#ifdef __cplusplus
}
#endif
#endif
