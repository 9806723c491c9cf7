/* Associative recall and priority sort (arXiv:1410.5401, sections 4.3 and 4.5). */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "data/tasks/generator.h"

/* ---- associative recall ---- */

typedef struct recall { sq_task_counts counts; int64_t bits, rows, min_items, max_items, test_items; } recall;

static const sq_field recall_fields[] = {
    SQ_TASK_COUNTS(recall, "20000", "500", "500"),
    SQ_INT(recall, bits, "6", 1, 64, "of a vector"),
    SQ_INT(recall, rows, "3", 1, 1000, "vectors of an item"),
    SQ_INT(recall, min_items, "2", 2, 10000, "items of a sequence, at least"),
    SQ_INT(recall, max_items, "6", 2, 10000, "at most"),
    SQ_INT(recall, test_items, "0", 0, 10000, "items of every test sequence; 0: as in training"),
    SQ_FIELDS_END
};

static int64_t most_items(const recall *c) { return c->test_items > c->max_items ? c->test_items : c->max_items; }

static sq_status recall_check(void *options, sq_error *error)
{
    const recall *c = options;
    if (c->min_items > c->max_items)
        return sq__fail(error, SQ_INVALID, "min-items %lld is above max-items %lld", (long long)c->min_items, (long long)c->max_items);
    return c->test_items == 1 ? sq__fail(error, SQ_INVALID, "test-items 1; expected 2 or more: the item after another is asked") : SQ_OK;
}

static sq_status recall_open(void **state, void *options, sq_error *error)
{
    const recall *c = options;
    *state = sq__alloc_array((size_t)(most_items(c) * c->rows), (size_t)c->bits);
    return *state ? SQ_OK : sq__no_memory(error);
}

static void recall_header(const void *options, const void *state, FILE *out)
{
    const recall *c = options;
    (void)state;
    fputs("sequence", out);
    sq__task_columns(out, "b", c->bits);
    fputs(",item,query", out);
    sq__task_columns(out, "t", c->bits);
    fputc('\n', out);
}

static void recall_row(sq_task_writing *w, const uint8_t *input, const char *marks, const uint8_t *target)
{
    const recall *c = w->config;
    fprintf(w->out, "%lld", (long long)w->number);
    sq__bits_put(w->out, input, c->bits);
    fputs(marks, w->out);
    if (target) sq__bits_put(w->out, target, c->bits);
    else sq__bits_empty(w->out, c->bits);
    fputc('\n', w->out);
    w->events++;
}

static void recall_sequence(sq_task_writing *w)
{
    const recall *c = w->config;
    const int64_t items = w->part == SQ_PART_TEST && c->test_items ? c->test_items : c->min_items + sq__draw_below(&w->draws, c->max_items - c->min_items + 1);
    sq_bit_rows all = { c->bits, items * c->rows, w->state };
    sq__bits_draw(&all, &w->draws);
    const int64_t size = c->rows * c->bits, asked = sq__draw_below(&w->draws, items - 1);
    for (int64_t i = 0; i < items; i++) {
        recall_row(w, NULL, ",1,0", NULL);
        for (int64_t r = 0; r < c->rows; r++) recall_row(w, all.values + i * size + r * c->bits, ",0,0", NULL);
    }
    recall_row(w, NULL, ",0,1", NULL);
    for (int64_t r = 0; r < c->rows; r++) recall_row(w, all.values + asked * size + r * c->bits, ",0,0", NULL);
    recall_row(w, NULL, ",0,1", NULL);
    for (int64_t r = 0; r < c->rows; r++) recall_row(w, NULL, ",0,0", all.values + (asked + 1) * size + r * c->bits);
}

static int64_t recall_longest(const void *options, const void *state)
{
    const recall *c = options;
    (void)state;
    return most_items(c) * (c->rows + 1) + 2 * c->rows + 2;
}

static void recall_data(const void *options, const void *state, FILE *out)
{
    const recall *c = options;
    (void)state;
    sq__task_inputs(out, (const char *[]){ "b", "item", "query" }, (const int64_t[]){ c->bits, 0, 0 }, 3);
    sq__task_bits(out, c->bits, NULL);
}

static void settings(const void *options, FILE *out)
{
    (void)options;
    sq__task_settings(out, &(sq_task_settings){ .layers = 2, .width = 128, .causal = true, .rate = 0.001, .epochs = 10, .batch = 16, .mechanisms = "softmax", .models = "ntm,transformer-xl,deltanet", .baselines = "gru" });
}

static void recall_readme(const void *options, const void *state, FILE *out)
{
    const recall *c = options;
    (void)state;
    fprintf(out, "A sequence is %lld to %lld items. An item is an event with item = 1 and %lld random vectors of %lld bits (b1 to b%lld), one an event. Then one of"
                 " the items, not the last, comes once more between two events with query = 1, and at the %lld events after these, which have no input, the"
                 " item that had followed it is asked: t1 to t%lld.",
            (long long)c->min_items, (long long)c->max_items, (long long)c->rows, (long long)c->bits, (long long)c->bits, (long long)c->rows, (long long)c->bits);
    if (c->test_items) fprintf(out, " Test sequences have %lld items.", (long long)c->test_items);
    fprintf(out, "\n\nThe best that can be reached: 0 bits per sequence (two equal items in a sequence, which would leave a doubt, are rarer than one in"
                 " 2^%lld a pair). Without memory: %lld bits per sequence, half of them wrong.\n",
            (long long)(c->rows * c->bits), (long long)(c->rows * c->bits));
}

const sq_generator sq__generator_associative_recall = {
    .name = "associative-recall", .title = "find the item that followed the one that is asked", .source = "Graves et al. 2014, arXiv:1410.5401, section 4.3",
    .help = "Items of a few random binary vectors, then one of them again as a query: the item after it is asked. A model has to find by content and step on.",
    .id = "sequence", .config_size = sizeof(recall), .fields = recall_fields, .check = recall_check, .open = recall_open, .close = sq__free, .header = recall_header,
    .sequence = recall_sequence, .longest = recall_longest, .data = recall_data, .settings = settings, .readme = recall_readme,
};

/* ---- priority sort ---- */

typedef struct sorting { sq_task_counts counts; int64_t bits, vectors, answers; } sorting;

static const sq_field sort_fields[] = {
    SQ_TASK_COUNTS(sorting, "20000", "500", "500"),
    SQ_INT(sorting, bits, "8", 1, 64, "of a vector"),
    SQ_INT(sorting, vectors, "20", 1, 100000, "vectors of a sequence"),
    SQ_INT(sorting, answers, "16", 1, 100000, "of them that are asked, those of the highest priority"),
    SQ_FIELDS_END
};

typedef struct ranked { int64_t priority, place; } ranked;   /* priority: in millionths, as it is printed */
typedef struct sort_scratch { uint8_t *values; ranked *order; } sort_scratch;

static sq_status sort_check(void *options, sq_error *error)
{
    const sorting *c = options;
    if (c->answers <= c->vectors) return SQ_OK;
    return sq__fail(error, SQ_INVALID, "answers %lld is above vectors %lld", (long long)c->answers, (long long)c->vectors);
}

static void sort_close(void *state)
{
    sort_scratch *scratch = state;
    if (!scratch) return;
    sq__free(scratch->values);
    sq__free(scratch->order);
    sq__free(scratch);
}

static sq_status sort_open(void **state, void *options, sq_error *error)
{
    const sorting *c = options;
    sort_scratch *scratch = *state = sq__alloc_zero(sizeof *scratch);
    if (!scratch) return sq__no_memory(error);
    scratch->values = sq__alloc_array((size_t)c->vectors, (size_t)c->bits);
    scratch->order = sq__alloc_array((size_t)c->vectors, sizeof *scratch->order);
    return scratch->values && scratch->order ? SQ_OK : sq__no_memory(error);
}

static void sort_header(const void *options, const void *state, FILE *out)
{
    const sorting *c = options;
    (void)state;
    fputs("sequence", out);
    sq__task_columns(out, "b", c->bits);
    fputs(",priority,end", out);
    sq__task_columns(out, "t", c->bits);
    fputc('\n', out);
}

/* Falling priority; of equals the earlier first. */
static int by_priority(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    return x->priority != y->priority ? (x->priority < y->priority) - (x->priority > y->priority) : (x->place > y->place) - (x->place < y->place);
}

static void sort_sequence(sq_task_writing *w)
{
    const sorting *c = w->config;
    const sort_scratch *scratch = w->state;
    sq_bit_rows rows = { c->bits, c->vectors, scratch->values };
    sq__bits_draw(&rows, &w->draws);
    for (int64_t i = 0; i < c->vectors; i++) {
        const int64_t priority = sq__draw_below(&w->draws, 2000001) - 1000000;
        scratch->order[i] = (ranked){ priority, i };
        fprintf(w->out, "%lld", (long long)w->number);
        sq__bits_put(w->out, rows.values + i * c->bits, c->bits);
        fprintf(w->out, ",%.6f,0", (double)priority * 1e-6);
        sq__bits_empty(w->out, c->bits);
        fputc('\n', w->out);
    }
    qsort(scratch->order, (size_t)c->vectors, sizeof *scratch->order, by_priority);
    for (int64_t i = -1; i < c->answers; i++) {
        fprintf(w->out, "%lld", (long long)w->number);
        sq__bits_put(w->out, NULL, c->bits);
        fputs(i < 0 ? ",0,1" : ",0,0", w->out);
        if (i < 0) sq__bits_empty(w->out, c->bits);
        else sq__bits_put(w->out, rows.values + scratch->order[i].place * c->bits, c->bits);
        fputc('\n', w->out);
    }
    w->events += c->vectors + c->answers + 1;
}

static int64_t sort_longest(const void *options, const void *state)
{
    const sorting *c = options;
    (void)state;
    return c->vectors + c->answers + 1;
}

static void sort_data(const void *options, const void *state, FILE *out)
{
    const sorting *c = options;
    (void)state;
    sq__task_inputs(out, (const char *[]){ "b", "priority", "end" }, (const int64_t[]){ c->bits, 0, 0 }, 3);
    sq__task_bits(out, c->bits, NULL);
}

static void sort_readme(const void *options, const void *state, FILE *out)
{
    const sorting *c = options;
    (void)state;
    fprintf(out, "A sequence is %lld random vectors of %lld bits (b1 to b%lld), one an event, each with a priority drawn evenly from -1 to 1, then an event with"
                 " end = 1, then %lld events without any input. At these the vectors of the highest priorities are asked, the highest first: t1 to t%lld.\n\n"
                 "The best that can be reached: 0 bits per sequence. Without memory: %lld bits, half of them wrong.\n",
            (long long)c->vectors, (long long)c->bits, (long long)c->bits, (long long)c->answers, (long long)c->bits, (long long)(c->answers * c->bits));
}

const sq_generator sq__generator_priority_sort = {
    .name = "priority-sort", .title = "give binary vectors back in the order of their priorities", .source = "Graves et al. 2014, arXiv:1410.5401, section 4.5",
    .help = "Random binary vectors with a priority each; then those of the highest priorities are asked in falling order.",
    .id = "sequence", .config_size = sizeof(sorting), .fields = sort_fields, .check = sort_check, .open = sort_open, .close = sort_close, .header = sort_header,
    .sequence = sort_sequence, .longest = sort_longest, .data = sort_data, .settings = settings, .readme = sort_readme,
};
