/* The `data` section of a task file: which files, the role of each column, split, what to do with broken rows.
 * Depends on base, io. Every scalar key is a row of a table (config.c), so that YAML keys, `set` and help say the same.
 *
 *   data:
 *     kind: events                    # events | text
 *     files: transactions*.csv.xz     # a name, a list of names, or a pattern; relative to the task file
 *     format: auto                    # auto (by name) | csv | tsv | jsonl | folders (text: folder/class/document.txt)
 *     delimiter: ""                   # one character, or tab; "": by format
 *     quote: auto                     # auto (csv yes, tsv no) | yes | no
 *     header: true
 *     columns: []                     # the names when header is false
 *     missing: []                     # texts that mean an empty cell, such as NA
 *     id: client                      # text: may be left out, then the row number is the id
 *     time: {column: date, format: iso, gap: true, age: true, calendar: true, transform: log}
 *                                     # format: iso | unix | unix-ms | day-hms | number | a strptime pattern such as "%d/%m/%y %H:%M";
 *                                     # transform: of gap and age, as for numeric
 *     categorical: [mcc, {column: shop, vocabulary: 1000, minimum: 1}]
 *     numeric: [{column: amount, transform: log}]        # standard | log | quantile | none
 *     explode: {column: list, separator: ";", field_separator: "/", into: [a, b]}   # one row holds a list of events
 *     text: {column: review}
 *     target: {column: gender, file: labels.csv, id: client}    # file "": in the same table; id "": named as above
 *                                     # kind: class | number: one per client
 *                                     # or {column: type, next: true, stride: 1, history: 1}: the next event's type as class, a window an example
 *                                     # or {kind: event-class, column: answer}: a class at every event whose cell is not empty
 *                                     # or {kind: event-class, column: type, next: true}: at every event the next one's type (text: byte)
 *                                     # or {kind: event-bits, columns: [a, b]}: 0 or 1 at every event whose cells are not empty
 *     max_length: 1024
 *     keep: auto                      # auto (events: latest, text: first) | latest | first | pieces (all of it, cut; targets per event)
 *     split: {by: stratified, validation: 0.1, test: 0.2, seed: 1, files: {train: [], validation: [], test: []}}
 *                                     # by: stratified | client | time | files
 *     on_broken_row: stop             # stop | skip
 *     limit: 0                        # most clients, for trying out; 0: all
 */
#ifndef SQ_DATA_CONFIG_H
#define SQ_DATA_CONFIG_H

#include "base/fields.h"
#include "io/yaml.h"
#include "subquad/task.h"

typedef enum sq_data_kind { SQ_DATA_EVENTS, SQ_DATA_TEXT } sq_data_kind;
typedef enum sq_data_format { SQ_FORMAT_AUTO, SQ_FORMAT_CSV, SQ_FORMAT_TSV, SQ_FORMAT_JSONL, SQ_FORMAT_FOLDERS } sq_data_format;
typedef enum sq_data_quote { SQ_QUOTE_AUTO, SQ_QUOTE_YES, SQ_QUOTE_NO } sq_data_quote;
typedef enum sq_data_keep { SQ_KEEP_AUTO, SQ_KEEP_LATEST, SQ_KEEP_FIRST, SQ_KEEP_PIECES } sq_data_keep;
typedef enum sq_data_by { SQ_BY_STRATIFIED, SQ_BY_CLIENT, SQ_BY_TIME, SQ_BY_FILES } sq_data_by;
typedef enum sq_data_broken { SQ_BROKEN_STOP, SQ_BROKEN_SKIP } sq_data_broken;

typedef struct sq_text_list { int count; char **items; } sq_text_list;

typedef struct sq_data_categorical { char column[SQ_TEXT_FIELD_SIZE]; int64_t vocabulary, minimum; } sq_data_categorical;
typedef struct sq_data_numeric { char column[SQ_TEXT_FIELD_SIZE]; int transform; } sq_data_numeric;   /* sq_transform */
typedef struct sq_data_time { char column[SQ_TEXT_FIELD_SIZE], format[SQ_TEXT_FIELD_SIZE]; bool gap, age, calendar; int transform; } sq_data_time;
typedef struct sq_data_explode {
    char column[SQ_TEXT_FIELD_SIZE], separator[SQ_TEXT_FIELD_SIZE], field_separator[SQ_TEXT_FIELD_SIZE];
    sq_text_list into;
} sq_data_explode;
typedef struct sq_data_text { char column[SQ_TEXT_FIELD_SIZE]; } sq_data_text;
typedef struct sq_data_target {
    int kind;                          /* sq_target_kind */
    char column[SQ_TEXT_FIELD_SIZE], id[SQ_TEXT_FIELD_SIZE];
    sq_text_list file, columns;        /* columns: of event-bits */
    bool next;
    int64_t stride, history;           /* class, next: a window ends before every stride-th event, with at least `history` events in it */
} sq_data_target;
typedef struct sq_data_split {
    int by;                            /* sq_data_by */
    double validation, test;           /* fractions of the clients */
    int64_t seed;
    sq_text_list train_files, validation_files, test_files;
} sq_data_split;

typedef struct sq_data_config {
    int kind, format, quote, keep, on_broken_row;      /* enumerations above */
    bool header;
    char delimiter[SQ_TEXT_FIELD_SIZE], id[SQ_TEXT_FIELD_SIZE];
    int64_t max_length, limit;
    sq_text_list files, columns, missing;
    int categorical_count, numeric_count;
    sq_data_categorical *categorical;
    sq_data_numeric *numeric;
    sq_data_time time;
    sq_data_explode explode;
    sq_data_text text;
    sq_data_target target;
    sq_data_split split;
    char *folder;                      /* relative names of files begin here */
    char *shown;                       /* what the last sq__data_config_get returned */
} sq_data_config;

/* node: the value of `data` in document; folder: that of the task file. Names of files become absolute. */
sq_status sq__data_config_load(sq_data_config **config, const sq_yaml_document *document, const sq_yaml *node, const char *folder,
                               sq_error *error);
/* Is it complete and free of contradictions? Called by load and again by sq__dataset_load (after sets). */
sq_status sq__data_config_check(const sq_data_config *config, sq_error *error);
static inline bool sq__target_per_event(int kind) { return kind == SQ_TARGET_EVENT_CLASS || kind == SQ_TARGET_EVENT_BITS; }
/* Whether sequences longer than max_length are cut into pieces that follow each other, so that every event is asked. */
bool sq__data_in_pieces(const sq_data_config *config);
/* path within the section: "max_length", "split.seed", "time.format", "files"; a list is given in YAML: "[a, b]". */
sq_status sq__data_config_set(sq_data_config *config, const char *path, const char *value, sq_error *error);
const char *sq__data_config_get(sq_data_config *config, const char *path);   /* NULL if unknown; valid until the next call */
/* The complete section with every default filled in, each line indented by two, to stand below "data:". sq__free. */
sq_status sq__data_config_yaml(const sq_data_config *config, char **text, sq_error *error);
void sq__data_config_destroy(sq_data_config **config);                        /* NULL allowed */

/* Keys for help texts, by part of the section: "" for itself, "time", "split", ...; "categorical" and "numeric" for an entry of these
 * lists. False past the end. */
bool sq__data_option(const char *part, int index, sq_option_info *info);

/* Scalar keys of the section: field tables by prefix ("" for the section itself, "time", "split", ...). */
typedef struct sq_data_section { const char *name; const sq_field *fields; size_t offset; } sq_data_section;
extern const sq_data_section sq__data_sections[];                             /* ends with name NULL */

#endif
