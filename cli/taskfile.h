/* What compare and train share: the task file, what the command line changes in it, the folder that results go to. */
#ifndef CLI_TASKFILE_H
#define CLI_TASKFILE_H

#include "flags.h"

/* Load the task, then --set KEY=VALUE in order, then options of mechanisms: each goes to those of indices[count] that have it.
 * -1: go on with *task; else the exit status. */
int task_open(const char *command, const char *path, const pairs *sets, const pairs *options, const int *indices, int count, sq_task **task);

/* "runs/NAME" + suffix; NAME: the task file without .yaml, or its folder's name when the file is called task.yaml. */
void default_folder(const char *task_path, const char *suffix, char *folder, size_t size);

void print_task_keys(void);            /* for --help: the keys of the sections model, train, compare */

#endif
