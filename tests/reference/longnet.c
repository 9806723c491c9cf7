/* LongNet, naive: one softmax for each pair of segment and dilation, mixed by their denominators. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "reference/listed.h"

enum { PAIRS = 16 };

typedef struct pair { int64_t segment, dilation, offset; } pair;

static int together(const void *context, int64_t i, int64_t j)
{
    const pair *p = context;
    return i / p->segment == j / p->segment && i % p->segment % p->dilation == p->offset && j % p->segment % p->dilation == p->offset;
}

static int read_numbers(const char *text, int64_t *values)
{
    int count = 0;
    for (char *end; *text; text = *end ? end + 1 : end) values[count++] = strtoll(text, &end, 10);
    return count;
}

static int read_pairs(const reference_case *at, int64_t h, pair *pairs)
{
    int64_t segments[PAIRS], dilations[PAIRS];
    const int count = read_numbers(reference_option(at, "segments"), segments);
    read_numbers(reference_option(at, "dilations"), dilations);
    for (int p = 0; p < count; p++) {
        const int64_t r = dilations[p];
        pairs[p] = (pair){ segments[p], r, h % r };
        if (reference_is(at, "offsets", "group")) pairs[p].offset = h / ((at->H + r - 1) / r);
        if (reference_is(at, "padding", "true") && !at->causal && pairs[p].segment > at->N) pairs[p].segment = at->N;
    }
    return count;
}

/* Zeros that fill up the segment of row i and are kept. */
static double zeros(const reference_case *at, const pair *p, int64_t i)
{
    double count = 0;
    if (at->causal || !reference_is(at, "padding", "true") || i % p->segment % p->dilation != p->offset) return 0;
    for (int64_t j = at->N; j < (at->N + p->segment - 1) / p->segment * p->segment; j++)
        if (j / p->segment == i / p->segment && j % p->segment % p->dilation == p->offset) count++;
    return count;
}

static void run_row(const reference_case *at, int64_t b, int64_t i, int64_t h)
{
    pair pairs[PAIRS];
    const int count = read_pairs(at, h, pairs);
    const reference_case *weighing = reference_is(at, "mixture", "constant") ? at->frozen : at;
    double log_sum[PAIRS], top = -INFINITY, sum = 0, *out = malloc((size_t)at->M * sizeof *out);
    for (int p = 0; p < count; p++) {
        log_sum[p] = reference_attend(weighing, b, i, h, together, &pairs[p], zeros(at, &pairs[p], i), out);
        top = fmax(top, log_sum[p]);
    }
    for (int p = 0; p < count && top > -INFINITY; p++) sum += exp(log_sum[p] - top);
    for (int p = 0; p < count && sum > 0; p++) {
        reference_attend(at, b, i, h, together, &pairs[p], zeros(at, &pairs[p], i), out);
        for (int64_t c = 0; c < at->M; c++) reference_out(at, b, i, h)[c] += exp(log_sum[p] - top) / sum * out[c];
    }
    free(out);
}

static void run(const reference_case *at)
{
    for (int64_t b = 0; b < at->B; b++)
        for (int64_t i = 0; i < reference_rows(at, b); i++)
            for (int64_t h = 0; h < at->H; h++) run_row(at, b, i, h);
}

static const reference_variant variants[] = {
    { .options = "", .largest = 300 },
    { .options = "segments=16,64,256 dilations=1,3,8" },
    { .options = "segments=7,50 dilations=1,2 offsets=group mixture=constant", .largest = 300 },
    { .options = "segments=20,90 dilations=2,3 offsets=group padding=true", .largest = 300, .skip = SQ_CAN_MASK | SQ_CAN_LENGTHS | SQ_CAN_BIAS },
    { .options = "segments=24,300 dilations=1,2 mixture=constant padding=true", .largest = 300, .skip = SQ_CAN_MASK | SQ_CAN_LENGTHS | SQ_CAN_BIAS },
    { .options = NULL },
};

const reference_row reference_longnet = { "longnet", run, variants };
