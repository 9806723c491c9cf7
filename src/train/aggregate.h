/* A client as one sparse row of aggregates. Per category column, per id 0 .. min(words, 1000): log(1 + count), and count / n. Per number
 * column (time gaps are such columns): mean, deviation, least, most, sum. Then n and log(1 + n), n the number of events. Depends on data. */
#ifndef SQ_TRAIN_AGGREGATE_H
#define SQ_TRAIN_AGGREGATE_H

#include "data/dataset.h"

int64_t sq__aggregate_features(const sq_schema *schema);

/* Scratch of one thread. */
typedef struct sq_aggregator sq_aggregator;
sq_aggregator *sq__aggregator_create(const sq_schema *schema);   /* NULL when out of memory */
void sq__aggregator_destroy(sq_aggregator *aggregator);          /* NULL allowed */
/* Most entries that a row of n events can have. */
int64_t sq__aggregate_most(const sq_schema *schema, int64_t n);
/* Entries of one example: index [most], value [most]; returns their number. Each feature occurs at most once. */
int64_t sq__aggregate(sq_aggregator *aggregator, const sq_dataset *dataset, int64_t example, int32_t *index, float *value);

#endif
