/* What the builders of a data set share (dataset.c), and the builders. */
#ifndef SQ_DATA_DATASET_BUILD_H
#define SQ_DATA_DATASET_BUILD_H

#include "data/dataset.h"
#include "data/read_events.h"
#include "data/split.h"

sq_status sq__dataset_events(sq_dataset *dataset, const sq_data_config *config, const sq_dataset_options *options, sq_error *error);
sq_status sq__dataset_text(sq_dataset *dataset, const sq_data_config *config, const sq_dataset_options *options, sq_error *error);

/* While rows are read: tells how far that is, and obeys the stop. */
sq_status sq__dataset_tick(const sq_dataset_options *options, double fraction, int64_t rows, sq_error *error);
/* start, length, before, label, id (and number) for so many examples, and id_texts of so many bytes. */
sq_status sq__dataset_allocate(sq_dataset *dataset, int64_t examples, size_t id_bytes, sq_error *error);
/* split_of[example]; NULL: all in TEST. */
sq_status sq__dataset_set_splits(sq_dataset *dataset, const int8_t *split_of, sq_error *error);

/* The classes that are used, sorted, into the schema's list; class_of[text], -1 for a text of used[text] false.
 * One class, or more than `most`, is an error. what: "clients" or "events", `count` of which ask. */
typedef struct sq_classes { char **names; int count; int32_t *class_of; } sq_classes;
typedef struct sq_classes_wanted { const char *target, *what; int64_t count; int most; } sq_classes_wanted;
sq_status sq__classes_used(sq_classes *classes, const sq_intern *texts, const bool *used, const sq_classes_wanted *wanted, sq_error *error);
void sq__classes_clear(sq_classes *classes);

/* ---- dataset_targets.c ---- */

/* What the schema says of the target, but for its classes: kind, bits, mean and deviation of number[examples] over those of split TRAIN. */
sq_status sq__schema_target(sq_schema *schema, const sq_data_config *config, sq_error *error);
sq_status sq__schema_target_scale(sq_schema *schema, const sq_dataset *dataset, sq_error *error);
/* The words of a category as classes: of the next event. */
sq_status sq__schema_next_classes(sq_schema *schema, int category, sq_error *error);
/* The number that a label's text is; NaN for label -1. */
double sq__label_number(const sq_intern *texts, int32_t label);
/* event_label or event_bits, nothing asked yet. */
sq_status sq__event_targets_allocate(sq_dataset *dataset, sq_error *error);
/* of events [count] of a client as they were read, at place `begin` of the flat arrays; class_of: by label text */
void sq__event_targets_fill(sq_dataset *dataset, const sq_event_layout *layout, char *events, int64_t count, int64_t begin, const int32_t *class_of);
/* The next event's id - 1 of a category (bytes when there is none) in a run of events that follow each other. */
void sq__event_targets_next(sq_dataset *dataset, int category, int64_t begin, int64_t count);

#endif
