#include "base/memory.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "subquad/status.h"

/* Blocks from this size on ask for huge pages: long rows of interleaved heads touch a page each, and misses of the address cache then
 * cost more than the arithmetic. */
#define HUGE_PAGE ((size_t)2 << 20)
#define HUGE_FROM (2 * HUGE_PAGE)

/* Each block carries its size in the aligned line before it. */
typedef struct header { size_t bytes; } header;

static atomic_size_t held, highest;
static atomic_long until_failure;   /* 0: off; otherwise this many calls, counting down; negative: every call fails */

static bool fails_now(void)
{
    long left = atomic_load(&until_failure);
    if (left == 0) return false;
    if (left < 0) return true;
    if (left == 1) {
        atomic_store(&until_failure, -1);
        return true;
    }
    atomic_fetch_sub(&until_failure, 1);
    return false;
}

static void count_more(size_t bytes)
{
    size_t now = atomic_fetch_add(&held, bytes) + bytes;
    size_t seen = atomic_load(&highest);
    while (now > seen && !atomic_compare_exchange_weak(&highest, &seen, now)) {}
}

void *sq__alloc(size_t bytes)
{
    if (fails_now() || bytes > SIZE_MAX / 2) return NULL;
    size_t total = sq__align_up(bytes) + SQ_ALIGN;
    bool huge = total >= HUGE_FROM;
    void *block;
    if (posix_memalign(&block, huge ? HUGE_PAGE : SQ_ALIGN, total) != 0) return NULL;   /* aligned_alloc wants whole pages */
    if (huge) madvise(block, total & ~(HUGE_PAGE - 1), MADV_HUGEPAGE);   /* a wish: refusal changes nothing */
    ((header *)(void *)block)->bytes = bytes;
    count_more(bytes);
    return (char *)block + SQ_ALIGN;
}

void *sq__alloc_zero(size_t bytes)
{
    void *memory = sq__alloc(bytes);
    if (memory) memset(memory, 0, bytes);
    return memory;
}

void *sq__alloc_array(size_t count, size_t size)
{
    size_t bytes;
    return __builtin_mul_overflow(count, size, &bytes) ? NULL : sq__alloc_zero(bytes);
}

static header *header_of(void *memory)
{
    return (header *)(void *)((char *)memory - SQ_ALIGN);
}

void *sq__realloc(void *memory, size_t bytes)
{
    void *larger = sq__alloc(bytes);
    if (!larger || !memory) return larger;
    size_t old = header_of(memory)->bytes;
    memcpy(larger, memory, old < bytes ? old : bytes);
    sq__free(memory);
    return larger;
}

void sq__free(void *memory)
{
    if (!memory) return;
    atomic_fetch_sub(&held, header_of(memory)->bytes);
    free(header_of(memory));
}

char *sq__strdup(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = sq__alloc(bytes);
    return copy ? memcpy(copy, text, bytes) : NULL;
}

void sq__alloc_fail_after(long n)
{
    atomic_store(&until_failure, n);
}

size_t sq_memory_current(void) { return atomic_load(&held); }
size_t sq_memory_peak(void) { return atomic_load(&highest); }
void sq_memory_reset_peak(void) { atomic_store(&highest, atomic_load(&held)); }

size_t sq_memory_resident(void)
{
    FILE *statm = fopen("/proc/self/statm", "r");
    if (!statm) return 0;
    unsigned long size = 0, resident = 0;
    if (fscanf(statm, "%lu %lu", &size, &resident) != 2) resident = 0;
    fclose(statm);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}
