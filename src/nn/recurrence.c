#include "nn/recurrence.h"

#include "base/integers.h"
#include "nn/recurrence_walk.h"

/* ---- creation ---- */

static sq_status check(const sq_recurrence_config *c, const char *prefix, sq_error *error)
{
    if (c->compressed && (c->memory % c->rate || c->segment % c->rate))
        return sq__fail(error, SQ_INVALID, "%s: compression_rate %lld does not divide memory %lld and segment %lld", prefix, (long long)c->rate, (long long)c->memory,
                        (long long)c->segment);
    return SQ_OK;
}

static sq_status create_layer(sq_recurrence *s, int i, sq_parameters *set, sq_carry_layout *layout, const char *prefix, const sq_memory_update *maps, sq_error *error)
{
    const sq_recurrence_config *c = &s->config;
    const int64_t E = c->layer.width;
    sq_recurrent_layer *layer = &s->layers[i];
    char name[96];
    snprintf(name, sizeof name, "%.60s.%d", prefix, i);
    SQ_TRY(sq__relative_layer_create(&layer->layer, set, name, &c->layer, i ? &s->layers[0].layer : NULL, error));
    SQ_TRY(sq__carry_add(layout, name, "memory", 2, (const int64_t[]){ s->kept, E }, &layer->memory, error));
    if (c->compressed) {
        SQ_TRY(sq__carry_add(layout, name, "compressed", 2, (const int64_t[]){ c->compressed, E }, &layer->compressed, error));
        snprintf(name, sizeof name, "%.60s.%d.compression", prefix, i);
        SQ_TRY(sq__compression_create(&layer->compression, set, name, c->compression, E, c->rate, error));
    }
    if (!c->continuous) return SQ_OK;
    snprintf(name, sizeof name, "%.60s.%d.long_term", prefix, i);
    return sq__continuous_memory_create(&layer->long_term, set, layout, name, c->continuous, maps, E, c->layer.heads, c->layer.head_size, error);
}

sq_status sq__recurrence_create(sq_recurrence *s, sq_parameters *set, sq_carry_layout *layout, const char *prefix, const sq_recurrence_config *c, sq_error *error)
{
    const int64_t E = c->layer.width;
    char name[96];
    sq_memory_update maps = { NULL };
    *s = (sq_recurrence){ .config = *c, .layout = layout };
    SQ_TRY(check(c, prefix, error));
    s->kept = c->continuous ? sq__most(c->memory, c->segment) : c->memory + (c->compressed ? c->segment : 0);
    s->places = c->compressed ? c->compressed + c->memory + c->segment : c->memory + 1;
    s->layers = sq__alloc_array((size_t)c->layers, sizeof *s->layers);
    s->waves = sq__alloc_array((size_t)s->places, (size_t)E * sizeof *s->waves);
    if (!s->layers || !s->waves) return sq__no_memory(error);
    sq__relative_waves(s->waves, s->places, E, 0);
    if (c->continuous) {
        s->continuous = *c->continuous;
        s->config.continuous = &s->continuous;
        SQ_TRY(sq__continuous_maps(&s->continuous, &s->maps, &maps, error));
    }
    for (int i = 0; i < c->layers; i++) SQ_TRY(create_layer(s, i, set, layout, prefix, &maps, error));
    snprintf(name, sizeof name, "%.60s.norm", prefix);
    return c->layer.pre_norm ? sq__norm_create(&s->norm, set, name, E, c->layer.eps, error) : SQ_OK;
}

void sq__recurrence_clear(sq_recurrence *s)
{
    sq__free(s->layers);
    sq__free(s->waves);
    sq__free(s->maps);
    *s = (sq_recurrence){ .layers = NULL };
}

/* ---- one run ---- */

sq_var *sq__recurrence_rows(const sq_recurrence_walk *w, const float *at, int64_t rows, int64_t stride)
{
    static const float nothing = 0;
    sq_var *none = sq__tape_input(w->tape, 3, (const int64_t[]){ w->at.B, 0, w->at.E }, &nothing, false);
    return sq__prepend_rows(w->tape, none, &(sq_row_part){ at, rows, stride * w->at.E }, 1);
}

void sq__recurrence_add_loss(sq_recurrence_walk *w, sq_var *part) { w->loss = w->loss ? sq__add(w->tape, w->loss, part) : part; }

/* Rows of memory, and of compressed memory, that stream b sees in the piece. */
static int64_t rows_seen(const sq_recurrence_walk *w, int64_t b)
{
    const sq_recurrence_config *c = &w->s->config;
    return w->at.count[b] ? sq__least(w->at.seen[b], c->memory + (c->compressed ? w->at.seen[b] % c->segment : 0)) : 0;
}

static int64_t blocks_seen(const sq_recurrence_walk *w, int64_t b)
{
    const sq_recurrence_config *c = &w->s->config;
    return c->compressed && w->at.count[b] ? sq__least(c->compressed, (w->at.seen[b] - rows_seen(w, b)) / c->rate) : 0;
}

static bool next_piece(sq_recurrence_walk *w)
{
    if (!sq__segment_walk_next(&w->at)) return false;
    w->spans = sq__tape_memory(w->tape, (size_t)w->at.B * sizeof *w->spans);
    w->past = w->blocks = 0;
    for (int64_t b = 0; b < w->at.B; b++) {
        w->past = sq__most(w->past, rows_seen(w, b));
        w->blocks = sq__most(w->blocks, blocks_seen(w, b));
    }
    for (int64_t b = 0; w->spans && b < w->at.B; b++) {
        const int64_t rows = rows_seen(w, b), blocks = blocks_seen(w, b);
        w->spans[b] = (sq_relative_span){ .entry = b, .count = w->at.count[b], .from = { w->blocks - blocks, w->blocks + w->past - rows },
                                          .keys = { blocks, rows + w->at.count[b] }, .origin = blocks + rows };
    }
    return w->spans && (!w->s->config.continuous || sq__recurrence_continuous_piece(w));
}

/* What comes before x in the lists of keys. */
static sq_var *with_past(const sq_recurrence_walk *w, const sq_recurrent_layer *layer, sq_var *x)
{
    const sq_recurrence *s = w->s;
    const int64_t E = w->at.E, compressed = s->config.compressed;
    if (!w->past && !w->blocks) return x;
    sq_row_part parts[2] = { { .rows = w->blocks, .stride = compressed * E },
                             { w->carry->values[layer->memory] + (s->kept - w->past) * E, w->past, s->kept * E } };
    if (w->blocks) parts[0].at = w->carry->values[layer->compressed] + (compressed - w->blocks) * E;
    return sq__prepend_rows(w->tape, x, parts, 2);
}

static sq_var *run_layer(sq_recurrence_walk *w, int i, sq_var *x)
{
    const sq_recurrence *s = w->s;
    const sq_recurrence_config *c = &s->config;
    const sq_recurrent_layer *layer = &s->layers[i];
    const sq_scope scope = sq__scope_begin(w->tape);
    const int64_t E = w->at.E;
    sq_var *q = NULL;
    sq_recurrence_reader reader = { w, i };
    const sq_relative_attention_inputs inputs = { .x = x, .rows = with_past(w, layer, x), .positions = w->positions[i], .window = c->compressed ? 0 : c->memory + 1,
                                                  .spans = w->spans, .span_count = w->at.B, .query = &q, .beside = c->continuous ? sq__recurrence_read : NULL,
                                                  .context = &reader };
    sq_var *y = sq__relative_layer_attend(&layer->layer, w->tape, &inputs);
    if (!y) return NULL;
    float *memory = w->carry->values[layer->memory];
    for (int64_t b = 0; b < w->at.B; b++) sq__rows_push(memory + b * s->kept * E, s->kept, x->value + b * w->at.rows * E, w->at.count[b], E);
    if (c->compressed) sq__recurrence_compress(w, layer, q);
    y = sq__relative_layer_feed(&layer->layer, w->tape, y);
    sq__scope_end(w->tape, scope, y, w->loss);
    if (c->continuous) sq__recurrence_write(w, i, x);   /* what later pieces read with a gradient stays */
    return y;
}

static bool begin(sq_recurrence_walk *w, const sq_var *x, const int32_t *lengths)
{
    const sq_recurrence *s = w->s;
    const sq_recurrence_config *c = &s->config;
    int64_t longest = 0;
    if (!w->carry) w->carry = sq__carry_on_tape(s->layout, x->shape[0], w->tape);
    w->positions = sq__tape_memory(w->tape, (size_t)c->layers * sizeof(sq_var *));
    if (!w->carry || !w->positions || !sq__segment_walk_begin(&w->at, w->tape, x, lengths, w->carry, c->segment, c->compressed || c->continuous)) return false;
    if (c->continuous && !sq__recurrence_continuous_begin(w)) return false;
    for (int64_t b = 0; b < w->at.B; b++) longest = sq__most(longest, w->at.seen[b]);
    w->places = sq__least(s->places, longest + w->at.T);
    for (int i = 0; i < c->layers; i++)
        w->positions[i] = sq__relative_positions(&s->layers[i].layer.attention, w->tape, s->waves + (s->places - w->places) * w->at.E, w->places, w->at.E);
    return w->positions[0];
}

/* Divergences are averaged over heads and queries, and added up over layers; errors of compressing are averaged over layers, too. */
static void finish_loss(sq_recurrence_walk *w, sq_var **auxiliary)
{
    const sq_recurrence_config *c = &w->s->config;
    if (!auxiliary || !w->loss || !w->loss_count) return;
    const double weight = c->continuous ? c->continuous->kl_weight : (double)c->reconstruction;
    sq_var *loss = sq__scale(w->tape, w->loss, (float)(weight / (double)w->loss_count));
    *auxiliary = *auxiliary ? sq__add(w->tape, *auxiliary, loss) : loss;
}

sq_var *sq__recurrence_run(const sq_recurrence *s, sq_tape *tape, sq_var *x, const int32_t *lengths, sq_carry *carry, sq_var **auxiliary)
{
    const sq_recurrence_config *c = &s->config;
    if (!x) return NULL;
    sq_recurrence_walk w = { .s = s, .tape = tape, .carry = carry, .records = x->needs_gradient,
                             .learns = auxiliary && c->compressed && c->compression == SQ_COMPRESSION_CONV && c->reconstruction > 0 };
    int64_t count = 0;
    sq_var **pieces = sq__tape_memory(tape, (size_t)x->shape[1] * sizeof *pieces);
    if (!pieces || !begin(&w, x, lengths)) return NULL;
    while (next_piece(&w)) {
        const sq_scope scope = sq__scope_begin(tape);
        sq_var *y = sq__segment_walk_piece(&w.at, x);
        for (int i = 0; i < c->layers && y; i++) y = run_layer(&w, i, y);
        if (!w.records || !c->continuous) sq__scope_end(tape, scope, y, w.loss);
        pieces[count++] = y;
    }
    sq_var *all = sq__segment_walk_join(&w.at, pieces, count);
    finish_loss(&w, auxiliary);
    return c->layer.pre_norm ? sq__norm_run(&s->norm, tape, all) : all;
}
