#include "attention/engine/window.h"

#include <stdlib.h>

#include "base/integers.h"
#include "base/status.h"

enum { LARGEST = 1 << 20 };

static int64_t residues(const sq_window *w) { return sq__least(w->dilation, w->T); }

static int64_t tiles_of_residue(const sq_window *w)
{
    const int64_t rows = (w->T + w->dilation - 1) / w->dilation;
    return (rows + SQ_SPARSE_QUERIES - 1) / SQ_SPARSE_QUERIES;
}

int64_t sq__window_tiles(const sq_window *w) { return residues(w) * tiles_of_residue(w); }

int64_t sq__window_most_keys(const sq_window *w)
{
    return sq__least((w->N + w->dilation - 1) / w->dilation, sq__least(w->T, SQ_SPARSE_QUERIES) + w->before + w->after);
}

static int32_t place(int64_t row) { return (int32_t)sq__most(INT32_MIN, sq__least(INT32_MAX, row)); }

void sq__window_part(const sq_window *w, int64_t index, sq_window_part *part)
{
    const int64_t d = w->dilation, residue = index / tiles_of_residue(w), from = index % tiles_of_residue(w) * SQ_SPARSE_QUERIES;
    const int64_t first = residue + from * d, rows = (w->T - first + d - 1) / d;
    part->queries = (sq_sparse_rows){ .count = sq__most(0, sq__least(SQ_SPARSE_QUERIES, rows)), .first = first, .step = d };
    const int64_t last = w->N > residue ? (w->N - 1 - residue) / d : -1;   /* key of this residue, in steps */
    const int64_t low = sq__most(0, from - w->before), high = sq__least(last, from + part->queries.count - 1 + w->after);
    part->keys = (sq_sparse_rows){ .count = sq__most(0, high - low + 1), .first = residue + low * d, .step = d };
    for (int64_t c = 0; c < part->queries.count; c++) {
        const int64_t i = first + c * d;
        part->low[c] = place(i - w->before * d);
        part->high[c] = place(i + w->after * d + 1);
    }
}

int64_t sq__dilation(const char *text, int64_t head)
{
    char *end;
    int64_t value = strtoll(text, &end, 10);
    for (; head > 0 && *end == ','; head--) value = strtoll(end + 1, &end, 10);
    return value;
}

sq_status sq__dilation_check(const char *text, int64_t heads, const char *owner, sq_error *error)
{
    const char *at = text;
    int64_t count = 0;
    for (;; at++) {
        char *end;
        const long long value = strtoll(at, &end, 10);
        if (end == at || value < 1 || value > LARGEST || (*end && *end != ','))
            return sq__fail(error, SQ_INVALID, "%s: dilation is '%.60s'; expected a number from 1 to %d, or one per head with commas between", owner, text, LARGEST);
        count++;
        at = end;
        if (!*at) break;
    }
    if (count != 1 && count != heads)
        return sq__fail(error, SQ_INVALID, "%s: dilation names %lld heads; expected 1 or %lld", owner, (long long)count, (long long)heads);
    return SQ_OK;
}
