#include "nn/compression.h"

#include <string.h>

sq_status sq__compression_create(sq_compression *compression, sq_parameters *set, const char *prefix, sq_compression_kind kind, int64_t width, int64_t rate,
                                 sq_error *error)
{
    *compression = (sq_compression){ .kind = kind, .rate = rate };
    return kind == SQ_COMPRESSION_CONV ? sq__linear_create(&compression->conv, set, prefix, rate * width, width, true, error) : SQ_OK;
}

sq_var *sq__compression_run(const sq_compression *c, sq_tape *tape, sq_var *rows)
{
    if (!rows) return NULL;
    const int64_t B = rows->shape[0], E = rows->shape[2], blocks = rows->shape[1] / c->rate, used = blocks * c->rate * E;
    if (used < rows->shape[1] * E) {
        rows = sq__slice(tape, sq__reshape(tape, rows, 2, (const int64_t[]){ B, rows->shape[1] * E }), 0, used);
        if (!rows) return NULL;
    }
    if (c->kind == SQ_COMPRESSION_CONV)
        return sq__linear_run(&c->conv, tape, sq__reshape(tape, rows, 3, (const int64_t[]){ B, blocks, c->rate * E }));
    sq_var *grouped = sq__reshape(tape, rows, 3, (const int64_t[]){ B * blocks, c->rate, E });
    grouped = sq__pool(tape, grouped, NULL, c->kind == SQ_COMPRESSION_MEAN ? SQ_POOL_MEAN : SQ_POOL_MAX);
    return sq__reshape(tape, grouped, 3, (const int64_t[]){ B, blocks, E });
}

sq_var *sq__reconstruction(sq_tape *tape, const sq_reconstruction *r)
{
    if (!r->q) return NULL;
    float *q = sq__tape_memory(tape, (size_t)r->q->count * sizeof *q);
    if (!q) return NULL;
    memcpy(q, r->q->value, (size_t)r->q->count * sizeof *q);
    sq_var *weight = sq__tape_input(tape, 2, r->key_value->shape, r->key_value->value, false), *read[2];
    for (int i = 0; i < 2; i++) {
        const sq_relative_inputs inputs = { .q = sq__tape_input(tape, 3, r->q->shape, q, false), .kv = sq__linear(tape, i ? r->compressed : r->rows, weight, NULL),
                                            .heads = r->heads, .spans = i ? r->of_compressed : r->of_rows, .span_count = r->span_count };
        read[i] = sq__relative_attention(tape, &inputs);
    }
    sq_var *off = sq__subtract(tape, read[1], read[0]);
    return sq__sum(tape, sq__multiply(tape, off, off));
}
