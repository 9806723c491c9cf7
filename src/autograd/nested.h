/* Parts of a tape that run twice: forward with nothing recorded (a rehearsal), and once more on the way back, recorded, with the same
 * draws and from the same tensors (a replay). Both are brackets: what is made between begin and end is gone at the end. They nest.
 * Depends on node.h. */
#ifndef SQ_AUTOGRAD_NESTED_H
#define SQ_AUTOGRAD_NESTED_H

#include "autograd/node.h"
#include "autograd/recompute.h"

typedef struct sq_nested { sq_variable *variables; sq_node *nodes; uint64_t places; bool record, rehearsing, replaying, again; } sq_nested;

sq_nested sq__rehearsal_begin(sq_tape *tape, const sq_node *node);   /* node: whose forward this is */
sq_nested sq__replay_begin(sq_tape *tape, uint64_t place);           /* place: that the rehearsal began with */
void sq__nested_end(sq_tape *tape, const sq_nested *outer);
/* A replay's way back, from the gradient of y and that of auxiliary (both NULL: zero; gradient is borrowed). */
void sq__replay_back(sq_tape *tape, sq_var *y, sq_buffer *gradient, sq_var *auxiliary, float weight);

/* What tensors that move with the data held before a rehearsal moved them: keyed by the operation's place and the number of the tensor. */
void sq__former_keep(sq_tape *tape, const sq_node *node, int tensor, const sq_var *value);
float *sq__former_find(const sq_tape *tape, const sq_node *node, int tensor);   /* NULL: it did not move */

#endif
