/* A task file in parts, for the layers that make many runs of it. Depends on train, models, data, io. */
#ifndef SQ_TASK_TASK_H
#define SQ_TASK_TASK_H

#include "data/config.h"
#include "subquad/task.h"
#include "task/compare_config.h"
#include "train/train.h"

struct sq_task {
    char *path, *name;                 /* name: key `name`, or the file's name without its ending */
    sq_data_config *data;
    sq_model_config model;
    sq_train_config train;
    sq_compare_config compare;
    int option_count;
    void **options;                    /* [option_count] option struct of everything that can be named (models/catalogue.h) */
    char shown[SQ_TEXT_FIELD_SIZE];    /* what sq_task_get returned last */
};

/* Progress that the reading of the data reports to. */
typedef struct sq_task_reading { sq_progress_fn progress; void *user; sq_stop_flag *stop; } sq_task_reading;

sq_status sq__task_dataset(const sq_task *task, const sq_task_reading *reading, sq_dataset **dataset, sq_error *error);

/* A job of this task, with everything filled in but threads, folder, resume, progress, user and stop. mechanism: a registry name or
 * a model's, or "logistic"; SQ_NOT_FOUND with the nearest otherwise. dataset is borrowed (may be NULL when only the options matter). */
typedef struct sq_task_job { sq_train_job job; void *memory; char *yaml; } sq_task_job;
sq_status sq__task_job_make(const sq_task *task, const sq_dataset *dataset, const char *mechanism, uint64_t seed, sq_task_job *made, sq_error *error);
void sq__task_job_clear(sq_task_job *made);

/* Is it a mechanism, a model or "logistic"? */
sq_status sq__task_mechanism_check(const char *mechanism, sq_error *error);

#endif
