/* A schema from the training clients: vocabularies, scalings. Depends on read_events, features. */
#ifndef SQ_DATA_FIT_H
#define SQ_DATA_FIT_H

#include "data/features.h"
#include "data/read_events.h"

/* train[clients]: whether a client of the store is in the training split. Classes and max_length are left to the caller. */
sq_status sq__fit_schema(sq_schema **schema, const sq_data_config *config, const sq_raw_events *raw, const bool *train, sq_error *error);

#endif
