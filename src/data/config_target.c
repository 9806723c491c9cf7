/* Is `target` complete and free of contradictions? */
#include <string.h>

#include "data/config_lists.h"
#include "data/schema.h"

static const char *kind_name(const sq_data_config *config)
{
    void *owner;
    return sq__config_field(config, "target.kind", &owner)->choices[config->target.kind];
}

bool sq__data_in_pieces(const sq_data_config *config)
{
    const sq_data_target *target = &config->target;
    return config->keep == SQ_KEEP_PIECES || (config->keep == SQ_KEEP_AUTO && target->kind == SQ_TARGET_EVENT_CLASS && target->next);
}

static bool is_input(const sq_data_config *config, const char *column)
{
    for (int i = 0; i < config->categorical_count; i++)
        if (strcmp(config->categorical[i].column, column) == 0) return true;
    for (int i = 0; i < config->numeric_count; i++)
        if (strcmp(config->numeric[i].column, column) == 0) return true;
    return false;
}

/* ---- the next event ---- */

static sq_status check_next(const sq_data_config *config, sq_error *error)
{
    const sq_data_target *target = &config->target;
    const bool each = target->kind == SQ_TARGET_EVENT_CLASS;
    if (!each && target->kind != SQ_TARGET_CLASS) return sq__fail(error, SQ_INVALID, "data: target.next gives classes; expected kind: class or event-class");
    if (each && (target->stride != 1 || target->history != 1))
        return sq__fail(error, SQ_INVALID, "data: target.stride and target.history are of windows; with kind: event-class every event is asked");
    if (target->file.count) return sq__fail(error, SQ_INVALID, "data: target.next needs its column in the same table, not target.file");
    if (config->kind == SQ_DATA_TEXT) {
        if (!each) return sq__fail(error, SQ_INVALID, "data: target.next of texts asks at every byte; expected kind: event-class");
        if (target->column[0]) return sq__fail(error, SQ_INVALID, "data: target.next of texts is the next byte; target.column has no meaning");
        return SQ_OK;
    }
    for (int i = 0; i < config->categorical_count; i++)
        if (strcmp(config->categorical[i].column, target->column) == 0) return SQ_OK;
    return sq__fail(error, SQ_INVALID, "data: target.next needs '%s' among the categorical columns", target->column);
}

/* ---- targets of events ---- */

static sq_status check_bits(const sq_data_config *config, sq_error *error)
{
    const sq_text_list *columns = &config->target.columns;
    if (config->target.column[0]) return sq__fail(error, SQ_INVALID, "data: kind: event-bits names its columns in target.columns, not target.column");
    if (columns->count < 1 || columns->count > SQ_MAX_BITS)
        return sq__fail(error, SQ_INVALID, "data: target.columns names %d columns; expected 1 to %d", columns->count, SQ_MAX_BITS);
    for (int i = 0; i < columns->count; i++) {
        if (strlen(columns->items[i]) >= SQ_NAME_SIZE) return sq__fail(error, SQ_INVALID, "data: a column of target.columns has a name longer than %d bytes", SQ_NAME_SIZE - 1);
        if (is_input(config, columns->items[i])) return sq__fail(error, SQ_INVALID, "data: target column '%s' is an input, too: the model would read the answer", columns->items[i]);
        for (int j = 0; j < i; j++)
            if (strcmp(columns->items[i], columns->items[j]) == 0) return sq__fail(error, SQ_INVALID, "data: target column '%s' is given twice", columns->items[i]);
    }
    return SQ_OK;
}

static sq_status check_events(const sq_data_config *config, sq_error *error)
{
    const sq_data_target *target = &config->target;
    if (config->kind == SQ_DATA_TEXT && !target->next)
        return sq__fail(error, SQ_INVALID, "data: target.kind is '%s', which needs events; of texts the next byte can be asked (kind: event-class, next: true)", kind_name(config));
    if (target->file.count) return sq__fail(error, SQ_INVALID, "data: target.kind is '%s', whose columns stand in the event table; target.file has no meaning", kind_name(config));
    if (target->kind == SQ_TARGET_EVENT_BITS) return check_bits(config, error);
    if (!target->next && target->column[0] && is_input(config, target->column))
        return sq__fail(error, SQ_INVALID, "data: target column '%s' is an input, too: the model would read the answer", target->column);
    return SQ_OK;
}

sq_status sq__data_target_check(const sq_data_config *config, bool folders, sq_error *error)
{
    const sq_data_target *target = &config->target;
    const bool each = sq__target_per_event(target->kind);
    const bool named = target->column[0] || target->kind == SQ_TARGET_EVENT_BITS || (target->next && config->kind == SQ_DATA_TEXT);
    if (!named && !folders)   /* a folder of texts names its columns itself: seen when it is read */
        return sq__fail(error, SQ_INVALID, "data: 'target.column' is missing; expected the column of the %s", target->kind == SQ_TARGET_NUMBER ? "number" : "class");
    if (target->columns.count && target->kind != SQ_TARGET_EVENT_BITS)
        return sq__fail(error, SQ_INVALID, "data: target.columns is of kind: event-bits; here the kind is '%s'", kind_name(config));
    if (config->keep == SQ_KEEP_PIECES && !each)
        return sq__fail(error, SQ_INVALID, "data: keep is 'pieces', which needs a target per event; here the kind is '%s'", kind_name(config));
    if (target->next) SQ_TRY(check_next(config, error));
    if (each) SQ_TRY(check_events(config, error));
    return SQ_OK;
}
