#include "nn/recurrence.h"

#include <string.h>

/* ---- creation ---- */

static sq_status check(const sq_recurrence_config *c, const char *prefix, sq_error *error)
{
    if (c->compressed && (c->memory % c->rate || c->segment % c->rate))
        return sq__fail(error, SQ_INVALID, "%s: compression_rate %lld does not divide memory %lld and segment %lld", prefix, (long long)c->rate, (long long)c->memory,
                        (long long)c->segment);
    return SQ_OK;
}

static sq_status create_layer(sq_recurrence *s, int i, sq_parameters *set, sq_carry_layout *layout, const char *prefix, sq_error *error)
{
    const sq_recurrence_config *c = &s->config;
    const int64_t E = c->layer.width;
    sq_recurrent_layer *layer = &s->layers[i];
    char name[96];
    snprintf(name, sizeof name, "%.60s.%d", prefix, i);
    SQ_TRY(sq__relative_layer_create(&layer->layer, set, name, &c->layer, i ? &s->layers[0].layer : NULL, error));
    SQ_TRY(sq__carry_add(layout, name, "memory", 2, (const int64_t[]){ s->kept, E }, &layer->memory, error));
    if (!c->compressed) return SQ_OK;
    SQ_TRY(sq__carry_add(layout, name, "compressed", 2, (const int64_t[]){ c->compressed, E }, &layer->compressed, error));
    snprintf(name, sizeof name, "%.60s.%d.compression", prefix, i);
    return sq__compression_create(&layer->compression, set, name, c->compression, E, c->rate, error);
}

sq_status sq__recurrence_create(sq_recurrence *s, sq_parameters *set, sq_carry_layout *layout, const char *prefix, const sq_recurrence_config *c, sq_error *error)
{
    const int64_t E = c->layer.width;
    char name[96];
    *s = (sq_recurrence){ .config = *c, .layout = layout };
    SQ_TRY(check(c, prefix, error));
    s->kept = c->memory + (c->compressed ? c->segment : 0);
    s->places = c->compressed ? c->compressed + c->memory + c->segment : c->memory + 1;
    s->layers = sq__alloc_array((size_t)c->layers, sizeof *s->layers);
    s->waves = sq__alloc_array((size_t)s->places, (size_t)E * sizeof *s->waves);
    if (!s->layers || !s->waves) return sq__no_memory(error);
    sq__relative_waves(s->waves, s->places, E, 0);
    for (int i = 0; i < c->layers; i++) SQ_TRY(create_layer(s, i, set, layout, prefix, error));
    snprintf(name, sizeof name, "%.60s.norm", prefix);
    return c->layer.pre_norm ? sq__norm_create(&s->norm, set, name, E, c->layer.eps, error) : SQ_OK;
}

void sq__recurrence_clear(sq_recurrence *s)
{
    sq__free(s->layers);
    sq__free(s->waves);
    s->layers = NULL;
    s->waves = NULL;
}

/* ---- a walk over the segments of one run ---- */

typedef struct walk {
    const sq_recurrence *s;
    sq_tape *tape;
    sq_carry *carry;
    const int32_t *lengths;
    int64_t B, T, E, places;
    int64_t from, rows;                /* of the piece at hand: where it begins; its length */
    int64_t *seen, *count;             /* [B] events of the stream before the piece; of it in the piece */
    int64_t past, blocks;              /* rows of memory and of compressed memory before the piece's own */
    sq_relative_span *spans;           /* [B] */
    sq_var **positions;                /* [layers] */
    bool learns;                       /* the compression's loss is wanted */
    sq_var *error;                     /* its sum so far, over error_count numbers */
    int64_t error_count;
} walk;

static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* Rows of memory, and of compressed memory, that stream b sees in the piece. */
static int64_t rows_seen(const walk *w, int64_t b)
{
    const sq_recurrence_config *c = &w->s->config;
    return least(w->seen[b], c->memory + (c->compressed ? w->seen[b] % c->segment : 0));
}

static int64_t blocks_seen(const walk *w, int64_t b)
{
    const sq_recurrence_config *c = &w->s->config;
    return c->compressed ? least(c->compressed, (w->seen[b] - rows_seen(w, b)) / c->rate) : 0;
}

/* The next piece: with compressed memory it ends where the segment of some stream ends. */
static bool next_piece(walk *w)
{
    const sq_recurrence_config *c = &w->s->config;
    w->from += w->rows;
    w->rows = w->T - w->from;
    if (w->rows <= 0 || sq__tape_status(w->tape, NULL) != SQ_OK) return false;
    bool any = false;
    for (int64_t b = 0; b < w->B; b++) {
        if (w->lengths[b] <= w->from) continue;
        w->rows = least(w->rows, c->compressed ? c->segment - w->seen[b] % c->segment : c->segment);
        any = true;
    }
    w->spans = sq__tape_memory(w->tape, (size_t)w->B * sizeof *w->spans);
    w->past = w->blocks = 0;
    for (int64_t b = 0; b < w->B; b++) {
        w->count[b] = most(0, least(w->rows, w->lengths[b] - w->from));
        if (!w->count[b] && any) continue;
        w->past = most(w->past, rows_seen(w, b));
        w->blocks = most(w->blocks, blocks_seen(w, b));
    }
    for (int64_t b = 0; w->spans && b < w->B; b++) {
        const int64_t rows = w->count[b] ? rows_seen(w, b) : 0, blocks = w->count[b] ? blocks_seen(w, b) : 0;
        w->spans[b] = (sq_relative_span){ .entry = b, .count = w->count[b], .from = { w->blocks - blocks, w->blocks + w->past - rows },
                                          .keys = { blocks, rows + w->count[b] }, .origin = blocks + rows };
    }
    return w->spans;
}

/* Rows pushed into a memory of one stream [capacity, E], the newest at its end. */
static void push(float *memory, int64_t capacity, const float *rows, int64_t count, int64_t E)
{
    if (count > capacity) {
        rows += (count - capacity) * E;
        count = capacity;
    }
    if (!count) return;
    memmove(memory, memory + count * E, (size_t)((capacity - count) * E) * sizeof *memory);
    memcpy(memory + (capacity - count) * E, rows, (size_t)(count * E) * sizeof *memory);
}

/* Rows of the memory that stream b lets go at the end of the piece: a segment's worth, fewer while the stream is young. */
static int64_t leaving(const walk *w, int64_t b)
{
    const sq_recurrence_config *c = &w->s->config;
    const int64_t end = w->seen[b] + w->count[b];
    if (!w->count[b] || end % c->segment) return 0;
    return most(0, least(c->segment, end - c->memory));
}

static void learn(walk *w, const sq_recurrent_layer *layer, sq_var *q, sq_var *old, sq_var *new)
{
    const sq_recurrence_config *c = &w->s->config;
    const sq_norm *norm = &layer->layer.attention_norm;
    const sq_parameters *set = norm->set;
    const int64_t blocks = c->segment / c->rate;
    sq_relative_span *of[2];
    for (int i = 0; i < 2; i++) {
        of[i] = sq__tape_memory(w->tape, (size_t)w->B * sizeof *of[i]);
        for (int64_t b = 0; of[i] && b < w->B; b++) {
            const int64_t keys = leaving(w, b) / (i ? c->rate : 1);
            of[i][b] = (sq_relative_span){ .entry = b, .count = keys ? w->count[b] : 0, .from = { (i ? blocks : c->segment) - keys }, .keys = { keys } };
            if (i) w->error_count += of[i][b].count * q->shape[2];
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
                                  .heads = c->layer.heads, .of_rows = of[0], .of_compressed = of[1], .span_count = w->B };
    sq_var *error = sq__reconstruction(w->tape, &r);
    w->error = w->error ? sq__add(w->tape, w->error, error) : error;
}

/* At the end of a segment: what leaves the memory, its first rows, is compressed. */
static void compress(walk *w, const sq_recurrent_layer *layer, sq_var *q)
{
    const sq_recurrence_config *c = &w->s->config;
    const int64_t blocks = c->segment / c->rate, E = w->E;
    static const float nothing = 0;
    bool any = false;
    for (int64_t b = 0; b < w->B; b++) any |= leaving(w, b) > 0;
    if (!any) return;
    sq_var *none = sq__tape_input(w->tape, 3, (const int64_t[]){ w->B, 0, E }, &nothing, false);
    sq_var *old = sq__prepend_rows(w->tape, none, &(sq_row_part){ w->carry->values[layer->memory], c->segment, w->s->kept * E }, 1);
    sq_var *new = sq__compression_run(&layer->compression, w->tape, old);
    for (int64_t b = 0; new && b < w->B; b++) {
        const int64_t count = leaving(w, b) / c->rate;
        push(w->carry->values[layer->compressed] + b * c->compressed * E, c->compressed, new->value + ((b + 1) * blocks - count) * E, count, E);
    }
    if (new && q && w->learns) learn(w, layer, q, old, new);
}

static sq_var *run_layer(walk *w, int i, sq_var *x)
{
    const sq_recurrence *s = w->s;
    const sq_recurrence_config *c = &s->config;
    const sq_recurrent_layer *layer = &s->layers[i];
    const int64_t E = w->E;
    float *memory = w->carry->values[layer->memory];
    sq_var *rows = x, *q = NULL;
    if (w->past || w->blocks) {
        sq_row_part parts[2] = { { .rows = w->blocks, .stride = c->compressed * E }, { memory + (s->kept - w->past) * E, w->past, s->kept * E } };
        if (w->blocks) parts[0].at = w->carry->values[layer->compressed] + (c->compressed - w->blocks) * E;
        rows = sq__prepend_rows(w->tape, x, parts, 2);
    }
    const sq_relative_attention_inputs inputs = { .x = x, .rows = rows, .positions = w->positions[i], .window = c->compressed ? 0 : c->memory + 1,
                                                  .spans = w->spans, .span_count = w->B, .query = &q };
    sq_var *y = sq__relative_layer_attend(&layer->layer, w->tape, &inputs);
    if (!y) return NULL;
    for (int64_t b = 0; b < w->B; b++) push(memory + b * s->kept * E, s->kept, x->value + b * w->rows * E, w->count[b], E);
    if (c->compressed) compress(w, layer, q);
    return sq__relative_layer_feed(&layer->layer, w->tape, y);
}

/* Rows [from, from + rows) of every entry. */
static sq_var *piece_of(const walk *w, sq_var *x)
{
    if (w->rows == w->T) return x;
    sq_var *flat = sq__reshape(w->tape, x, 2, (const int64_t[]){ w->B, w->T * w->E });
    flat = sq__slice(w->tape, flat, w->from * w->E, w->rows * w->E);
    return flat ? sq__reshape(w->tape, flat, 3, (const int64_t[]){ w->B, w->rows, w->E }) : NULL;
}

static sq_var *joined(const walk *w, sq_var **pieces, int count)
{
    if (count == 1 || sq__tape_status(w->tape, NULL) != SQ_OK) return count ? pieces[0] : NULL;
    for (int i = 0; i < count; i++) pieces[i] = sq__reshape(w->tape, pieces[i], 2, (const int64_t[]){ w->B, pieces[i] ? pieces[i]->count / w->B : 0 });
    sq_var *all = sq__concatenate(w->tape, pieces, count);
    return all ? sq__reshape(w->tape, all, 3, (const int64_t[]){ w->B, w->T, w->E }) : NULL;
}

static bool begin(walk *w)
{
    const sq_recurrence *s = w->s;
    const sq_recurrence_config *c = &s->config;
    int64_t longest = 0;
    if (!w->carry) w->carry = sq__carry_on_tape(s->layout, w->B, w->tape);
    w->seen = sq__tape_memory(w->tape, (size_t)w->B * sizeof *w->seen);
    w->count = sq__tape_memory(w->tape, (size_t)w->B * sizeof *w->count);
    w->positions = sq__tape_memory(w->tape, (size_t)c->layers * sizeof(sq_var *));
    if (!w->carry || !w->seen || !w->count || !w->positions) return false;
    for (int64_t b = 0; b < w->B; b++) {
        w->seen[b] = w->carry->seen[b];
        longest = most(longest, w->seen[b]);
    }
    w->places = least(s->places, longest + w->T);
    for (int i = 0; i < c->layers; i++)
        w->positions[i] = sq__relative_positions(&s->layers[i].layer.attention, w->tape, s->waves + (s->places - w->places) * w->E, w->places, w->E);
    return w->positions[0];
}

sq_var *sq__recurrence_run(const sq_recurrence *s, sq_tape *tape, sq_var *x, const int32_t *lengths, sq_carry *carry, sq_var **auxiliary)
{
    const sq_recurrence_config *c = &s->config;
    if (!x) return NULL;
    walk w = { .s = s, .tape = tape, .carry = carry, .lengths = lengths, .B = x->shape[0], .T = x->shape[1], .E = x->shape[2],
               .learns = auxiliary && c->compressed && c->compression == SQ_COMPRESSION_CONV && c->reconstruction > 0 };
    int count = 0;
    sq_var **pieces = sq__tape_memory(tape, (size_t)w.T * sizeof *pieces);
    if (!pieces || !begin(&w)) return NULL;
    while (next_piece(&w)) {
        const sq_scope scope = sq__scope_begin(tape);
        sq_var *y = piece_of(&w, x);
        for (int i = 0; i < c->layers && y; i++) y = run_layer(&w, i, y);
        for (int64_t b = 0; b < w.B; b++) w.seen[b] += w.count[b];
        sq__scope_end(tape, scope, y, w.error);
        pieces[count++] = y;
    }
    sq_var *all = joined(&w, pieces, count);
    if (w.error && w.error_count) {
        sq_var *loss = sq__scale(tape, w.error, c->reconstruction / (float)w.error_count);
        *auxiliary = *auxiliary ? sq__add(tape, *auxiliary, loss) : loss;
    }
    return c->layer.pre_norm ? sq__norm_run(&s->norm, tape, all) : all;
}
