#include "nn/carry.h"

#include <string.h>

sq_status sq__carry_add(sq_carry_layout *layout, const char *prefix, const char *name, int rank, const int64_t *shape, int *slot, sq_error *error)
{
    sq_carry_slot made = { .rank = rank, .count = 1 };
    if (snprintf(made.name, sizeof made.name, "%s.%s", prefix, name) >= (int)sizeof made.name)
        return sq__fail(error, SQ_INTERNAL, "the name of state '%s.%s' is too long", prefix, name);
    for (int i = 0; i < rank; i++) {
        made.shape[i] = shape[i];
        if (shape[i] < 1 || __builtin_mul_overflow(made.count, shape[i], &made.count))
            return sq__fail(error, SQ_INVALID, "state '%s' has an axis of %lld", made.name, (long long)shape[i]);
    }
    if (layout->count == layout->capacity) {
        const int capacity = layout->capacity ? 2 * layout->capacity : 16;
        sq_carry_slot *slots = sq__realloc(layout->slots, (size_t)capacity * sizeof *slots);
        if (!slots) return sq__no_memory(error);
        layout->slots = slots;
        layout->capacity = capacity;
    }
    *slot = layout->count;
    layout->slots[layout->count++] = made;
    return SQ_OK;
}

void sq__carry_layout_clear(sq_carry_layout *layout)
{
    sq__free(layout->slots);
    *layout = (sq_carry_layout){ .slots = NULL };
}

size_t sq__carry_bytes(const sq_carry_layout *layout)
{
    size_t floats = 0;
    for (int i = 0; i < layout->count; i++) floats += (size_t)layout->slots[i].count;
    return floats * sizeof(float) + sizeof(int64_t);
}

sq_status sq__carry_create(sq_carry **carry, const sq_carry_layout *layout, int64_t B, sq_error *error)
{
    sq_carry *made = *carry = sq__alloc_zero(sizeof *made);
    if (!made) return sq__no_memory(error);
    *made = (sq_carry){ .layout = layout, .B = B, .values = sq__alloc_array((size_t)layout->count + 1, sizeof(float *)),
                        .seen = sq__alloc_array((size_t)B, sizeof(int64_t)) };
    bool all = made->values && made->seen;
    for (int i = 0; all && i < layout->count; i++) {
        made->values[i] = sq__alloc_array((size_t)(B * layout->slots[i].count), sizeof(float));
        all = made->values[i];
    }
    if (all) return SQ_OK;
    sq__carry_destroy(carry);
    return sq__no_memory(error);
}

void sq__carry_destroy(sq_carry **carry)
{
    sq_carry *old = *carry;
    if (!old) return;
    for (int i = 0; old->values && i < old->layout->count; i++) sq__free(old->values[i]);
    sq__free(old->values);
    sq__free(old->seen);
    sq__free(old);
    *carry = NULL;
}

static void *zeroed(sq_tape *tape, size_t bytes)
{
    void *memory = sq__tape_memory(tape, bytes);
    return memory ? memset(memory, 0, bytes) : NULL;
}

sq_carry *sq__carry_on_tape(const sq_carry_layout *layout, int64_t B, sq_tape *tape)
{
    sq_carry *made = sq__tape_memory(tape, sizeof *made);
    if (!made) return NULL;
    *made = (sq_carry){ .layout = layout, .B = B, .values = sq__tape_memory(tape, (size_t)(layout->count + 1) * sizeof(float *)),
                        .seen = zeroed(tape, (size_t)B * sizeof(int64_t)) };
    bool all = made->values && made->seen;
    for (int i = 0; all && i < layout->count; i++) {
        made->values[i] = zeroed(tape, (size_t)(B * layout->slots[i].count) * sizeof(float));
        all = made->values[i];
    }
    return all ? made : NULL;
}

void sq__carry_reset(sq_carry *carry, int64_t b)
{
    const int64_t from = b < 0 ? 0 : b, streams = b < 0 ? carry->B : 1;
    memset(carry->seen + from, 0, (size_t)streams * sizeof *carry->seen);
    for (int i = 0; i < carry->layout->count; i++) {
        const int64_t count = carry->layout->slots[i].count;
        memset(carry->values[i] + from * count, 0, (size_t)(streams * count) * sizeof(float));
    }
}

void sq__carry_copy(sq_carry *to, const sq_carry *from)
{
    memcpy(to->seen, from->seen, (size_t)from->B * sizeof *from->seen);
    for (int i = 0; i < from->layout->count; i++)
        memcpy(to->values[i], from->values[i], (size_t)(from->B * from->layout->slots[i].count) * sizeof(float));
}

sq_var *sq__carry_var(const sq_carry *carry, int slot, sq_tape *tape)
{
    const sq_carry_slot *s = &carry->layout->slots[slot];
    const size_t bytes = (size_t)(carry->B * s->count) * sizeof(float);
    int64_t shape[SQ_MAX_RANK] = { carry->B };
    float *copy = sq__tape_memory(tape, bytes);
    if (!copy) return NULL;
    memcpy(copy, carry->values[slot], bytes);
    memcpy(shape + 1, s->shape, (size_t)s->rank * sizeof *shape);
    return sq__tape_input(tape, s->rank + 1, shape, copy, false);
}

void sq__carry_put(sq_carry *carry, int slot, const sq_var *var)
{
    if (var) memcpy(carry->values[slot], var->value, (size_t)(carry->B * carry->layout->slots[slot].count) * sizeof(float));
}
