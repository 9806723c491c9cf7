/* What the tasks over binary vectors (arXiv:1410.5401) share. */
#include "data/tasks/generator.h"

void sq__bits_draw(sq_bit_rows *rows, sq_draws *draws)
{
    for (int64_t i = 0; i < rows->rows * rows->bits; i++) rows->values[i] = (uint8_t)sq__draw_below(draws, 2);
}

void sq__bits_put(FILE *out, const uint8_t *values, int64_t bits)
{
    for (int64_t i = 0; i < bits; i++) fputs(values && values[i] ? ",1" : ",0", out);
}

void sq__bits_empty(FILE *out, int64_t bits)
{
    for (int64_t i = 0; i < bits; i++) fputc(',', out);
}

void sq__task_columns(FILE *out, const char *name, int64_t count)
{
    for (int64_t i = 1; i <= count; i++) fprintf(out, ",%s%lld", name, (long long)i);
}

void sq__task_inputs(FILE *out, const char *const *names, const int64_t *counts, int count)
{
    const char *between = "";
    fputs("  numeric: [", out);
    for (int n = 0; n < count; n++)
        for (int64_t i = 1; i <= (counts[n] ? counts[n] : 1); i++, between = ", ") {
            fprintf(out, "%s{column: %s", between, names[n]);
            if (counts[n]) fprintf(out, "%lld", (long long)i);
            fputs(", transform: none}", out);
        }
    fputs("]\n", out);
}

void sq__task_bits(FILE *out, int64_t count, const char *more)
{
    fputs("  target: {kind: event-bits, columns: [", out);
    for (int64_t i = 1; i <= count; i++) fprintf(out, "%st%lld", i > 1 ? ", " : "", (long long)i);
    if (more) fprintf(out, ", %s", more);
    fputs("]}\n", out);
}
