#include "train/segments.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"

sq_status sq__segments_create(sq_segments *s, int64_t length, const sq_model *model, const char *name, sq_error *error)
{
    *s = (sq_segments){ .length = length };
    if (!sq__model_streams(model))
        return sq__fail(error, SQ_UNSUPPORTED, "%s does not go on from a state, which train.segment needs; models that do: 'subquad list'", name);
    if (!sq__model_last(model))
        return sq__fail(error, SQ_UNSUPPORTED, "train.segment needs a target of events or model.pooling last: the mean of all rows is not there at a segment's end");
    return SQ_OK;
}

static void free_arrays(sq_segments *s)
{
    sq__batch_clear(&s->batch);
    s->room = 0;
}

void sq__segments_clear(sq_segments *s)
{
    free_arrays(s);
    sq__carry_destroy(&s->carry);
}

/* Arrays for the segments of a batch of this size; they stay until a larger one comes. */
static sq_status make_room(sq_segments *s, const sq_batch *whole, sq_error *error)
{
    const size_t B = (size_t)whole->B, tokens = B * (size_t)s->length;
    sq_batch *b = &s->batch;
    if ((int64_t)tokens <= s->room) return SQ_OK;
    free_arrays(s);
    b->category_count = whole->category_count;
    b->number_count = whole->number_count;
    b->bit_count = whole->bit_count;
    bool good = (b->categories = sq__alloc_array((size_t)b->category_count, sizeof *b->categories)) != NULL;
    for (int c = 0; good && c < b->category_count; c++) good = (b->categories[c] = sq__alloc_array(tokens, sizeof **b->categories)) != NULL;
    good = good && (b->numbers = sq__alloc_array(tokens * (size_t)b->number_count, sizeof *b->numbers)) != NULL;
    good = good && (b->lengths = sq__alloc_array(B, sizeof *b->lengths)) && (b->labels = sq__alloc_array(B, sizeof *b->labels));
    if (good && whole->targets) good = (b->targets = sq__alloc_array(B, sizeof *b->targets)) != NULL;
    if (good && whole->event_labels) good = (b->event_labels = sq__alloc_array(tokens, sizeof *b->event_labels)) != NULL;
    if (good && whole->event_bits) good = (b->event_bits = sq__alloc_array(tokens * (size_t)b->bit_count, sizeof *b->event_bits)) != NULL;
    if (!good) return sq__no_memory(error);
    s->room = (int64_t)tokens;
    return SQ_OK;
}

sq_status sq__segments_begin(sq_segments *s, const sq_model *model, const sq_batch *whole, sq_error *error)
{
    s->whole = whole;
    s->from = -s->length;
    SQ_TRY(make_room(s, whole, error));
    if (s->carry && s->carry->B == whole->B) {
        sq__carry_reset(s->carry, -1);
        return SQ_OK;
    }
    sq__carry_destroy(&s->carry);   /* the last batch of an epoch may be smaller */
    return sq__carry_create(&s->carry, sq__model_layout(model), whole->B, error);
}

static void cut_row(sq_segments *s, int64_t row)
{
    const sq_batch *whole = s->whole;
    sq_batch *b = &s->batch;
    const int64_t T = b->T, from = row * whole->T + s->from, left = whole->lengths[row] - s->from;
    const bool ends = left > 0 && left <= T;
    b->lengths[row] = (int32_t)(left < 0 ? 0 : left < T ? left : T);
    b->tokens += b->lengths[row];
    s->ending += ends;
    for (int c = 0; c < b->category_count; c++) memcpy(b->categories[c] + row * T, whole->categories[c] + from, (size_t)T * sizeof **b->categories);
    memcpy(b->numbers + row * T * b->number_count, whole->numbers + from * b->number_count, (size_t)(T * b->number_count) * sizeof *b->numbers);
    b->labels[row] = ends ? whole->labels[row] : SQ_NOT_ASKED;
    if (b->targets) b->targets[row] = ends ? whole->targets[row] : NAN;
    if (b->event_labels) memcpy(b->event_labels + row * T, whole->event_labels + from, (size_t)T * sizeof *b->event_labels);
    if (b->event_bits) memcpy(b->event_bits + row * T * b->bit_count, whole->event_bits + from * b->bit_count, (size_t)(T * b->bit_count) * sizeof *b->event_bits);
}

bool sq__segments_next(sq_segments *s)
{
    s->from += s->length;
    if (s->from >= s->whole->T) return false;
    s->batch.B = s->whole->B;
    s->batch.T = s->whole->T - s->from < s->length ? s->whole->T - s->from : s->length;
    s->batch.tokens = s->ending = 0;
    s->batch.examples = s->whole->examples;
    for (int64_t row = 0; row < s->batch.B; row++) cut_row(s, row);
    return true;
}
