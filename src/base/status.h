/* Failing with a message, nearest names, growing text. Depends on nothing. */
#ifndef SQ_BASE_STATUS_H
#define SQ_BASE_STATUS_H

#include <stdarg.h>
#include <stdio.h>

#include "subquad/status.h"

/* Fill error (if not NULL) with the formatted line and return status: `return sq__fail(error, SQ_FORMAT, "%s:%d: ...", ...)`. */
sq_status sq__fail(sq_error *error, sq_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));
sq_status sq__no_memory(sq_error *error);
/* Put "prefix: " before an existing message (for where). Returns error's status. */
sq_status sq__fail_at(sq_error *error, sq_status status, const char *prefix);

/* The entry of names[count] nearest to word by edit distance, or NULL if none is near enough to be meant. */
const char *sq__nearest(const char *word, const char *const *names, int count);
/* "; did you mean 'x'?" into buffer, or "" when nothing is near. Returns buffer. */
const char *sq__did_you_mean(const char *word, const char *const *names, int count, char *buffer, size_t size);

#define SQ_TRY(expression)                                  \
    do {                                                    \
        sq_status sq__try_status = (expression);            \
        if (sq__try_status != SQ_OK) return sq__try_status; \
    } while (0)

#endif
