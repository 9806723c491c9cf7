#include "data/generated_files.h"

#include <string.h>

#include "base/memory.h"

static sq_status check_folder(const sq_generated *files, sq_error *error)
{
    const char *present = NULL;
    for (int i = 0; i < files->count && !present; i++)
        if (sq__file_exists(files->paths[i])) present = files->names[i];
    if (!present) return SQ_OK;
    char *text = NULL;
    size_t size = 0;
    const bool ours = sq__file_read(files->paths[files->count - 1], &text, &size, NULL) == SQ_OK && strncmp(text, files->mark, strlen(files->mark)) == 0;
    sq__free(text);
    if (ours) return SQ_OK;
    return sq__fail(error, SQ_INVALID, "%s/%s: exists and was not written by this command; choose another folder", files->folder, present);
}

sq_status sq__generated_open(sq_generated *files, sq_error *error)
{
    sq_status status = SQ_OK;
    for (int i = 0; i < files->count; i++)
        if (!(files->paths[i] = sq__path_join(files->folder, files->names[i]))) status = sq__no_memory(error);
    if (status == SQ_OK) status = sq__make_folders(files->folder, error);
    if (status == SQ_OK) status = check_folder(files, error);
    for (int i = 0; i < files->count && status == SQ_OK; i++) status = sq__output_open(&files->outputs[i], files->paths[i], error);
    return status == SQ_OK ? SQ_OK : sq__generated_close(files, status, error);
}

sq_status sq__generated_close(sq_generated *files, sq_status status, sq_error *error)
{
    for (int i = 0; i < files->count && status == SQ_OK; i++) status = sq__output_commit(&files->outputs[i], error);
    for (int i = 0; i < files->count; i++) {
        sq__output_discard(&files->outputs[i]);
        sq__free(files->paths[i]);
        files->paths[i] = NULL;
    }
    return status;
}
