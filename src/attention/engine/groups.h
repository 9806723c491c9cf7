/* Heads that one worker takes together. In [B,T,H,D] the rows of one head lie far apart: work that goes through a sequence in order and
 * takes several heads of a range of rows before the next range reads memory in order, which long sequences wait for. Which heads share a
 * worker never changes what is computed for one. Depends on nothing. */
#ifndef SQ_ATTENTION_ENGINE_GROUPS_H
#define SQ_ATTENTION_ENGINE_GROUPS_H

#include <stdint.h>

/* Groups per batch entry: as few as keep every thread busy to the end. */
static inline int64_t sq__head_groups(int threads, int64_t B, int64_t heads)
{
    const int64_t groups = threads == 1 ? 1 : (2 * threads + B - 1) / B;
    return groups < heads ? groups : heads;
}

static inline int64_t sq__group_start(int64_t group, int64_t groups, int64_t heads)
{
    return group * heads / groups;
}

#endif
