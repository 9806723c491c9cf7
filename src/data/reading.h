/* Event tables being read: shared by read_events.c, read_targets.c and event_stream.c. */
#ifndef SQ_DATA_READING_H
#define SQ_DATA_READING_H

#include "data/read_events.h"
#include "data/table.h"

/* Where an input comes from: a bound column of the table, or a part of an exploded event. */
typedef struct sq_source { int bound, part; } sq_source;

typedef struct sq_reading {
    const sq_data_config *config;
    const sq_dataset_options *options;
    sq_raw_events *raw;
    sq_table_column *columns;          /* bound: id, time?, inputs, list?, target? */
    int column_count, time, list, target;   /* places among the bound; -1: none */
    sq_source *categories, *numbers, *targets;
    int target_count;                  /* columns of targets per event; 0: none is read */
    sq_csv_cell *parts;                /* [into.count] of the event at hand */
    char *pending;                     /* events of the row at hand */
    int64_t pending_count, pending_room;
    int64_t last_client, kept;
    int64_t rows;
    sq_table *table;
    const sq_table_row *row;
    int part;
    bool closed;                       /* words that are not known already are not learned */
} sq_reading;

sq_status sq__raw_events_create(sq_raw_events *raw, const sq_data_config *config, const sq_dataset_options *options, sq_error *error);
/* Binds the columns; then each row of the table becomes pending events. *good false: it is broken, and that is noted. */
sq_status sq__reading_set_up(sq_reading *reading, sq_error *error);
sq_status sq__reading_row(sq_reading *reading, bool *good, sq_error *error);
void sq__reading_clear(sq_reading *reading);   /* but for raw */

/* The row is broken at a bound cell. cell NULL: `what` says all. */
void sq__reading_broken(sq_reading *reading, int bound, const char *what, const sq_csv_cell *cell, const char *expected);
const sq_csv_cell *sq__reading_cell(const sq_reading *reading, sq_source from);

/* ---- read_targets.c ---- */

int sq__target_words(const sq_data_target *target);   /* words of 32 bits that an event's targets need */
/* What an event asks for. *good false: the row is broken, and that is noted. */
sq_status sq__read_targets(sq_reading *reading, char *event, bool *good, sq_error *error);

#endif
