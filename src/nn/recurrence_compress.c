#include "nn/recurrence_walk.h"

/* Rows of the memory that stream b lets go at the end of the piece: a segment's worth, fewer while the stream is young. */
static int64_t leaving(const sq_recurrence_walk *w, int64_t b)
{
    const sq_recurrence_config *c = &w->s->config;
    const int64_t beyond = w->at.seen[b] + w->at.count[b] - c->memory;
    if (!sq__segment_ends(&w->at, b) || beyond <= 0) return 0;
    return beyond < c->segment ? beyond : c->segment;
}

static void learn(sq_recurrence_walk *w, const sq_recurrent_layer *layer, const sq_var *q, sq_var *old, sq_var *new)
{
    const sq_recurrence_config *c = &w->s->config;
    const sq_norm *norm = &layer->layer.attention_norm;
    const sq_parameters *set = norm->set;
    const int64_t blocks = c->segment / c->rate;
    sq_relative_span *of[2];
    for (int i = 0; i < 2; i++) {
        of[i] = sq__tape_memory(w->tape, (size_t)w->at.B * sizeof *of[i]);
        for (int64_t b = 0; of[i] && b < w->at.B; b++) {
            const int64_t keys = leaving(w, b) / (i ? c->rate : 1);
            of[i][b] = (sq_relative_span){ .entry = b, .count = keys ? w->at.count[b] : 0, .from = { (i ? blocks : c->segment) - keys }, .keys = { keys } };
            if (i) w->loss_count += of[i][b].count * q->shape[2];
        }
    }
    if (!of[0] || !of[1]) return;
    if (c->layer.pre_norm) {           /* constants, too */
        sq_var *scale = sq__tape_input(w->tape, 1, set->items[norm->weight].shape, set->items[norm->weight].value, false);
        sq_var *shift = sq__tape_input(w->tape, 1, set->items[norm->bias].shape, set->items[norm->bias].value, false);
        old = sq__layer_norm(w->tape, old, scale, shift, norm->eps);
        new = sq__layer_norm(w->tape, new, scale, shift, norm->eps);
    }
    const sq_reconstruction r = { .q = q, .rows = old, .compressed = new, .key_value = &set->items[layer->layer.attention.key_value.weight],
                                  .heads = c->layer.heads, .of_rows = of[0], .of_compressed = of[1], .span_count = w->at.B };
    sq__recurrence_add_loss(w, sq__reconstruction(w->tape, &r));
}

void sq__recurrence_compress(sq_recurrence_walk *w, const sq_recurrent_layer *layer, const sq_var *q)
{
    const sq_recurrence_config *c = &w->s->config;
    const int64_t blocks = c->segment / c->rate, E = w->at.E;
    bool any = false;
    for (int64_t b = 0; b < w->at.B; b++) any |= leaving(w, b) > 0;
    if (!any) return;
    sq_var *old = sq__recurrence_rows(w, w->carry->values[layer->memory], c->segment, w->s->kept);
    sq_var *new = sq__compression_run(&layer->compression, w->tape, old);
    for (int64_t b = 0; new && b < w->at.B; b++) {
        const int64_t count = leaving(w, b) / c->rate;
        sq__rows_push(w->carry->values[layer->compressed] + b * c->compressed * E, c->compressed, new->value + ((b + 1) * blocks - count) * E, count, E);
    }
    if (new && q && w->learns) learn(w, layer, q, old, new);
}
