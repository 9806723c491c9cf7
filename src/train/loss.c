#include "train/loss.h"

#include <math.h>

sq_var *sq__batch_loss(sq_tape *tape, const sq_schema *schema, sq_var *outputs, const sq_batch *batch, const sq_loss_options *options)
{
    const sq_cross_entropy entropy = { options->label_smoothing, options->class_weights, SQ_NOT_ASKED, false };
    switch (schema->target) {
    case SQ_TARGET_CLASS: return sq__cross_entropy(tape, outputs, batch->labels, &entropy);
    case SQ_TARGET_EVENT_CLASS: return sq__cross_entropy(tape, outputs, batch->event_labels, &entropy);
    case SQ_TARGET_NUMBER: return sq__regression(tape, outputs, batch->targets, SQ_MSE, 0, false);
    case SQ_TARGET_EVENT_BITS: return sq__regression(tape, outputs, batch->event_bits, SQ_BCE_WITH_LOGITS, 0, false);
    }
    return NULL;
}

static int64_t asked_of(const sq_schema *schema, const sq_batch *batch)
{
    const int64_t events = batch->B * batch->T;
    int64_t asked = 0;
    switch (schema->target) {
    case SQ_TARGET_CLASS:
        for (int64_t i = 0; i < batch->B; i++) asked += batch->labels[i] != SQ_NOT_ASKED;
        break;
    case SQ_TARGET_NUMBER:
        for (int64_t i = 0; i < batch->B; i++) asked += !isnan(batch->targets[i]);
        break;
    case SQ_TARGET_EVENT_CLASS:
        for (int64_t i = 0; i < events; i++) asked += batch->event_labels[i] != SQ_NOT_ASKED;
        break;
    case SQ_TARGET_EVENT_BITS:
        for (int64_t i = 0; i < events * batch->bit_count; i++) asked += !isnan(batch->event_bits[i]);
        break;
    }
    return asked;
}

bool sq__batch_asks(const sq_schema *schema, const sq_batch *batch) { return asked_of(schema, batch) > 0; }

sq_loss_sum sq__reported_loss(const sq_schema *schema, const sq_batch *batch, int64_t ending, double loss)
{
    const double asked = (double)asked_of(schema, batch), deviation = schema->target_deviation;
    if (schema->target == SQ_TARGET_NUMBER) loss *= deviation * deviation;
    if (schema->target == SQ_TARGET_EVENT_BITS) return (sq_loss_sum){ loss * asked / log(2), (double)ending };
    return (sq_loss_sum){ loss * asked, asked };
}
