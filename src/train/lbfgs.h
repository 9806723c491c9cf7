/* Limited-memory BFGS (Nocedal & Wright, Numerical Optimization, algorithm 7.5) for smooth convex functions, in double. Depends on base. */
#ifndef SQ_TRAIN_LBFGS_H
#define SQ_TRAIN_LBFGS_H

#include "base/status.h"

typedef struct sq_lbfgs {
    int64_t n;
    /* Value at x [n]; fills gradient [n]. Not SQ_OK stops the search with that status. */
    sq_status (*value)(void *context, const double *x, double *gradient, double *out, sq_error *error);
    void *context;
    int most_iterations;
    double tolerance;                  /* stops when no entry of the gradient is larger */
} sq_lbfgs;

/* x [n]: start, then the minimum, whose value goes to *least. */
sq_status sq__lbfgs_minimise(const sq_lbfgs *problem, double *x, double *least, sq_error *error);

#endif
