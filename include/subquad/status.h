/* Status codes, error text, version. Included by every other public header. */
#ifndef SUBQUAD_STATUS_H
#define SUBQUAD_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(SQ_BUILDING_LIBRARY) && defined(__GNUC__)
#define SQ_API __attribute__((visibility("default")))
#else
#define SQ_API
#endif

#define SQ_VERSION_MAJOR 0
#define SQ_VERSION_MINOR 1
#define SQ_VERSION_PATCH 0

/* One table: code, name, process exit status that the command line uses. */
#define SQ_STATUS_TABLE(X)                                              \
    X(SQ_OK, "ok", 0)                                                   \
    X(SQ_INVALID, "invalid argument or input", 2)                       \
    X(SQ_UNSUPPORTED, "unsupported by this mechanism or build", 2)      \
    X(SQ_NOT_FOUND, "not found", 2)                                     \
    X(SQ_FORMAT, "malformed file", 2)                                   \
    X(SQ_IO, "input or output failed", 2)                               \
    X(SQ_NO_MEMORY, "out of memory", 1)                                 \
    X(SQ_DIVERGED, "training diverged", 1)                              \
    X(SQ_INTERRUPTED, "interrupted", 130)                               \
    X(SQ_INTERNAL, "internal error", 1)

typedef enum sq_status {
#define SQ_STATUS_ENUM(code, text, exit_status) code,
    SQ_STATUS_TABLE(SQ_STATUS_ENUM)
#undef SQ_STATUS_ENUM
} sq_status;

/* Filled by every call that can fail, when the caller passes one; untouched on success.
 * message: one line, without a final period or newline, "file:line:column: what; expected ...; did you mean ...?" */
typedef struct sq_error {
    sq_status status;
    char message[1024];
} sq_error;

SQ_API const char *sq_status_name(sq_status status);  /* static text */
SQ_API int sq_status_exit_code(sq_status status);     /* exit status of a program that stops on it */
SQ_API const char *sq_version(void);                  /* "major.minor.patch", static */

/* Bytes held now and at most by this process through the library's own allocator: exact, thread-safe. */
SQ_API size_t sq_memory_current(void);
SQ_API size_t sq_memory_peak(void);
SQ_API void sq_memory_reset_peak(void);   /* peak = current */
SQ_API size_t sq_memory_resident(void);   /* the operating system's resident set now, bytes; 0 if unknown */

/* Set by the caller from any thread or a signal handler: long calls return SQ_INTERRUPTED at the next step. */
typedef volatile int sq_stop_flag;

#ifdef __cplusplus
}
#endif
#endif
