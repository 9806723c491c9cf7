#include "train/predictions.h"

#include <string.h>

#include "base/memory.h"
#include "report/format.h"
#include "train/answer.h"

static sq_status put_probability_name(FILE *stream, const char *of, sq_error *error)
{
    const size_t size = strlen(of) + 3;
    char *name = sq__alloc(size);
    if (!name) return sq__no_memory(error);
    snprintf(name, size, "p_%s", of);
    fputc(',', stream);
    sq__put_csv(stream, name);
    sq__free(name);
    return SQ_OK;
}

sq_status sq__predictions_open(sq_output **output, const char *path, const sq_schema *schema, sq_error *error)
{
    SQ_TRY(sq__output_open(output, path, error));
    FILE *stream = sq__output_stream(*output);
    sq_status status = SQ_OK;
    fputs(sq__schema_per_event(schema) ? "id,event" : "id", stream);
    if (schema->target == SQ_TARGET_NUMBER) fputs(",number", stream);
    else if (schema->target == SQ_TARGET_EVENT_CLASS) fputs(",class,probability", stream);
    else
        for (int k = 0; k < sq__schema_outputs(schema) && status == SQ_OK; k++) status = put_probability_name(stream, sq__answer_name(schema, k), error);
    fputc('\n', stream);
    if (status != SQ_OK) sq__output_discard(output);
    return status;
}

void sq__predictions_row(sq_output *output, const sq_schema *schema, const char *id, int64_t event, const float *values)
{
    FILE *stream = sq__output_stream(output);
    const int K = sq__schema_outputs(schema);
    int best = 0;
    sq__put_csv(stream, id);
    if (sq__schema_per_event(schema)) fprintf(stream, ",%lld", (long long)event);
    if (schema->target == SQ_TARGET_EVENT_CLASS) {
        for (int k = 1; k < K; k++)
            if (values[k] > values[best]) best = k;
        fputc(',', stream);
        sq__put_csv(stream, sq__answer_name(schema, best));
        fprintf(stream, ",%.9g", (double)values[best]);
    } else {
        for (int k = 0; k < K; k++) fprintf(stream, ",%.9g", (double)values[k]);
    }
    fputc('\n', stream);
}
