/* Whole files and atomic writing. Depends on base. */
#ifndef SQ_IO_FILE_H
#define SQ_IO_FILE_H

#include "base/status.h"

/* A file that appears under its name only when it is complete: written to a temporary name in the same folder, synced, renamed. */
typedef struct sq_output sq_output;
sq_status sq__output_open(sq_output **output, const char *path, sq_error *error);
FILE *sq__output_stream(sq_output *output);
sq_status sq__output_commit(sq_output **output, sq_error *error);   /* flush, fsync, rename, sync folder; frees */
void sq__output_discard(sq_output **output);                        /* removes the temporary file; NULL allowed */

/* A whole text, its last line ended. */
sq_status sq__file_write(const char *path, const char *text, sq_error *error);
sq_status sq__file_read(const char *path, char **text, size_t *size, sq_error *error);   /* NUL-terminated; sq__free */
sq_status sq__make_folders(const char *path, sq_error *error);      /* like mkdir -p */
bool sq__file_exists(const char *path);
/* folder/name into a fresh string (sq__free); an absolute name stays. */
char *sq__path_join(const char *folder, const char *name);
char *sq__path_folder(const char *path);                            /* "." when there is none; sq__free */

#endif
