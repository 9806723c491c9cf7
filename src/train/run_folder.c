#include "train/run_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/memory.h"
#include "io/file.h"
#include "report/metric.h"

static const char lock_name[] = ".lock";

/* Without resume the folder must hold nothing; with it, something is only accepted beside a run's lock. */
static sq_status check_content(const char *path, bool resume, sq_error *error)
{
    DIR *folder = opendir(path);
    if (!folder) return sq__fail(error, SQ_IO, "%s: cannot open the run folder: %s", path, strerror(errno));
    bool empty = true, run = false;
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (strcmp(entry->d_name, lock_name) == 0) run = true;
        else if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) empty = false;
    }
    closedir(folder);
    if (empty || (resume && run)) return SQ_OK;
    if (resume) return sq__fail(error, SQ_INVALID, "%s: holds something else than a run; choose another folder", path);
    return sq__fail(error, SQ_INVALID, "%s: the run folder is not empty; choose another one, or resume", path);
}

static sq_status take_lock(sq_run_folder *folder, sq_error *error)
{
    char *path = sq__path_join(folder->folder, lock_name);
    if (!path) return sq__no_memory(error);
    folder->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    sq_status status = SQ_OK;
    if (folder->lock < 0) status = sq__fail(error, SQ_IO, "%s: cannot write: %s", path, strerror(errno));
    else if (flock(folder->lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        status = sq__fail(error, SQ_IO, "%s: another process is using this run folder", folder->folder);
    sq__free(path);
    return status;
}

static sq_status make_paths(sq_run_folder *folder, const char *path, sq_error *error)
{
    folder->folder = sq__strdup(path);
    char **paths[] = { &folder->config, &folder->schema, &folder->model, &folder->checkpoint, &folder->metrics, &folder->result };
    static const char *const names[] = { "config.yaml", "schema.json", "model.safetensors", "checkpoint/state.safetensors", "metrics.csv", "result.json" };
    bool all = folder->folder != NULL;
    for (int i = 0; i < 6; i++) all = (*paths[i] = sq__path_join(path, names[i])) && all;
    return all ? SQ_OK : sq__no_memory(error);
}

static sq_status make_checkpoint_folder(const sq_run_folder *folder, sq_error *error)
{
    char *path = sq__path_folder(folder->checkpoint);
    sq_status status = path ? sq__make_folders(path, error) : sq__no_memory(error);
    sq__free(path);
    return status;
}

sq_status sq__run_folder_open(sq_run_folder *folder, const char *path, bool resume, sq_error *error)
{
    *folder = (sq_run_folder){ .lock = -1 };
    sq_status status = make_paths(folder, path, error);
    if (status == SQ_OK) status = sq__make_folders(path, error);
    if (status == SQ_OK) status = check_content(path, resume, error);
    if (status == SQ_OK) status = take_lock(folder, error);
    if (status == SQ_OK) status = make_checkpoint_folder(folder, error);
    if (status != SQ_OK) sq__run_folder_close(folder);
    return status;
}

void sq__run_folder_close(sq_run_folder *folder)
{
    char *paths[] = { folder->folder, folder->config, folder->schema, folder->model, folder->checkpoint, folder->metrics, folder->result };
    for (int i = 0; i < 7; i++) sq__free(paths[i]);
    if (folder->lock >= 0) close(folder->lock);
    *folder = (sq_run_folder){ .lock = -1 };
}

sq_status sq__run_folder_describe(const sq_run_folder *folder, const char *config_yaml, const sq_schema *schema, sq_error *error)
{
    SQ_TRY(sq__file_write(folder->config, config_yaml ? config_yaml : "", error));
    return sq__schema_save(schema, folder->schema, error);
}

static void put_cell(FILE *stream, double value)
{
    if (isfinite(value)) fprintf(stream, ",%.9g", value);
    else fputc(',', stream);
}

sq_status sq__write_metrics(const char *path, sq_target_kind target, const sq_epoch *curve, int64_t count, sq_error *error)
{
    sq_output *output;
    const sq_metric_row *metric;
    SQ_TRY(sq__output_open(&output, path, error));
    FILE *stream = sq__output_stream(output);
    fputs("epoch,step,train_loss,validation_loss", stream);
    for (int i = 0; (metric = sq__metric_of(target, i)); i++) fprintf(stream, ",%s", metric->key);
    fputs(",seconds\n", stream);
    for (int64_t e = 0; e < count; e++) {
        fprintf(stream, "%lld,%lld", (long long)curve[e].epoch, (long long)curve[e].step);
        put_cell(stream, curve[e].train_loss);
        put_cell(stream, curve[e].validation_loss);
        for (int i = 0; (metric = sq__metric_of(target, i)); i++) put_cell(stream, sq__metric_at(metric, &curve[e].validation));
        put_cell(stream, curve[e].seconds);
        fputc('\n', stream);
    }
    return sq__output_commit(&output, error);
}
