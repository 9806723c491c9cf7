/* The tables of the data section, its check, its life. Reading YAML into it: config_yaml.c. */
#include "data/config.h"

#include <string.h>

#include "base/memory.h"
#include "data/config_lists.h"
#include "data/scan.h"
#include "data/schema.h"

static const char *const kinds[] = { "events", "text", NULL };
static const char *const formats[] = { "auto", "csv", "tsv", "jsonl", "folders", NULL };
static const char *const quotes[] = { "auto", "yes", "no", NULL };
static const char *const keeps[] = { "auto", "latest", "first", "pieces", NULL };
static const char *const targets[] = { "class", "number", "event-class", "event-bits", NULL };   /* sq_target_kind */
static const char *const broken[] = { "stop", "skip", NULL };
static const char *const bys[] = { "stratified", "client", "time", "files", NULL };
static const char *const transforms[] = { "standard", "log", "quantile", "none", NULL };

#define C sq_data_config
static const sq_field data_fields[] = {
    SQ_CHOICE(C, kind, "events", kinds, "what an example is: a client's events, or a text read as bytes"),
    SQ_CHOICE(C, format, "auto", formats, "form of the files; auto goes by their names"),
    SQ_TEXT(C, delimiter, "", "between cells: one character or tab; empty: by format"),
    SQ_CHOICE(C, quote, "auto", quotes, "are cells quoted? auto: in csv, not in tsv"),
    SQ_BOOL(C, header, "true", "the first line names the columns"),
    SQ_TEXT(C, id, "", "column of the client's id; may be left out for text"),
    SQ_INT(C, max_length, "1024", 1, 1 << 24, "longest sequence of an example"),
    SQ_CHOICE(C, keep, "auto", keeps, "which part of a longer one is kept; auto: the latest events, the first bytes; pieces: all of it, cut into several (auto for the next event of every event)"),
    SQ_CHOICE(C, on_broken_row, "stop", broken, "rows that cannot be used: stop with the first one's place, or skip and count them"),
    SQ_INT(C, limit, "0", 0, 1LL << 40, "most clients, for trying out; 0: all"),
    SQ_FIELDS_END
};
#undef C
static const sq_field time_fields[] = {
    SQ_TEXT(sq_data_time, column, "", "column of the event's time; empty: events are in file order"),
    SQ_TEXT(sq_data_time, format, "iso", "iso, unix, unix-ms, day-hms, number, or a strptime pattern"),
    SQ_BOOL(sq_data_time, gap, "true", "feature: time since the previous event"),
    SQ_BOOL(sq_data_time, age, "true", "feature: time until the client's last event"),
    SQ_CHOICE(sq_data_time, transform, "log", transforms, "of gap and age; quantile where most gaps are far below a second"),
    SQ_BOOL(sq_data_time, calendar, "true", "features: hour, weekday and day of the month as sine and cosine"),
    SQ_FIELDS_END
};
static const sq_field explode_fields[] = {
    SQ_TEXT(sq_data_explode, column, "", "column that holds a list of events; empty: a row is one event"),
    SQ_TEXT(sq_data_explode, separator, ";", "between the events of the list"),
    SQ_TEXT(sq_data_explode, field_separator, "/", "between the parts of an event"),
    SQ_FIELDS_END
};
static const sq_field text_fields[] = {
    SQ_TEXT(sq_data_text, column, "", "column of the text"),
    SQ_FIELDS_END
};
static const sq_field target_fields[] = {
    SQ_CHOICE(sq_data_target, kind, "class", targets, "what is asked: a class or a number of each client; a class or binary columns of events"),
    SQ_TEXT(sq_data_target, column, "", "column of the class or number; of event-class: empty where an event is not asked"),
    SQ_TEXT(sq_data_target, id, "", "column of the client's id in the label table; empty: as in the event table"),
    SQ_BOOL(sq_data_target, next, "false", "the class is the column's value in the next event: after the window (class), or of every event (event-class; text: the next byte)"),
    SQ_INT(sq_data_target, stride, "1", 1, 1 << 24, "class, next: events between the ends of two windows of a client"),
    SQ_INT(sq_data_target, history, "1", 1, 1 << 24, "class, next: least events in a window"),
    SQ_FIELDS_END
};
static const sq_field split_fields[] = {
    SQ_CHOICE(sq_data_split, by, "stratified", bys, "stratified by class, by a hash of the client's id, by time of the last event, or given files"),
    SQ_FLOAT(sq_data_split, validation, "0.1", 0.0, 0.9, "fraction of clients for validation"),
    SQ_FLOAT(sq_data_split, test, "0.2", 0.0, 0.9, "fraction of clients for the test"),
    SQ_INT(sq_data_split, seed, "1", 0, 1e15, "of the draw"),
    SQ_FIELDS_END
};
const sq_field sq__data_categorical_fields[] = {
    SQ_TEXT(sq_data_categorical, column, "", "name of the column"),
    SQ_INT(sq_data_categorical, vocabulary, "1000", 1, 1 << 24, "most words; the others are out of vocabulary"),
    SQ_INT(sq_data_categorical, minimum, "1", 1, 1 << 24, "least occurrences of a word in the training split"),
    SQ_FIELDS_END
};
const sq_field sq__data_numeric_fields[] = {
    SQ_TEXT(sq_data_numeric, column, "", "name of the column"),
    SQ_CHOICE(sq_data_numeric, transform, "standard", transforms, "standardised, log then standardised, rank, or as it is"),
    SQ_FIELDS_END
};

const sq_data_section sq__data_sections[] = {
    { "", data_fields, 0 },
    { "time", time_fields, offsetof(sq_data_config, time) },
    { "explode", explode_fields, offsetof(sq_data_config, explode) },
    { "text", text_fields, offsetof(sq_data_config, text) },
    { "target", target_fields, offsetof(sq_data_config, target) },
    { "split", split_fields, offsetof(sq_data_config, split) },
    { NULL, NULL, 0 },
};

const sq_data_list sq__data_lists[] = {
    { "files", offsetof(sq_data_config, files), SQ_LIST_FILES, "tables: a name, a list, or a pattern with *; beside the task file" },
    { "columns", offsetof(sq_data_config, columns), SQ_LIST_TEXTS, "names of the columns when there is no header" },
    { "missing", offsetof(sq_data_config, missing), SQ_LIST_TEXTS, "texts that mean an empty cell, such as NA" },
    { "categorical", offsetof(sq_data_config, categorical), SQ_LIST_CATEGORICAL, "columns of words: names, or maps with the keys below" },
    { "numeric", offsetof(sq_data_config, numeric), SQ_LIST_NUMERIC, "columns of numbers: names, or maps with the keys below" },
    { "explode.into", offsetof(sq_data_config, explode.into), SQ_LIST_TEXTS, "names of an event's parts" },
    { "target.columns", offsetof(sq_data_config, target.columns), SQ_LIST_TEXTS, "event-bits: columns of 0 and 1, all empty where an event is not asked" },
    { "target.file", offsetof(sq_data_config, target.file), SQ_LIST_FILES, "table of labels, joined by id; empty: the class is in the event table" },
    { "split.files.train", offsetof(sq_data_config, split.train_files), SQ_LIST_FILES, "by files: tables of the training split" },
    { "split.files.validation", offsetof(sq_data_config, split.validation_files), SQ_LIST_FILES, "tables of the validation split" },
    { "split.files.test", offsetof(sq_data_config, split.test_files), SQ_LIST_FILES, "tables of the test split" },
    { NULL, 0, SQ_LIST_TEXTS, NULL },
};

void sq__text_list_clear(sq_text_list *list)
{
    for (int i = 0; i < list->count; i++) sq__free(list->items[i]);
    sq__free(list->items);
    *list = (sq_text_list){ 0, NULL };
}

sq_status sq__data_config_create(sq_data_config **config, const char *folder, sq_error *error)
{
    sq_data_config *fresh = *config = sq__alloc_zero(sizeof *fresh);
    if (fresh) fresh->folder = sq__strdup(folder);
    if (!fresh || !fresh->folder) {
        sq__data_config_destroy(config);
        return sq__no_memory(error);
    }
    for (const sq_data_section *section = sq__data_sections; section->name; section++)
        sq__fields_defaults(section->fields, (char *)fresh + section->offset);
    return SQ_OK;
}

void sq__data_config_destroy(sq_data_config **config)
{
    if (!config || !*config) return;
    for (const sq_data_list *list = sq__data_lists; list->name; list++)
        if (list->kind == SQ_LIST_TEXTS || list->kind == SQ_LIST_FILES) sq__text_list_clear((sq_text_list *)((char *)*config + list->offset));
    sq__free((*config)->categorical);
    sq__free((*config)->numeric);
    sq__free((*config)->folder);
    sq__free((*config)->shown);
    sq__free(*config);
    *config = NULL;
}

/* ---- check ---- */

static sq_status check_name(const char *role, const char *name, sq_error *error)
{
    char begin[41] = "";
    if (strlen(name) < SQ_NAME_SIZE) return SQ_OK;
    memcpy(begin, name, sizeof begin - 1);
    return sq__fail(error, SQ_INVALID, "data: %s column '%s...' has a name longer than %d bytes", role, begin, SQ_NAME_SIZE - 1);
}

static sq_status check_inputs(const sq_data_config *config, sq_error *error)
{
    for (int i = 0; i < config->categorical_count; i++) {
        const char *name = config->categorical[i].column;
        SQ_TRY(check_name("categorical", name, error));
        for (int j = 0; j < i; j++)
            if (strcmp(name, config->categorical[j].column) == 0)
                return sq__fail(error, SQ_INVALID, "data: categorical column '%s' is given twice", name);
    }
    for (int i = 0; i < config->numeric_count; i++) {
        const char *name = config->numeric[i].column;
        SQ_TRY(check_name("numeric", name, error));
        if (strncmp(name, "time.", 5) == 0)
            return sq__fail(error, SQ_INVALID, "data: numeric column '%s': names that begin with 'time.' are those of the time features", name);
        for (int j = 0; j < i; j++)
            if (strcmp(name, config->numeric[j].column) == 0)
                return sq__fail(error, SQ_INVALID, "data: numeric column '%s' is given twice", name);
    }
    return SQ_OK;
}

static sq_status check_events(const sq_data_config *config, sq_error *error)
{
    sq_time_form form;
    char near[128];
    if (config->format == SQ_FORMAT_FOLDERS) return sq__fail(error, SQ_INVALID, "data: format 'folders' holds texts; expected kind: text");
    if (!config->id[0]) return sq__fail(error, SQ_INVALID, "data: 'id' is missing; expected the column of the client's id");
    if (config->time.column[0] && !sq__time_form(config->time.format, &form))
        return sq__fail(error, SQ_INVALID, "data: time.format is '%s'; expected iso, unix, unix-ms, day-hms, number or a pattern with %%%s",
                        config->time.format, sq__did_you_mean(config->time.format, sq__time_form_names, 5, near, sizeof near));
    if (config->split.by == SQ_BY_TIME && !config->time.column[0])
        return sq__fail(error, SQ_INVALID, "data: split.by is 'time', but time.column is not given");
    if (config->categorical_count + config->numeric_count == 0 && !config->time.column[0])
        return sq__fail(error, SQ_INVALID, "data: no 'categorical', 'numeric' or 'time' column is given; expected at least one");
    if (config->explode.column[0] && (!config->explode.separator[0] || config->explode.into.count == 0))
        return sq__fail(error, SQ_INVALID, "data: explode needs 'separator' and 'into', the names of an event's parts");
    if (config->explode.into.count > 1 && !config->explode.field_separator[0])
        return sq__fail(error, SQ_INVALID, "data: explode.into names %d parts, but field_separator is empty", config->explode.into.count);
    return check_inputs(config, error);
}

sq_status sq__data_config_check(const sq_data_config *config, sq_error *error)
{
    const sq_data_split *split = &config->split;
    bool folders = config->kind == SQ_DATA_TEXT && (config->format == SQ_FORMAT_FOLDERS || config->format == SQ_FORMAT_AUTO);
    if (split->by == SQ_BY_FILES) {
        if (!split->train_files.count) return sq__fail(error, SQ_INVALID, "data: split.by is 'files', but split.files.train is not given");
        if (config->files.count) return sq__fail(error, SQ_INVALID, "data: both 'files' and split.files are given; expected one");
    } else if (!config->files.count) {
        return sq__fail(error, SQ_INVALID, "data: 'files' is missing; expected the name of a table");
    }
    if (split->validation + split->test >= 1.0)
        return sq__fail(error, SQ_INVALID, "data: split.validation + split.test is %g; expected less than 1", split->validation + split->test);
    if (strlen(config->delimiter) > 1 && strcmp(config->delimiter, "tab") != 0)
        return sq__fail(error, SQ_INVALID, "data: delimiter is '%s'; expected one character or tab", config->delimiter);
    if (config->delimiter[0] && strchr("\"\n\r", config->delimiter[0]))
        return sq__fail(error, SQ_INVALID, "data: delimiter cannot be a quote or a line end");
    if (!config->header && !config->columns.count)
        return sq__fail(error, SQ_INVALID, "data: header is false; expected the names in 'columns'");
    if (config->kind == SQ_DATA_EVENTS) {
        SQ_TRY(check_events(config, error));
    } else {
        if (!config->text.column[0] && !folders)
            return sq__fail(error, SQ_INVALID, "data: 'text.column' is missing; expected the column of the text");
        if (split->by == SQ_BY_TIME) return sq__fail(error, SQ_INVALID, "data: split.by is 'time', but texts have none");
    }
    return sq__data_target_check(config, folders, error);
}
