/* What a data set looks like to a model: columns, vocabularies, scalings, what is asked. Learned from the training split only, saved with
 * every run, needed to read a new table for prediction. Depends on base, io. */
#ifndef SQ_DATA_SCHEMA_H
#define SQ_DATA_SCHEMA_H

#include "base/status.h"
#include "subquad/task.h"   /* sq_target_kind */

#define SQ_NAME_SIZE 64

/* Ids: 0 is out of vocabulary (also a missing value), 1..count are the words by falling frequency (ties by text); -1 is padding. */
typedef struct sq_category {
    char name[SQ_NAME_SIZE];
    int64_t count;                     /* words known; ids run to count inclusive */
    char **words;                      /* [count], words[i] has id i+1 */
} sq_category;

typedef enum sq_transform { SQ_TRANSFORM_STANDARD, SQ_TRANSFORM_LOG, SQ_TRANSFORM_QUANTILE, SQ_TRANSFORM_NONE } sq_transform;

typedef struct sq_number {
    char name[SQ_NAME_SIZE];
    sq_transform transform;            /* LOG: sign(x) log(1+|x|), then standardised */
    double mean, deviation;            /* after the log; deviation is never 0 */
    int quantile_count;
    double *quantiles;                 /* QUANTILE: rising edges; the value is the rank in [-1, 1] */
} sq_number;

typedef struct sq_schema {
    bool text;                         /* bytes: one category "byte" of 256 words */
    int category_count, number_count, class_count;
    sq_category *categories;
    sq_number *numbers;                /* time features come as numbers, too: "time.gap", "time.hour.sin", ... */
    char **classes;                    /* class names, sorted (numbers by value); of the next event: the words of its column, by id */
    sq_target_kind target;
    bool next;                         /* EVENT_CLASS: of the next event, which a model must not see */
    int bit_count;
    char **bits;                       /* EVENT_BITS: names of the columns */
    double target_mean, target_deviation;   /* NUMBER: of training; a model's output is (number - mean) / deviation */
    int64_t max_length;
} sq_schema;

/* How many numbers a model gives per client or per event. */
static inline int sq__schema_outputs(const sq_schema *schema)
{
    return schema->target == SQ_TARGET_NUMBER ? 1 : schema->target == SQ_TARGET_EVENT_BITS ? schema->bit_count : schema->class_count;
}
static inline bool sq__schema_per_event(const sq_schema *schema) { return schema->target >= SQ_TARGET_EVENT_CLASS; }

sq_schema *sq__schema_create(int category_count, int number_count);    /* zeroed columns; NULL: no memory */
sq_schema *sq__schema_copy(const sq_schema *schema);                   /* NULL: no memory */
void sq__schema_destroy(sq_schema *schema);            /* frees the content and the struct; NULL allowed */
sq_status sq__schema_save(const sq_schema *schema, const char *path, sq_error *error);    /* JSON, atomic */
sq_status sq__schema_load(sq_schema **schema, const char *path, sq_error *error);
uint64_t sq__schema_fingerprint(const sq_schema *schema);   /* same columns, words and classes: same number */

#endif
