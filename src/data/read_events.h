/* Event tables into a store: every row parsed, texts interned, labels joined. Depends on table, store, labels. */
#ifndef SQ_DATA_READ_EVENTS_H
#define SQ_DATA_READ_EVENTS_H

#include "data/dataset.h"
#include "data/labels.h"
#include "data/scan.h"
#include "data/store.h"

typedef struct sq_raw_events {
    sq_store store;                    /* categories: word numbers, -1 when empty; numbers: as in the file, NaN when empty;
                                        * targets: event-class: number of the label text, -1 not asked; event-bits: 1 asked, then 32 bits a word */
    sq_intern **words;                 /* [categorical_count] */
    sq_labels labels;
    sq_broken_rows broken;             /* of event and label tables */
    int64_t rows;                      /* of the event tables */
    sq_time_form form;
    int64_t empty_numbers, clients_without_label, labels_without_client;
    bool labels_optional;
} sq_raw_events;

/* On success every client's events are sorted and trimmed. On failure nothing is held. */
sq_status sq__read_events(sq_raw_events *raw, const sq_data_config *config, const sq_dataset_options *options, sq_error *error);
void sq__raw_events_clear(sq_raw_events *raw, int category_count);

/* Every file to read, patterns resolved, with the split that the configuration gives it (part 0 when it gives none). */
typedef struct sq_input_files { sq_text_list list; int8_t *part; } sq_input_files;
sq_status sq__input_files(sq_input_files *files, const sq_data_config *config, const sq_dataset_options *options, sq_error *error);
void sq__input_files_clear(sq_input_files *files);

#endif
