#include "nn/segment_walk.h"

#include <string.h>

bool sq__segment_walk_begin(sq_segment_walk *w, sq_tape *tape, const sq_var *x, const int32_t *lengths, const sq_carry *carry, int64_t segment, bool aligned)
{
    *w = (sq_segment_walk){ .tape = tape, .lengths = lengths, .B = x->shape[0], .T = x->shape[1], .E = x->shape[2], .segment = segment, .aligned = aligned };
    w->seen = sq__tape_memory(tape, (size_t)w->B * sizeof *w->seen);
    w->count = sq__tape_memory(tape, (size_t)w->B * sizeof *w->count);
    for (int64_t b = 0; w->seen && w->count && b < w->B; b++) {
        w->seen[b] = carry->seen[b];
        w->count[b] = 0;
    }
    return w->seen && w->count;
}

bool sq__segment_walk_next(sq_segment_walk *w)
{
    for (int64_t b = 0; b < w->B; b++) w->seen[b] += w->count[b];
    w->from += w->rows;
    w->rows = w->T - w->from;
    if (w->rows <= 0 || sq__tape_status(w->tape, NULL) != SQ_OK) return false;
    for (int64_t b = 0; b < w->B; b++) {
        const int64_t left = w->aligned ? w->segment - w->seen[b] % w->segment : w->segment;
        if (w->lengths[b] > w->from && left < w->rows) w->rows = left;
    }
    for (int64_t b = 0; b < w->B; b++) {
        const int64_t left = w->lengths[b] - w->from;
        w->count[b] = left < 0 ? 0 : left < w->rows ? left : w->rows;
    }
    return true;
}

sq_var *sq__segment_walk_piece(const sq_segment_walk *w, sq_var *x)
{
    if (w->rows == w->T) return x;
    sq_var *flat = sq__reshape(w->tape, x, 2, (const int64_t[]){ w->B, w->T * w->E });
    flat = sq__slice(w->tape, flat, w->from * w->E, w->rows * w->E);
    return flat ? sq__reshape(w->tape, flat, 3, (const int64_t[]){ w->B, w->rows, w->E }) : NULL;
}

sq_var *sq__segment_walk_join(const sq_segment_walk *w, sq_var **pieces, int64_t count)
{
    if (count == 1 || sq__tape_status(w->tape, NULL) != SQ_OK) return count ? pieces[0] : NULL;
    for (int64_t i = 0; i < count; i++) pieces[i] = sq__reshape(w->tape, pieces[i], 2, (const int64_t[]){ w->B, pieces[i] ? pieces[i]->count / w->B : 0 });
    sq_var *all = sq__concatenate(w->tape, pieces, (int)count);
    return all ? sq__reshape(w->tape, all, 3, (const int64_t[]){ w->B, w->T, w->E }) : NULL;
}

void sq__rows_push(float *memory, int64_t capacity, const float *rows, int64_t count, int64_t E)
{
    if (count > capacity) {
        rows += (count - capacity) * E;
        count = capacity;
    }
    if (!count) return;
    memmove(memory, memory + count * E, (size_t)((capacity - count) * E) * sizeof *memory);
    memcpy(memory + (capacity - count) * E, rows, (size_t)(count * E) * sizeof *memory);
}
