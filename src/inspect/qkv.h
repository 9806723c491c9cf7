/* Building a set of queries, keys and values. Depends on base. */
#ifndef SQ_INSPECT_QKV_H
#define SQ_INSPECT_QKV_H

#include "subquad/inspect.h"

/* A new item with room for its sizes, q then k then v; NULL: no memory. */
float *sq__qkv_add(sq_qkv_set *set, const char *name, int64_t H, int64_t T, int64_t N, int64_t D, int64_t M);

#endif
