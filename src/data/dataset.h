/* A data set in memory: events of all clients in flat arrays, examples as slices of them, splits. Depends on schema, config. */
#ifndef SQ_DATA_DATASET_H
#define SQ_DATA_DATASET_H

#include "data/config.h"
#include "data/schema.h"

typedef enum sq_split { SQ_SPLIT_TRAIN, SQ_SPLIT_VALIDATION, SQ_SPLIT_TEST, SQ_SPLIT_COUNT } sq_split;

enum { SQ_NOT_ASKED = -100, SQ_BIT_NOT_ASKED = 2 };

typedef struct sq_dataset {
    sq_schema *schema;
    int64_t events;
    int32_t **categories;              /* [category_count][events] ids; NULL for text */
    uint8_t *bytes;                    /* text: [events]; id = byte + 1 */
    float **numbers;                   /* [number_count][events], transformed */
    int64_t examples;
    int64_t *start;                    /* [examples] first event */
    int32_t *length;                   /* [examples] 1 .. max_length events, oldest first */
    int64_t *before;                   /* [examples] events of the client that came before the first one here, kept or not */
    int32_t *label;                    /* [examples] class, or -1 unknown (or not asked) */
    double *number;                    /* NUMBER: [examples] as in the file, NaN unknown; else NULL */
    int32_t *event_label;              /* EVENT_CLASS: [events] class, or SQ_NOT_ASKED; else NULL */
    uint8_t *event_bits;               /* EVENT_BITS: [events][bit_count] 0, 1, or SQ_BIT_NOT_ASKED; else NULL */
    char **id;                         /* [examples] client id as in the file; windows of one client share it */
    char *id_texts;                    /* what id points into */
    int64_t split_size[SQ_SPLIT_COUNT];
    int64_t *split[SQ_SPLIT_COUNT];    /* example numbers, in file order */
    int64_t rows_read, rows_broken;    /* of the event file(s) */
    int64_t clients;                   /* kept; examples, unless windows or pieces make several of one */
    int64_t clients_without_label, labels_without_client;   /* both dropped and counted */
    int64_t clients_too_short;         /* class, next: no window has enough events; dropped */
    int64_t empty_numbers;             /* empty cells of numeric columns: they become the training mean or median */
    char warning[1024];                /* "" or one line about what was dropped and the first broken row's place */
} sq_dataset;

typedef struct sq_dataset_options {
    const sq_schema *schema;           /* not NULL: read for prediction with this schema (copied); labels optional, all examples in TEST */
    const char *const *files;          /* instead of the files of the configuration */
    int file_count;
    void (*progress)(void *user, double fraction, int64_t rows);   /* may be NULL */
    void *user;
    sq_stop_flag *stop;                /* may be NULL */
} sq_dataset_options;

sq_status sq__dataset_load(sq_dataset **dataset, const sq_data_config *config, const sq_dataset_options *options, sq_error *error);
void sq__dataset_destroy(sq_dataset **dataset);        /* NULL allowed */

#endif
