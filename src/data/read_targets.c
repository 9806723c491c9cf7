/* Targets that stand in the event table: a class or bits of each event that asks. */
#include "data/reading.h"

int sq__target_words(const sq_data_target *target)
{
    if (!sq__target_per_event(target->kind) || target->next) return 0;
    return target->kind == SQ_TARGET_EVENT_CLASS ? 1 : 1 + (target->columns.count + 31) / 32;
}

/* The bits of an event: 0 or 1 each, or all empty. */
static bool read_bits(sq_reading *r, int32_t *targets)
{
    const char *const *names = (const char *const *)r->config->target.columns.items;
    int given = 0;
    for (int i = 0; i < r->target_count; i++) {
        const sq_csv_cell *cell = sq__reading_cell(r, r->targets[i]);
        double value;
        const int bound = r->targets[i].bound >= 0 ? r->targets[i].bound : r->list;
        if (!cell->text || sq__cell_missing(r->config, cell->text, cell->size)) {
            if (given) {
                sq__reading_broken(r, bound, "a bit of the target is empty and others of the event are not", NULL, NULL);
                return false;
            }
            continue;
        }
        if (!sq__scan_number(cell->text, cell->size, &value) || (value != 0 && value != 1) || given < i) {
            sq__reading_broken(r, bound, names[i], cell, given < i ? "nothing, as the bits before it" : "0 or 1");
            return false;
        }
        if (value == 1) targets[1 + i / 32] |= (int32_t)((uint32_t)1 << i % 32);
        given++;
    }
    targets[0] = given > 0;
    return true;
}

sq_status sq__read_targets(sq_reading *r, char *event, bool *good, sq_error *error)
{
    int32_t *targets = sq__event_targets(&r->raw->store.layout, event);
    *good = true;
    if (r->target_count == 0) return SQ_OK;
    if (r->config->target.kind == SQ_TARGET_EVENT_BITS) {
        *good = read_bits(r, targets);
        return SQ_OK;
    }
    const sq_csv_cell *cell = sq__reading_cell(r, r->targets[0]);
    targets[0] = -1;
    if (!cell->text || sq__cell_missing(r->config, cell->text, cell->size)) return SQ_OK;
    return sq__intern_add(r->raw->labels.texts, cell->text, cell->size, &targets[0]) ? SQ_OK : sq__no_memory(error);
}
