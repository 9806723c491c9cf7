/* Classes of clients from a label table, and the list of classes. Depends on table, intern, broken. */
#ifndef SQ_DATA_LABELS_H
#define SQ_DATA_LABELS_H

#include "data/broken.h"
#include "data/intern.h"
#include "data/schema.h"
#include "io/csv.h"

typedef struct sq_labels {
    sq_intern *texts;                  /* classes by first appearance: a label is a number of it */
    sq_intern *ids;                    /* of the label table; NULL when labels stand in the same table */
    int32_t *label;                    /* [ids] */
    int64_t room;
} sq_labels;

/* table: read target.file as well. Broken rows follow on_broken_row. */
sq_status sq__labels_create(sq_labels *labels, const sq_data_config *config, bool table, sq_broken_rows *broken, sq_stop_flag *stop, sq_error *error);
void sq__labels_clear(sq_labels *labels);

/* The texts sorted: by value when all are numbers, else as text. class_of[text] is its place. */
sq_status sq__classes_sort(const sq_intern *texts, char ***classes, int *count, int32_t **class_of, sq_error *error);
/* The place of every text in a known list, or -1. */
sq_status sq__classes_match(const sq_intern *texts, char *const *classes, int count, int32_t **class_of, sq_error *error);

/* Whether the cell can be a label: any text is a class; a number must be one. */
bool sq__label_valid(const sq_data_config *config, const sq_csv_cell *cell);
/* Whether a cell means nothing: empty, or one of data.missing. */
bool sq__cell_missing(const sq_data_config *config, const char *text, size_t size);

#endif
