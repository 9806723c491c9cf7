/* What a run leaves behind, and the lock that keeps a second process out. Depends on io, report, the public result struct.
 *
 *   .lock  config.yaml  schema.json  model.safetensors  checkpoint/state.safetensors  metrics.csv  result.json  events.out.tfevents.* */
#ifndef SQ_TRAIN_RUN_FOLDER_H
#define SQ_TRAIN_RUN_FOLDER_H

#include "data/schema.h"
#include "subquad/task.h"

typedef struct sq_run_folder {
    char *folder, *config, *schema, *model, *checkpoint, *metrics, *result;   /* paths */
    int lock;
} sq_run_folder;

/* Make or take over the folder. SQ_INVALID when it holds something and resume is false; SQ_IO when another process uses it. */
sq_status sq__run_folder_open(sq_run_folder *folder, const char *path, bool resume, sq_error *error);
void sq__run_folder_close(sq_run_folder *folder);
/* config.yaml and schema.json */
sq_status sq__run_folder_describe(const sq_run_folder *folder, const char *config_yaml, const sq_schema *schema, sq_error *error);
/* metrics.csv: one line per epoch */
sq_status sq__write_metrics(const char *path, sq_target_kind target, const sq_epoch *curve, int64_t count, sq_error *error);

/* result.json: the whole result, marked as finished. description as in a checkpoint. */
sq_status sq__result_write(const char *path, const sq_run_result *result, const char *description, sq_error *error);
sq_status sq__result_read(const char *path, const char *description, sq_run_result *result, sq_error *error);

#endif
