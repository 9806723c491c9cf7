/* Attention plans for the shapes that come by: batches differ in length. Depends on subquad/attention.h. */
#ifndef SQ_NN_PLANS_H
#define SQ_NN_PLANS_H

#include "subquad/attention.h"

/* A plan is borrowed by tapes until they are reset: so many different shapes may be in use at once. */
#define SQ_PLANS 8

typedef struct sq_plans {
    sq_attention_desc desc;            /* of all; B, T, N are filled in. Its texts are owned here */
    char *mechanism;
    sq_option *options;
    struct sq_plan_slot { int64_t B, T, N; sq_attention *plan; uint64_t used; } slots[SQ_PLANS];
    uint64_t clock;
} sq_plans;

/* Copies desc; checks it by making the plan of its longest shape. */
sq_status sq__plans_create(sq_plans *plans, const sq_attention_desc *desc, sq_error *error);
void sq__plans_clear(sq_plans *plans);
/* The plan of a shape, made when it is new in place of the one that was used longest ago. */
sq_status sq__plans_get(sq_plans *plans, int64_t B, int64_t T, int64_t N, const sq_attention **plan, sq_error *error);

#endif
