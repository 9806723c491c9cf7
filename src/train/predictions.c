#include "train/predictions.h"

#include <string.h>

#include "base/memory.h"
#include "report/format.h"

sq_status sq__predictions_open(sq_output **output, const char *path, const char *const *classes, int class_count, sq_error *error)
{
    SQ_TRY(sq__output_open(output, path, error));
    FILE *stream = sq__output_stream(*output);
    fputs("id", stream);
    for (int c = 0; c < class_count; c++) {
        const size_t size = strlen(classes[c]) + 3;
        char *name = sq__alloc(size);
        if (!name) {
            sq__output_discard(output);
            return sq__no_memory(error);
        }
        snprintf(name, size, "p_%s", classes[c]);
        fputc(',', stream);
        sq__put_csv(stream, name);
        sq__free(name);
    }
    fputc('\n', stream);
    return SQ_OK;
}

void sq__predictions_row(sq_output *output, const char *id, const float *probabilities, int class_count)
{
    FILE *stream = sq__output_stream(output);
    sq__put_csv(stream, id);
    for (int c = 0; c < class_count; c++) fprintf(stream, ",%.9g", (double)probabilities[c]);
    fputc('\n', stream);
}
