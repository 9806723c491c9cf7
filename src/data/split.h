/* Which clients train, validate, test. Depends on config. */
#ifndef SQ_DATA_SPLIT_H
#define SQ_DATA_SPLIT_H

#include "data/dataset.h"

typedef struct sq_member {
    const char *id;
    int32_t class;                     /* stratum; 0 when there is none */
    int8_t part;                       /* with split.by files: the split of its file */
    double time;                       /* of its last event */
    int64_t place;                     /* in file order */
    sq_split split;                    /* out */
    uint64_t draw;                     /* scratch */
} sq_member;

/* A pure function of (id, seed, class), not of the order of the file; by stratified and time also of the other clients.
 * Equal ids (documents) are told apart by their place. */
sq_status sq__split_assign(sq_member *members, int64_t count, int class_count, const sq_data_config *config, sq_error *error);

#endif
