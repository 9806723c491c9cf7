/* What a model carries from one segment of a stream to the next: named tensors for B streams, of a size that does not depend on how
 * long the streams are. A layout is filled while blocks are created, as parameters are; carries are made from it, one per use.
 * What a segment finds has no gradient: back-propagation through time ends where the segment begins. Depends on autograd/tape.h. */
#ifndef SQ_NN_CARRY_H
#define SQ_NN_CARRY_H

#include "autograd/tape.h"

typedef struct sq_carry_slot { char name[96]; int rank; int64_t shape[4], count; } sq_carry_slot;   /* of one stream, without B */
typedef struct sq_carry_layout { sq_carry_slot *slots; int count, capacity; } sq_carry_layout;

sq_status sq__carry_add(sq_carry_layout *layout, const char *prefix, const char *name, int rank, const int64_t *shape, int *slot, sq_error *error);
void sq__carry_layout_clear(sq_carry_layout *layout);
size_t sq__carry_bytes(const sq_carry_layout *layout);   /* of one stream */

typedef struct sq_carry {
    const sq_carry_layout *layout;
    int64_t B;
    float **values;                    /* [slots][B * count] */
    int64_t *seen;                     /* [B] events so far; 0: the stream has just begun and every slot is zero. Models add, blocks read */
} sq_carry;

sq_status sq__carry_create(sq_carry **carry, const sq_carry_layout *layout, int64_t B, sq_error *error);   /* all streams begun afresh */
void sq__carry_destroy(sq_carry **carry);
sq_carry *sq__carry_on_tape(const sq_carry_layout *layout, int64_t B, sq_tape *tape);   /* the same, gone at reset: for a run that keeps nothing */
void sq__carry_reset(sq_carry *carry, int64_t b);                        /* stream b begins afresh; -1: all */
void sq__carry_copy(sq_carry *to, const sq_carry *from);                 /* of one layout and B: a clone */
/* [B, shape...], copied. Reading and writing may alternate within one run. */
sq_var *sq__carry_var(const sq_carry *carry, int slot, sq_tape *tape);
/* Operations run at once, so the value is there. var NULL (a failure, which the tape keeps): nothing happens. */
void sq__carry_put(sq_carry *carry, int slot, const sq_var *var);

#endif
