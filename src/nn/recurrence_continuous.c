/* The continuous memory of a walk's layers: read by queries whose stream has a whole segment behind it, written where segments end. */
#include <string.h>

#include "nn/recurrence_walk.h"

static bool sticky(const sq_recurrence_walk *w) { return w->s->layers[0].long_term.config.rule.sticky; }

bool sq__recurrence_continuous_begin(sq_recurrence_walk *w)
{
    const size_t layers = (size_t)w->s->config.layers * sizeof *w->written;
    w->scratch = sq__tape_memory(w->tape, (size_t)sq__continuous_memory_scratch(&w->s->layers[0].long_term) * sizeof *w->scratch);
    w->written = sq__tape_memory(w->tape, layers);
    if (sticky(w)) w->received = sq__tape_memory(w->tape, (size_t)(w->at.B * SQ_MEMORY_BINS) * sizeof *w->received);
    if (w->written) memset(w->written, 0, layers);
    return w->scratch && w->written && (w->received || !sticky(w));
}

bool sq__recurrence_continuous_piece(sq_recurrence_walk *w)
{
    w->readers = sq__tape_memory(w->tape, (size_t)w->at.B * sizeof *w->readers);
    for (int64_t b = 0; w->readers && b < w->at.B; b++) {
        w->readers[b] = w->at.seen[b] >= w->at.segment ? w->at.count[b] : 0;
        w->loss_count += w->readers[b] * w->s->config.layer.heads;
    }
    return w->readers;
}

sq_var *sq__recurrence_read(void *context, sq_tape *tape, sq_var *q, sq_var *residual)
{
    const sq_recurrence_reader *reader = context;
    sq_recurrence_walk *w = reader->walk;
    const sq_continuous_memory *memory = &w->s->layers[reader->layer].long_term;
    const int64_t N = memory->config.basis.N;
    bool any = false;
    for (int64_t b = 0; b < w->at.B; b++) any |= w->readers[b] > 0;
    if (!any) return residual;
    sq_var *coefficients = w->written[reader->layer], *kl = NULL;
    if (!coefficients) coefficients = sq__recurrence_rows(w, w->carry->values[memory->coefficients], N, N);
    if (w->received) memset(w->received, 0, (size_t)(w->at.B * SQ_MEMORY_BINS) * sizeof *w->received);
    const sq_continuous_reading reading = { .q = q, .coefficients = coefficients, .counts = w->readers, .received = w->received,
                                            .dropout = w->s->config.layer.dropout, .residual = residual, .kl = &kl };
    sq_var *y = sq__continuous_memory_read(memory, tape, &reading);
    for (int64_t i = 0; w->received && i < w->at.B * SQ_MEMORY_BINS; i++) w->carry->values[memory->received][i] += (float)w->received[i];
    if (memory->config.kl_weight > 0) sq__recurrence_add_loss(w, kl);
    return y;
}

/* Whether every segment that ends in the piece began with it. */
static bool whole(const sq_recurrence_walk *w)
{
    bool all = w->at.rows == w->at.segment;
    for (int64_t b = 0; b < w->at.B; b++) all &= !sq__segment_ends(&w->at, b) || w->at.count[b] == w->at.segment;
    return all;
}

void sq__recurrence_write(sq_recurrence_walk *w, int i, sq_var *x)
{
    const sq_recurrent_layer *layer = &w->s->layers[i];
    const sq_continuous_memory *memory = &layer->long_term;
    const int64_t L = w->at.segment, E = w->at.E, N = memory->config.basis.N;
    bool any = false;
    for (int64_t b = 0; b < w->at.B; b++) any |= sq__segment_ends(&w->at, b);
    if (!any || !x) return;
    const bool own = w->records && whole(w);
    sq_var *rows = own ? x : sq__recurrence_rows(w, w->carry->values[layer->memory] + (w->s->kept - L) * E, L, w->s->kept);
    if (w->s->config.layer.pre_norm) rows = sq__norm_run(&layer->layer.attention_norm, w->tape, rows);
    const float **maps = sq__tape_memory(w->tape, (size_t)w->at.B * sizeof *maps);
    if (!rows || !maps) return;
    for (int64_t b = 0; b < w->at.B; b++) {
        const int64_t number = w->at.seen[b] / L;
        float *received = memory->received < 0 ? NULL : w->carry->values[memory->received] + b * SQ_MEMORY_BINS;
        maps[b] = NULL;
        if (!sq__segment_ends(&w->at, b)) continue;
        maps[b] = number ? memory->maps.fresh : memory->maps.first;
        sq__continuous_memory_write(memory, rows->value + b * L * E, number, received, w->carry->values[memory->coefficients] + b * N * E, w->scratch);
    }
    w->written[i] = own ? sq__continuous_written(w->tape, rows, w->carry->values[memory->coefficients], N, maps) : NULL;
}
