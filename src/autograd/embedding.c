/* embedding: the sum over columns c of tables[c][ids[c]]; an id below 0 adds nothing. */
#include "autograd/ops.h"

typedef struct attributes {
    int rank;
    int64_t shape[SQ_MAX_RANK];
    const int32_t *const *ids;         /* [count] of [positions] */
} attributes;

typedef struct lookup { const sq_node *node; const attributes *a; int64_t positions, width; float *const *gradients; } lookup;

static sq_status embedding_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    const attributes *a = node->attributes;
    char text[64], other[64];
    int64_t positions = 1;
    if (a->rank < 1 || a->rank >= SQ_MAX_RANK) return sq__fail(error, SQ_INVALID, "the ids have %d axes; expected 1 to %d", a->rank, SQ_MAX_RANK - 1);
    for (int i = 0; i < a->rank; i++) positions *= a->shape[i];
    for (int c = 0; c < node->input_count; c++) {
        const sq_var *table = node->inputs[c], *first = node->inputs[0];
        if (!table || table->rank != 2 || table->shape[1] != first->shape[1] || !table->count)
            return sq__fail(error, SQ_INVALID, "table %d is %s; expected [words, width] as wide as %s", c,
                            table ? sq__shape_text(table, text) : "absent", sq__shape_text(first, other));
        for (int64_t i = 0; i < positions; i++)
            if (a->ids[c][i] >= table->shape[0])
                return sq__fail(error, SQ_INVALID, "id %d of column %d is past its table of %lld words", a->ids[c][i], c, (long long)table->shape[0]);
    }
    shapes->rank = a->rank + 1;
    memcpy(shapes->at, a->shape, (size_t)a->rank * sizeof *a->shape);
    shapes->at[a->rank] = node->inputs[0]->shape[1];
    return SQ_OK;
}

static void look_up_rows(void *context, int64_t from, int64_t to)
{
    const lookup *c = context;
    for (int64_t row = from; row < to; row++) {
        float *y = c->node->outputs[0]->value + row * c->width;
        bool empty = true;
        for (int column = 0; column < c->node->input_count; column++) {
            int32_t id = c->a->ids[column][row];
            if (id < 0) continue;
            const float *entry = c->node->inputs[column]->value + id * c->width;
            if (empty) memcpy(y, entry, (size_t)c->width * sizeof(float));
            else sq__kernels()->axpy(y, 1.0f, entry, c->width);
            empty = false;
        }
        if (empty) memset(y, 0, (size_t)c->width * sizeof(float));
    }
}

/* Over pieces of the width: every word's gradient is summed in the order of positions. */
static void scatter_columns(void *context, int64_t from, int64_t to)
{
    const lookup *c = context;
    for (int column = 0; column < c->node->input_count; column++) {
        if (!c->gradients[column]) continue;
        for (int64_t row = 0; row < c->positions; row++) {
            int32_t id = c->a->ids[column][row];
            if (id >= 0)
                sq__kernels()->axpy(c->gradients[column] + id * c->width + from, 1.0f,
                                    c->node->outputs[0]->gradient + row * c->width + from, to - from);
        }
    }
}

static lookup lookup_of(const sq_node *node)
{
    return (lookup){ .node = node, .a = node->attributes, .positions = sq__rows(node->outputs[0]), .width = sq__last(node->outputs[0]) };
}

static void embedding_forward(sq_tape *tape, sq_node *node)
{
    (void)tape;
    lookup c = lookup_of(node);
    sq__for_range(c.positions, SQ_ROWS, look_up_rows, &c);
}

static void embedding_vjp(sq_tape *tape, sq_node *node)
{
    lookup c = lookup_of(node);
    float **gradients = sq__tape_memory(tape, (size_t)node->input_count * sizeof *gradients);
    for (int i = 0; gradients && i < node->input_count; i++) gradients[i] = sq__gradient_added(tape, node->inputs[i]);
    if (tape->status != SQ_OK) return;
    c.gradients = gradients;
    sq__for_range(c.width, 64, scatter_columns, &c);
}

const sq_op sq__op_embedding = { "embedding", 0, false, embedding_shape, embedding_forward, embedding_vjp };

sq_var *sq__embedding_sum(sq_tape *tape, sq_var *const *tables, const int32_t *const *ids, int count, int rank, const int64_t *shape)
{
    attributes a = { .rank = rank };
    const int32_t **kept = sq__tape_memory(tape, (size_t)count * sizeof *kept);
    if (!kept) return NULL;
    memcpy(kept, ids, (size_t)count * sizeof *kept);
    a.ids = kept;
    for (int i = 0; i < rank && i < SQ_MAX_RANK; i++) a.shape[i] = shape[i];
    return sq__apply1(tape, &sq__op_embedding, tables, count, &a, sizeof a);
}

sq_var *sq__embedding(sq_tape *tape, sq_var *table, const int32_t *ids, int rank, const int64_t *shape)
{
    return sq__embedding_sum(tape, &table, &ids, 1, rank, shape);
}
