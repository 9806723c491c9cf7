/* Counted allocation: every byte the library holds is known exactly (sq_memory_peak). Depends on nothing.
 * All memory is 64-byte aligned. */
#ifndef SQ_BASE_MEMORY_H
#define SQ_BASE_MEMORY_H

#include <stddef.h>
#include <stdint.h>

void *sq__alloc(size_t bytes);                     /* NULL when it fails; bytes 0 gives a valid pointer */
void *sq__alloc_zero(size_t bytes);
void *sq__alloc_array(size_t count, size_t size);  /* zeroed; NULL also when count*size overflows */
void *sq__realloc(void *memory, size_t bytes);     /* NULL memory allowed; on failure the old block stays */
void sq__free(void *memory);                       /* NULL allowed */
char *sq__strdup(const char *text);

/* For tests of failed allocation: the nth allocation from now (1 = the next) and all later ones fail; 0 turns it off. */
void sq__alloc_fail_after(long n);

#define SQ_ALIGN 64
static inline size_t sq__align_up(size_t bytes) { return (bytes + (SQ_ALIGN - 1)) & ~(size_t)(SQ_ALIGN - 1); }

/* A bump allocator over one caller-owned block: cuts a workspace into aligned pieces.
 * With base NULL it only measures: `used` is then the size needed. */
typedef struct sq_cut { char *base; size_t used; } sq_cut;
static inline void *sq__cut(sq_cut *cut, size_t bytes)
{
    void *piece = cut->base ? cut->base + cut->used : NULL;
    cut->used += sq__align_up(bytes);
    return piece;
}
static inline float *sq__cut_floats(sq_cut *cut, int64_t count) { return sq__cut(cut, (size_t)count * sizeof(float)); }

/* A growing arena for objects that die together (tape values of one step). Blocks are kept by reset. */
typedef struct sq_arena sq_arena;
sq_arena *sq__arena_create(size_t block_bytes);
void *sq__arena_alloc(sq_arena *arena, size_t bytes);  /* 64-byte aligned, not zeroed; NULL when it fails */
void sq__arena_reset(sq_arena *arena);
void sq__arena_destroy(sq_arena *arena);               /* NULL allowed */

#endif
