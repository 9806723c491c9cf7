#include <string.h>

#include "base/status.h"
#include "subquad/tools.h"

enum { LONGEST = 63 };

static char folded(char c)
{
    if (c >= 'A' && c <= 'Z') return (char)(c - 'A' + 'a');
    return c == '_' ? '-' : c;
}

/* Optimal string alignment distance: insertions, deletions, substitutions, swaps of neighbours. Words cut at LONGEST. */
static int distance(const char *a, const char *b)
{
    size_t m = strnlen(a, LONGEST), n = strnlen(b, LONGEST);
    int row[3][LONGEST + 1];
    for (size_t j = 0; j <= n; j++) row[1][j] = (int)j;
    for (size_t i = 1; i <= m; i++) {
        int *now = row[2], *last = row[1], *older = row[0];
        now[0] = (int)i;
        for (size_t j = 1; j <= n; j++) {
            char x = folded(a[i - 1]), y = folded(b[j - 1]);
            int best = last[j - 1] + (x != y);
            if (last[j] + 1 < best) best = last[j] + 1;
            if (now[j - 1] + 1 < best) best = now[j - 1] + 1;
            if (i > 1 && j > 1 && x == folded(b[j - 2]) && folded(a[i - 2]) == y && older[j - 2] + 1 < best) best = older[j - 2] + 1;
            now[j] = best;
        }
        memcpy(row[0], row[1], sizeof row[0]);
        memcpy(row[1], row[2], sizeof row[1]);
    }
    return row[1][n];
}

const char *sq__nearest(const char *word, const char *const *names, int count)
{
    const char *best = NULL;
    int least = 0;
    size_t length = strnlen(word, LONGEST);
    for (int i = 0; i < count; i++) {
        int d = distance(word, names[i]);
        if (length >= 3 && strncmp(word, names[i], length) == 0) d = 1;   /* an abbreviation */
        if (!best || d < least) {
            best = names[i];
            least = d;
        }
    }
    int limit = length <= 3 ? 1 : length <= 6 ? 2 : (int)length / 3 + 1;
    return best && least <= limit ? best : NULL;
}

const char *sq_nearest(const char *word, const char *const *names, int count)
{
    return sq__nearest(word, names, count);
}

const char *sq__did_you_mean(const char *word, const char *const *names, int count, char *buffer, size_t size)
{
    const char *name = sq__nearest(word, names, count);
    if (size) buffer[0] = '\0';
    if (name) snprintf(buffer, size, "; did you mean '%s'?", name);
    return buffer;
}
