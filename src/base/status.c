#include "base/status.h"

#include <string.h>

sq_status sq__fail(sq_error *error, sq_status status, const char *format, ...)
{
    if (error) {
        va_list arguments;
        va_start(arguments, format);
        error->status = status;
        vsnprintf(error->message, sizeof error->message, format, arguments);
        va_end(arguments);
        for (char *c = error->message; *c; c++)   /* one line, whatever a file's names hold */
            if (*c == '\n' || *c == '\r') *c = ' ';
    }
    return status;
}

sq_status sq__no_memory(sq_error *error)
{
    return sq__fail(error, SQ_NO_MEMORY, "out of memory");
}

sq_status sq__fail_at(sq_error *error, sq_status status, const char *prefix)
{
    if (error) {
        char old[sizeof error->message];
        memcpy(old, error->message, sizeof old);
        error->status = status;
        snprintf(error->message, sizeof error->message, "%.300s: %.700s", prefix, old);
    }
    return status;
}

const char *sq_status_name(sq_status status)
{
    switch (status) {
#define SQ_STATUS_CASE(code, text, exit_status) case code: return text;
        SQ_STATUS_TABLE(SQ_STATUS_CASE)
#undef SQ_STATUS_CASE
    }
    return "unknown status";
}

int sq_status_exit_code(sq_status status)
{
    switch (status) {
#define SQ_STATUS_CASE(code, text, exit_status) case code: return exit_status;
        SQ_STATUS_TABLE(SQ_STATUS_CASE)
#undef SQ_STATUS_CASE
    }
    return 1;
}

#define SQ_STRING_(x) #x
#define SQ_STRING(x) SQ_STRING_(x)

const char *sq_version(void)
{
    return SQ_STRING(SQ_VERSION_MAJOR) "." SQ_STRING(SQ_VERSION_MINOR) "." SQ_STRING(SQ_VERSION_PATCH);
}
