/* Less memory for more time: parts of a network whose inner values are not kept for the way back but computed again there.
 * A part is a function of its rows and of parameters alone: nothing that it reads may change until the tape is reset (tensors that a
 * mechanism moves while training are seen to), and it leaves nothing behind but its result. Depends on tape.h. */
#ifndef SQ_AUTOGRAD_RECOMPUTE_H
#define SQ_AUTOGRAD_RECOMPUTE_H

#include "autograd/tape.h"

typedef struct sq_part {
    /* Rows of x's shape. auxiliary NULL: no regulariser is wanted; else it is added to *auxiliary (NULL: becomes it). */
    sq_var *(*run)(const void *context, sq_tape *tape, sq_var *x, sq_var **auxiliary);
    const void *context;               /* borrowed until reset */
} sq_part;

/* part(x), of which only x is kept (arXiv:1604.06174). */
sq_var *sq__recompute(sq_tape *tape, const sq_part *part, sq_var *x, sq_var **auxiliary);

/* Reversible residual layers (arXiv:1707.04585, arXiv:2001.04451): for each pair of parts f, g in turn
 *   y1 = x1 + f(x2)   y2 = x2 + g(y1)          on the way back   x2 = y2 - g(y1)   x1 = y1 - f(x2)
 * x1, x2 [...,E] -> [y1, y2] of the last pair, side by side [...,2E]: all that is kept, however many pairs. parts[2 pairs] is borrowed
 * until reset. What is computed back differs from what was by the rounding of sums: about 1e-7 of |y| a layer. */
sq_var *sq__reversible(sq_tape *tape, const sq_part *parts, int pairs, sq_var *x1, sq_var *x2, sq_var **auxiliary);

#endif
