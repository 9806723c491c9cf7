#include "autograd/pool.h"

#include <stdint.h>

#include "base/memory.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define HIDE(data, bytes) ASAN_POISON_MEMORY_REGION(data, bytes)
#define SHOW(data, bytes) ASAN_UNPOISON_MEMORY_REGION(data, bytes)
#else
#define HIDE(data, bytes) ((void)(data), (void)(bytes))
#define SHOW(data, bytes) ((void)(data), (void)(bytes))
#endif

/* A chunk is cut into segments without gaps; each begins with this header. Neighbours that are both free are joined. */
struct sq_buffer {
    struct sq_buffer *previous, *next;   /* in the chunk, by address */
    size_t bytes;                        /* of data, a multiple of SQ_ALIGN */
    int references;                      /* 0: free */
};

typedef struct chunk {
    struct chunk *next;
    size_t bytes;                        /* of everything behind the chunk's own header */
    sq_buffer *first;
} chunk;

struct sq_pool {
    chunk *chunks;
    size_t total, wanted;                /* bytes held; size of the next first chunk */
};

enum { HEADER = SQ_ALIGN, LEAST_CHUNK = 1 << 18 };
_Static_assert(sizeof(sq_buffer) <= HEADER && sizeof(chunk) <= HEADER, "headers keep the alignment");

void *sq__buffer_data(const sq_buffer *buffer) { return (char *)(uintptr_t)buffer + HEADER; }
int sq__buffer_references(const sq_buffer *buffer) { return buffer->references; }

sq_buffer *sq__buffer_share(sq_buffer *buffer)
{
    if (buffer) buffer->references++;
    return buffer;
}

static void make_whole(chunk *c)
{
    c->first = (sq_buffer *)((char *)c + HEADER);
    *c->first = (sq_buffer){ NULL, NULL, c->bytes - HEADER, 0 };
    HIDE(sq__buffer_data(c->first), c->first->bytes);
}

static void free_chunks(sq_pool *pool)
{
    for (chunk *c = pool->chunks, *next; c; c = next) {
        next = c->next;
        SHOW(c, HEADER + c->bytes);
        sq__free(c);
    }
    pool->chunks = NULL;
    pool->total = 0;
}

static chunk *grow(sq_pool *pool, size_t bytes)
{
    size_t size = HEADER + bytes, least = pool->chunks ? pool->total / 16 : pool->wanted;
    if (least < LEAST_CHUNK) least = LEAST_CHUNK;
    if (size < least) size = sq__align_up(least);
    chunk *c = sq__alloc(HEADER + size);
    if (!c) return NULL;
    *c = (chunk){ pool->chunks, size, NULL };
    make_whole(c);
    pool->chunks = c;
    pool->total += size;
    return c;
}

sq_pool *sq__pool_create(void) { return sq__alloc_zero(sizeof(sq_pool)); }

void sq__pool_destroy(sq_pool *pool)
{
    if (!pool) return;
    free_chunks(pool);
    sq__free(pool);
}

void sq__pool_reset(sq_pool *pool)
{
    if (pool->chunks && pool->chunks->next) {
        pool->wanted = pool->total;
        free_chunks(pool);
    } else if (pool->chunks) {
        make_whole(pool->chunks);
    }
}

static sq_buffer *best_fit(const sq_pool *pool, size_t bytes)
{
    sq_buffer *best = NULL;
    for (chunk *c = pool->chunks; c; c = c->next)
        for (sq_buffer *s = c->first; s; s = s->next)
            if (!s->references && s->bytes >= bytes && (!best || s->bytes < best->bytes)) best = s;
    return best;
}

sq_buffer *sq__pool_take(sq_pool *pool, size_t bytes)
{
    if (bytes > SIZE_MAX / 2) return NULL;
    bytes = sq__align_up(bytes ? bytes : 1);
    sq_buffer *found = best_fit(pool, bytes);
    if (!found) {
        chunk *c = grow(pool, HEADER + bytes);
        if (!c) return NULL;
        found = c->first;
    }
    SHOW(sq__buffer_data(found), bytes);
    if (found->bytes >= bytes + 2 * HEADER) {   /* the rest becomes a free segment of its own */
        char *end = (char *)sq__buffer_data(found) + bytes;
        SHOW(end, HEADER);
        sq_buffer *rest = (sq_buffer *)end;
        *rest = (sq_buffer){ found, found->next, found->bytes - bytes - HEADER, 0 };
        if (rest->next) rest->next->previous = rest;
        found->next = rest;
        found->bytes = bytes;
    }
    found->references = 1;
    return found;
}

static void join_next(sq_buffer *segment)
{
    sq_buffer *next = segment->next;
    if (!next || next->references) return;
    segment->bytes += HEADER + next->bytes;
    segment->next = next->next;
    if (segment->next) segment->next->previous = segment;
    HIDE(next, HEADER);
}

void sq__pool_release(sq_pool *pool, sq_buffer *buffer)
{
    (void)pool;
    if (!buffer || --buffer->references) return;
    HIDE(sq__buffer_data(buffer), buffer->bytes);
    join_next(buffer);
    if (buffer->previous && !buffer->previous->references) join_next(buffer->previous);
}
