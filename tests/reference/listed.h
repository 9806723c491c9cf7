/* Exact attention over pairs that a rule lists, naive: for the references of mechanisms that are patterns. And grids by text. */
#ifndef SQ_TESTS_REFERENCE_LISTED_H
#define SQ_TESTS_REFERENCE_LISTED_H

#include "reference/reference.h"

/* How often query i meets key j, whatever masks and order say. */
typedef int (*reference_times)(const void *context, int64_t i, int64_t j);

/* out [M]: the softmax of one row over the pairs listed and visible, with `zeros` more keys of score 0 and value 0; zeros if there is
 * none. Returns log sum exp, -inf for none. */
double reference_attend(const reference_case *at, int64_t b, int64_t i, int64_t h, reference_times times, const void *context, double zeros, double *out);

enum { REFERENCE_AXES = 4 };
typedef struct reference_grid { int axes; int64_t size[REFERENCE_AXES]; } reference_grid;

/* Option "shape", or `usual` even axes that hold the longest sequence. */
reference_grid reference_shape(const reference_case *at, int usual);
void reference_coordinates(const reference_grid *grid, int64_t position, int64_t *coordinates);

#endif
