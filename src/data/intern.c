#include "data/intern.h"

#include <string.h>

#include "base/memory.h"

typedef struct entry { size_t begin; uint32_t size, hash; } entry;

/* Open addressing with linear probes over slots that hold number + 1; at most half full. */
struct sq_intern {
    char *texts;
    size_t used, room;
    entry *entries;
    int32_t count, entry_room;
    uint32_t *slots;
    size_t slot_mask;
};

enum { FIRST_SLOTS = 256, FIRST_ENTRIES = 128, FIRST_TEXTS = 4096 };

sq_intern *sq__intern_create(void)
{
    sq_intern *intern = sq__alloc_zero(sizeof *intern);
    if (!intern) return NULL;
    intern->texts = sq__alloc(intern->room = FIRST_TEXTS);
    intern->entries = sq__alloc_array((size_t)(intern->entry_room = FIRST_ENTRIES), sizeof *intern->entries);
    intern->slots = sq__alloc_array(FIRST_SLOTS, sizeof *intern->slots);
    intern->slot_mask = FIRST_SLOTS - 1;
    if (!intern->texts || !intern->entries || !intern->slots) sq__intern_destroy(&intern);
    return intern;
}

void sq__intern_destroy(sq_intern **intern)
{
    if (!intern || !*intern) return;
    sq__free((*intern)->texts);
    sq__free((*intern)->entries);
    sq__free((*intern)->slots);
    sq__free(*intern);
    *intern = NULL;
}

/* Eight bytes at a time, each mixed by a multiplication and a fold of the high half (constants of wyhash). */
static uint32_t hash_of(const char *text, size_t size)
{
    uint64_t hash = 0xa0761d6478bd642fu ^ size;
    for (; size >= 8; text += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, text, 8);
        unsigned __int128 product = (unsigned __int128)(hash ^ word) * 0xe7037ed1a0b428dbu;
        hash = (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    uint64_t tail = 0;
    for (size_t i = 0; i < size; i++) tail = tail << 8 | (unsigned char)text[i];
    unsigned __int128 product = (unsigned __int128)(hash ^ tail) * 0x8ebc6af09c88c6e3u;
    return (uint32_t)(product ^ (product >> 64) ^ (product >> 32));
}

static size_t slot_of(const sq_intern *intern, const char *text, size_t size, uint32_t hash)
{
    for (size_t slot = hash & intern->slot_mask;; slot = (slot + 1) & intern->slot_mask) {
        if (!intern->slots[slot]) return slot;
        const entry *e = &intern->entries[intern->slots[slot] - 1];
        if (e->hash == hash && e->size == size && memcmp(intern->texts + e->begin, text, size) == 0) return slot;
    }
}

static bool grow_slots(sq_intern *intern)
{
    size_t slots = 2 * (intern->slot_mask + 1);
    uint32_t *fresh = sq__alloc_array(slots, sizeof *fresh);
    if (!fresh) return false;
    for (int32_t i = 0; i < intern->count; i++) {
        size_t slot = intern->entries[i].hash & (slots - 1);
        while (fresh[slot]) slot = (slot + 1) & (slots - 1);
        fresh[slot] = (uint32_t)i + 1;
    }
    sq__free(intern->slots);
    intern->slots = fresh;
    intern->slot_mask = slots - 1;
    return true;
}

static bool make_room(sq_intern *intern, size_t size)
{
    if (intern->count == INT32_MAX || size >= UINT32_MAX) return false;
    if (intern->count == intern->entry_room) {
        int32_t room = intern->entry_room > INT32_MAX / 2 ? INT32_MAX : 2 * intern->entry_room;
        entry *larger = sq__realloc(intern->entries, (size_t)room * sizeof *larger);
        if (!larger) return false;
        intern->entries = larger;
        intern->entry_room = room;
    }
    if (size + 1 > intern->room - intern->used) {
        size_t room = 2 * intern->room + size + 1;
        char *larger = sq__realloc(intern->texts, room);
        if (!larger) return false;
        intern->texts = larger;
        intern->room = room;
    }
    return 2 * ((size_t)intern->count + 1) <= intern->slot_mask + 1 || grow_slots(intern);
}

bool sq__intern_add(sq_intern *intern, const char *text, size_t size, int32_t *number)
{
    uint32_t hash = hash_of(text, size);
    size_t slot = slot_of(intern, text, size, hash);
    if (intern->slots[slot]) {
        *number = (int32_t)intern->slots[slot] - 1;
        return true;
    }
    if (!make_room(intern, size)) return false;
    slot = slot_of(intern, text, size, hash);   /* the slots may have grown */
    intern->entries[intern->count] = (entry){ intern->used, (uint32_t)size, hash };
    if (size) memcpy(intern->texts + intern->used, text, size);
    intern->texts[intern->used + size] = '\0';
    intern->used += size + 1;
    *number = intern->count++;
    intern->slots[slot] = (uint32_t)intern->count;
    return true;
}

int32_t sq__intern_find(const sq_intern *intern, const char *text, size_t size)
{
    size_t slot = slot_of(intern, text, size, hash_of(text, size));
    return intern->slots[slot] ? (int32_t)intern->slots[slot] - 1 : -1;
}

int32_t sq__intern_count(const sq_intern *intern)
{
    return intern->count;
}

const char *sq__intern_text(const sq_intern *intern, int32_t number)
{
    return intern->texts + intern->entries[number].begin;
}

size_t sq__intern_size(const sq_intern *intern, int32_t number)
{
    return intern->entries[number].size;
}
