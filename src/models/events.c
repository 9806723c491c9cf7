#include "models/events.h"

static sq_status create_tables(sq_events *events, sq_parameters *set, const sq_schema *schema, int64_t width, sq_error *error)
{
    for (int i = 0; i < schema->category_count; i++) {
        char name[96];
        snprintf(name, sizeof name, "embedding.category.%.68s", schema->categories[i].name);
        SQ_TRY(sq__embedding_create(&events->tables[i], set, name, schema->categories[i].count + 1, width, error));
    }
    if (schema->number_count) SQ_TRY(sq__linear_create(&events->numbers, set, "embedding.numbers", schema->number_count, width, true, error));
    return SQ_OK;
}

sq_status sq__events_create(sq_events *events, sq_parameters *set, const sq_schema *schema, int64_t width, sq_positions positions,
                            float dropout, sq_error *error)
{
    *events = (sq_events){ .category_count = schema->category_count, .number_count = schema->number_count, .positions = positions == SQ_POSITIONS_LEARNED || positions == SQ_POSITIONS_SINUSOIDAL,
                           .axial = positions == SQ_POSITIONS_AXIAL, .max_length = schema->max_length, .dropout = dropout };
    if (schema->category_count < 0 || schema->number_count < 0 || schema->category_count + schema->number_count == 0)
        return sq__fail(error, SQ_INVALID, "the data has no columns to learn from");
    if (schema->max_length < 1) return sq__fail(error, SQ_INVALID, "max_length is %lld; expected at least 1", (long long)schema->max_length);
    events->tables = sq__alloc_array((size_t)schema->category_count + 1, sizeof *events->tables);
    if (!events->tables) return sq__no_memory(error);
    SQ_TRY(create_tables(events, set, schema, width, error));
    if (events->axial) return sq__axial_positions_create(&events->grid, set, "embedding.positions", schema->max_length, width, error);
    if (!events->positions) return SQ_OK;
    return sq__positions_create(&events->tables[schema->category_count], set, "embedding.positions", positions == SQ_POSITIONS_LEARNED,
                                schema->max_length, width, error);
}

void sq__events_clear(sq_events *events)
{
    sq__free(events->tables);
    events->tables = NULL;
}

/* 0, 1, ... in every row, -1 beyond its length */
static const int32_t *position_ids(sq_tape *tape, const sq_batch *batch)
{
    int32_t *ids = sq__tape_memory(tape, (size_t)(batch->B * batch->T) * sizeof *ids);
    for (int64_t i = 0; ids && i < batch->B * batch->T; i++) ids[i] = i % batch->T < batch->lengths[i / batch->T] ? (int32_t)(i % batch->T) : -1;
    return ids;
}

static sq_var *look_up(const sq_events *events, sq_tape *tape, const sq_batch *batch)
{
    const int count = events->category_count + events->positions;
    const int64_t shape[2] = { batch->B, batch->T };
    if (count == 0) return NULL;
    sq_var **tables = sq__tape_memory(tape, (size_t)count * sizeof *tables);
    const int32_t **ids = sq__tape_memory(tape, (size_t)count * sizeof *ids);
    if (!tables || !ids) return NULL;
    for (int i = 0; i < count; i++) {
        tables[i] = sq__parameters_var(events->tables[i].set, events->tables[i].weight, tape);
        ids[i] = i < events->category_count ? batch->categories[i] : position_ids(tape, batch);
    }
    return sq__embedding_sum(tape, tables, ids, count, 2, shape);
}

static sq_status check_batch(const sq_events *events, const sq_batch *batch, sq_error *error)
{
    if (batch->category_count != events->category_count || batch->number_count != events->number_count)
        return sq__fail(error, SQ_INVALID, "the batch has %d category and %d number columns; the model was made for %d and %d", batch->category_count,
                        batch->number_count, events->category_count, events->number_count);
    if (batch->B < 1 || batch->T < 1 || batch->T > events->max_length)
        return sq__fail(error, SQ_INVALID, "the batch is %lld sequences of %lld events; expected at least 1 and at most max_length = %lld events",
                        (long long)batch->B, (long long)batch->T, (long long)events->max_length);
    return SQ_OK;
}

sq_var *sq__events_run(const sq_events *events, sq_tape *tape, const sq_batch *batch)
{
    sq_error error;
    if (check_batch(events, batch, &error) != SQ_OK) {
        sq__tape_fail(tape, &error);
        return NULL;
    }
    sq_scope scope = sq__scope_begin(tape);
    sq_var *x = look_up(events, tape, batch);
    if (events->axial) {
        const int32_t *ids = position_ids(tape, batch);
        sq_var *positions = ids ? sq__axial_positions_run(&events->grid, tape, ids, 2, (const int64_t[]){ batch->B, batch->T }) : NULL;
        x = x && positions ? sq__add(tape, x, positions) : positions;
    }
    if (events->number_count) {
        sq_var *numbers = sq__tape_input(tape, 3, (int64_t[]){ batch->B, batch->T, batch->number_count }, batch->numbers, false);
        x = sq__linear_run_residual(&events->numbers, tape, numbers, 0, x);
    }
    x = sq__dropout(tape, x, events->dropout);
    sq__scope_end(tape, scope, x, NULL);
    return x;
}
