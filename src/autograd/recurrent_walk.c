#include "autograd/recurrent_walk.h"

#include <stdlib.h>

enum { SLICE = 32, FEW = 16 };         /* wide slices read the weights less often; a small batch is cut for more than one thread */

static int64_t slice_of(int64_t B) { return B >= 2 * SLICE ? SLICE : FEW; }

int64_t sq__walk_room(int64_t B) { return B + (B + FEW - 1) / FEW + 1; }

sq_walk sq__walk_again(int64_t B, int64_t T, const int32_t *lengths, bool reverse, const int64_t *room)
{
    const int64_t size = slice_of(B);
    return (sq_walk){ B, T, size, (B + size - 1) / size, lengths, reverse, room, room + B };
}

static int compare(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

sq_walk sq__walk_make(int64_t B, int64_t T, const int32_t *lengths, bool reverse, int64_t *room)
{
    sq_walk w = sq__walk_again(B, T, lengths, reverse, room);
    int64_t *order = room, *base = room + B, rows = 0;
    for (int64_t b = 0; b < B; b++) order[b] = (T - sq__walk_length(&w, b)) * B + b;   /* the longest first, equal ones as they come */
    qsort(order, (size_t)B, sizeof *order, compare);
    for (int64_t i = 0; i < B; i++) {
        order[i] %= B;
        if (i % w.size == 0) base[i / w.size] = rows;
        rows += sq__walk_length(&w, order[i]);
    }
    base[w.slices] = rows;
    return w;
}
