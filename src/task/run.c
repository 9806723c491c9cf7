#include "task/run.h"

#include "base/memory.h"
#include "io/file.h"

/* Why a folder holds no usable run, in words: the files it misses appear one after the other in a run's life. */
static sq_status check_file(const char *folder, const char *path, const char *why, sq_error *error)
{
    if (!sq__file_exists(folder)) return sq__fail(error, SQ_NOT_FOUND, "%s: no such run folder", folder);
    return sq__file_exists(path) ? SQ_OK : sq__fail(error, SQ_NOT_FOUND, "%s: %s", path, why);
}

static sq_status open_parts(sq_opened_run *run, const char *folder, char *const *paths, int threads, sq_error *error)
{
    SQ_TRY(check_file(folder, paths[0], "not there; expected the folder of a training run", error));
    SQ_TRY(check_file(folder, paths[1], "not there; expected the folder of a training run", error));
    SQ_TRY(check_file(folder, paths[2], "not there: the training has not finished, or diverged before its first epoch ended", error));
    SQ_TRY(sq_task_load(&run->task, paths[0], error));
    SQ_TRY(sq__schema_load(&run->schema, paths[1], error));
    const bool classes = run->schema->target == SQ_TARGET_CLASS || run->schema->target == SQ_TARGET_EVENT_CLASS;
    const int most = run->schema->target == SQ_TARGET_CLASS ? SQ_MAX_CLASSES : SQ_MAX_EVENT_CLASSES;
    if (classes && (run->schema->class_count < 2 || run->schema->class_count > most))
        return sq__fail(error, SQ_FORMAT, "%s: has %d classes; expected 2 to %d", paths[1], run->schema->class_count, most);
    return sq__scorer_open(&run->scorer, paths[2], run->schema, threads, error);
}

sq_status sq__run_open(sq_opened_run *run, const char *folder, int threads, sq_error *error)
{
    static const char *const names[] = { "config.yaml", "schema.json", "model.safetensors" };
    char *paths[3];
    bool named = true;
    *run = (sq_opened_run){ .task = NULL };
    for (int i = 0; i < 3; i++) named = (paths[i] = sq__path_join(folder, names[i])) && named;
    sq_status status = named ? open_parts(run, folder, paths, threads, error) : sq__no_memory(error);
    for (int i = 0; i < 3; i++) sq__free(paths[i]);
    if (status != SQ_OK) sq__run_close(run);
    return status;
}

void sq__run_close(sq_opened_run *run)
{
    sq__scorer_destroy(&run->scorer);
    sq__schema_destroy(run->schema);
    sq_task_destroy(&run->task);
    *run = (sq_opened_run){ .task = NULL };
}
