/* The named tensors of a model, in the order they were added. Initial values are drawn from (seed, name) alone, so a parameter
 * starts equal in every model that has it. Depends on autograd/tape.h. */
#ifndef SQ_NN_PARAMETERS_H
#define SQ_NN_PARAMETERS_H

#include "autograd/tape.h"

typedef struct sq_parameters {
    sq_parameter *items;
    int count, capacity;
    uint64_t seed;
    bool sharing;                      /* a parameter that exists is the same one, if its shape is; else a name exists once */
} sq_parameters;

typedef enum sq_initial {
    SQ_INITIAL_ZERO,
    SQ_INITIAL_ONE,
    SQ_INITIAL_UNIFORM,                /* -scale to scale */
    SQ_INITIAL_NORMAL,                 /* standard deviation scale */
} sq_initial;

typedef struct sq_parameter_spec {
    const char *prefix, *name;         /* "encoder.0.attention" and "query.weight"; an empty prefix adds no dot */
    int rank;
    int64_t shape[4];
    sq_initial initial;
    float scale;
    bool frozen;                       /* not trainable: no gradient */
    bool decay;
} sq_parameter_spec;

sq_status sq__parameters_add(sq_parameters *set, const sq_parameter_spec *spec, int *index, sq_error *error);
void sq__parameters_clear(sq_parameters *set);
sq_var *sq__parameters_var(const sq_parameters *set, int index, sq_tape *tape);   /* index < 0: NULL */
const sq_parameter *sq__parameters_find(const sq_parameters *set, const char *name);   /* NULL if absent */

/* Bound of Glorot and Bengio's uniform initialisation of a weight [out, in]. */
float sq__glorot(int64_t in, int64_t out);

#endif
