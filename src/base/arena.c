#include "base/memory.h"

typedef struct block {
    struct block *next;
    size_t size, used;
    char *data;
} block;

struct sq_arena {
    size_t block_bytes;
    block *first, *current;
};

static block *block_create(size_t size)
{
    block *fresh = sq__alloc(SQ_ALIGN + size);
    if (fresh) *fresh = (block){ NULL, size, 0, (char *)fresh + SQ_ALIGN };
    return fresh;
}

sq_arena *sq__arena_create(size_t block_bytes)
{
    sq_arena *arena = sq__alloc_zero(sizeof *arena);
    if (arena) arena->block_bytes = block_bytes;
    return arena;
}

void *sq__arena_alloc(sq_arena *arena, size_t bytes)
{
    bytes = sq__align_up(bytes ? bytes : 1);
    block *at = arena->current;
    while (at && at->size - at->used < bytes && at->next) at = at->next;   /* blocks kept by a reset */
    if (!at || at->size - at->used < bytes) {
        block *fresh = block_create(bytes > arena->block_bytes ? bytes : arena->block_bytes);
        if (!fresh) return NULL;
        if (at) at->next = fresh;
        else arena->first = fresh;
        at = fresh;
    }
    arena->current = at;
    void *piece = at->data + at->used;
    at->used += bytes;
    return piece;
}

void sq__arena_reset(sq_arena *arena)
{
    for (block *at = arena->first; at; at = at->next) at->used = 0;
    arena->current = arena->first;
}

void sq__arena_destroy(sq_arena *arena)
{
    if (!arena) return;
    for (block *at = arena->first, *next; at; at = next) {
        next = at->next;
        sq__free(at);
    }
    sq__free(arena);
}
