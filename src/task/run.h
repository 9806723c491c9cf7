/* A finished run's folder, opened: how its task reads a table, and the trained model. Depends on task.h, train/scorer.h. */
#ifndef SQ_TASK_RUN_H
#define SQ_TASK_RUN_H

#include "task/task.h"
#include "train/scorer.h"

typedef struct sq_opened_run {
    sq_task *task;                     /* of config.yaml: how to read a table */
    sq_schema *schema;
    sq_scorer *scorer;
} sq_opened_run;

/* SQ_NOT_FOUND: no such folder, or the run has not finished; SQ_FORMAT: damaged. On failure nothing is held. */
sq_status sq__run_open(sq_opened_run *run, const char *folder, int threads, sq_error *error);
void sq__run_close(sq_opened_run *run);

#endif
