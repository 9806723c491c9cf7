/* Memory of a tape's values and gradients: buffers of any size, counted references, reused as soon as they are let go.
 * One growing heap: the first step's chunks become one chunk at reset, so that later steps neither allocate nor fault pages in.
 * Depends on base. */
#ifndef SQ_AUTOGRAD_POOL_H
#define SQ_AUTOGRAD_POOL_H

#include <stddef.h>

typedef struct sq_pool sq_pool;
typedef struct sq_buffer sq_buffer;

sq_pool *sq__pool_create(void);
void sq__pool_destroy(sq_pool *pool);                     /* NULL allowed */
void sq__pool_reset(sq_pool *pool);                       /* every buffer is gone */
sq_buffer *sq__pool_take(sq_pool *pool, size_t bytes);    /* one reference, 64-byte aligned, not zeroed; NULL when it fails */
void *sq__buffer_data(const sq_buffer *buffer);
sq_buffer *sq__buffer_share(sq_buffer *buffer);           /* one reference more */
int sq__buffer_references(const sq_buffer *buffer);
void sq__pool_release(sq_pool *pool, sq_buffer *buffer);  /* one reference less; NULL allowed */

#endif
