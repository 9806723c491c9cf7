/* What every fuzz target needs: the input as a file, and the check that nothing is held when a reader is done. */
#ifndef SQ_FUZZ_INPUT_H
#define SQ_FUZZ_INPUT_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "subquad/status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The path of a file in memory with these bytes. */
static inline const char *input_path(const uint8_t *data, size_t size)
{
    static char path[64];
    static int file = -1;
    if (file < 0) {
        file = memfd_create("input", 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    }
    if (file < 0 || ftruncate(file, 0) != 0 || pwrite(file, data, size, 0) != (ssize_t)size) abort();
    return path;
}

/* A reader either gives a whole result, or a message of one line and no memory held. */
static inline void check_outcome(sq_status status, const sq_error *error)
{
    if (status != SQ_OK && (error->message[0] == '\0' || error->status != status)) abort();
    for (const char *at = status == SQ_OK ? "" : error->message; *at; at++)
        if (*at == '\n') abort();
    if (sq_memory_current() != 0) abort();
}

#endif
