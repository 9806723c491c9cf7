#include "data/broken.h"

#include <string.h>

void sq__broken_add(sq_broken_rows *rows, const char *file, int64_t line, int64_t column, const char *format, ...)
{
    if (rows->broken++) return;
    char why[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    if (strlen(file) > 200) file += strlen(file) - 200;   /* the end of a path says more than its beginning */
    snprintf(rows->first, sizeof rows->first, "%s:%lld:%lld: %s", file, (long long)line, (long long)column, why);
}

sq_status sq__broken_check(const sq_broken_rows *rows, const sq_data_config *config, sq_error *error)
{
    if (!rows->broken || config->on_broken_row == SQ_BROKEN_SKIP) return SQ_OK;
    return sq__fail(error, SQ_FORMAT, "%s; %lld of %lld rows are broken ('on_broken_row: skip' leaves them out)", rows->first,
                    (long long)rows->broken, (long long)rows->rows);
}
