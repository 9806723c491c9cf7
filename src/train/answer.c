#include "train/answer.h"

#include <math.h>

static void softmax(const float *outputs, int C, float *values)
{
    double most = outputs[0], sum = 0;
    for (int c = 1; c < C; c++) most = fmax(most, outputs[c]);
    for (int c = 0; c < C; c++) sum += exp(outputs[c] - most);
    for (int c = 0; c < C; c++) values[c] = (float)(exp(outputs[c] - most) / sum);
}

sq_status sq__answer(const sq_schema *schema, const float *outputs, float *values, sq_error *error)
{
    const int K = sq__schema_outputs(schema);
    if (schema->target == SQ_TARGET_NUMBER) values[0] = (float)((double)outputs[0] * schema->target_deviation + schema->target_mean);
    else if (schema->target == SQ_TARGET_EVENT_BITS)
        for (int k = 0; k < K; k++) values[k] = (float)(1 / (1 + exp(-(double)outputs[k])));
    else softmax(outputs, K, values);
    for (int k = 0; k < K; k++)
        if (!isfinite(values[k])) return sq__fail(error, SQ_FORMAT, "the model's answer is not finite");
    return SQ_OK;
}

const char *sq__answer_name(const sq_schema *schema, int index)
{
    if (index < 0 || index >= sq__schema_outputs(schema)) return NULL;
    return schema->target == SQ_TARGET_NUMBER ? "number" : schema->target == SQ_TARGET_EVENT_BITS ? schema->bits[index] : schema->classes[index];
}
