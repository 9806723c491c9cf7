/* The files that a generator writes: all of them or none, and never over files of another origin. Depends on io/file.h. */
#ifndef SQ_DATA_GENERATED_FILES_H
#define SQ_DATA_GENERATED_FILES_H

#include "io/file.h"

enum { SQ_GENERATED_MOST = 8 };

typedef struct sq_generated {
    const char *folder, *mark;         /* mark: how the last file begins, which says that all are there and whose they are */
    int count;
    const char *const *names;
    char *paths[SQ_GENERATED_MOST];
    sq_output *outputs[SQ_GENERATED_MOST];
} sq_generated;

/* folder, mark, count and names are given. Files that are there already must bear the mark. */
sq_status sq__generated_open(sq_generated *files, sq_error *error);
/* SQ_OK: everything appears under its name; else nothing does. Returns the status, or that of the writing. */
sq_status sq__generated_close(sq_generated *files, sq_status status, sq_error *error);

#endif
