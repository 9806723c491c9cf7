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
/* start, length, label, id for so many examples, and id_texts of so many bytes. */
sq_status sq__dataset_allocate(sq_dataset *dataset, int64_t examples, size_t id_bytes, sq_error *error);
/* split_of[example]; NULL: all in TEST. */
sq_status sq__dataset_set_splits(sq_dataset *dataset, const int8_t *split_of, sq_error *error);

/* The classes that are used, sorted, into the schema's list; class_of[text], -1 for a text of used[text] false.
 * One class, or more than SQ_MAX_CLASSES, is an error. */
typedef struct sq_classes { char **names; int count; int32_t *class_of; } sq_classes;
sq_status sq__classes_used(sq_classes *classes, const sq_intern *texts, const bool *used, const char *target, int64_t clients, sq_error *error);
void sq__classes_clear(sq_classes *classes);

#endif
