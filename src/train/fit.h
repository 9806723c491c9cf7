/* One run under way: the job, its folder, what is measured. Fitters (gradient descent, logistic) share it. Depends on models, data. */
#ifndef SQ_TRAIN_FIT_H
#define SQ_TRAIN_FIT_H

#include "train/run_folder.h"
#include "train/train.h"

typedef struct sq_fit {
    const sq_train_job *job;
    int threads;                       /* job->threads resolved */
    char *description;
    sq_run_folder folder;              /* open after sq__fit_open */
    size_t base_bytes;                 /* held when the run began: the data set and whatever the caller holds */
    double begin;                      /* sq__clock() */
    sq_progress progress;              /* what was last reported */
    sq_run_result *result;
} sq_fit;

/* Each opens the folder itself once the model is known to be possible, leaves model.safetensors (unless nothing was learned) and
 * fills the result but for what the test split tells. */
sq_status sq__fit_model(sq_fit *fit, sq_error *error);
sq_status sq__fit_logistic(sq_fit *fit, sq_error *error);

sq_status sq__fit_open(sq_fit *fit, sq_error *error);
void sq__fit_report(sq_fit *fit, const char *stage, int64_t done, int64_t total, const char *message);
bool sq__fit_stopped(const sq_fit *fit);
/* Higher is better. Where the chosen metric is not defined (one class in the split) the loss decides. */
double sq__fit_score(const sq_train_config *config, sq_target_kind target, const sq_quality *quality);
double sq__fit_loss(sq_target_kind target, const sq_quality *quality);              /* what training minimises, as it is reported */
/* Bytes held now at most, above base_bytes. */
size_t sq__fit_peak(const sq_fit *fit);

#endif
