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

sq_loss_sum sq__reported_loss(const sq_schema *schema, const sq_batch *batch, double loss)
{
    const double B = (double)batch->B, deviation = schema->target_deviation;
    int64_t asked = 0;
    switch (schema->target) {
    case SQ_TARGET_CLASS: return (sq_loss_sum){ loss * B, B };
    case SQ_TARGET_NUMBER: return (sq_loss_sum){ loss * deviation * deviation * B, B };
    case SQ_TARGET_EVENT_CLASS:
        for (int64_t i = 0; i < batch->B * batch->T; i++) asked += batch->event_labels[i] != SQ_NOT_ASKED;
        return (sq_loss_sum){ loss * (double)asked, (double)asked };
    case SQ_TARGET_EVENT_BITS:
        for (int64_t i = 0; i < batch->B * batch->T * batch->bit_count; i++) asked += !isnan(batch->event_bits[i]);
        return (sq_loss_sum){ loss * (double)asked / log(2), B };
    }
    return (sq_loss_sum){ 0, 0 };
}
