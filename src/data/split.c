#include "data/split.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"

static int by_draw(const void *a, const void *b)
{
    const sq_member *x = *(sq_member *const *)a, *y = *(sq_member *const *)b;
    if (x->class != y->class) return x->class - y->class;
    if (x->draw != y->draw) return x->draw > y->draw ? 1 : -1;
    int order = strcmp(x->id, y->id);
    return order ? order : (x->place > y->place) - (x->place < y->place);
}

static int by_time(const void *a, const void *b)
{
    const sq_member *x = *(sq_member *const *)a, *y = *(sq_member *const *)b;
    if (x->time != y->time) return x->time < y->time ? 1 : -1;
    return by_draw(a, b);
}

/* How many of count go to a split: the nearest whole number, but at least one when the fraction is not 0 and others remain. */
static int64_t share(double fraction, int64_t count, int64_t left)
{
    int64_t wanted = (int64_t)(fraction * (double)count + 0.5);
    if (wanted == 0 && fraction > 0.0 && left > 1) wanted = 1;
    return wanted < left ? wanted : left > 0 ? left - 1 : 0;
}

/* Of members in drawn order the first go to the test, the next to validation. */
static void deal(sq_member **members, int64_t count, double validation, double test)
{
    int64_t tests = share(test, count, count), validations = share(validation, count, count - tests);
    for (int64_t i = 0; i < count; i++)
        members[i]->split = i < tests ? SQ_SPLIT_TEST : i < tests + validations ? SQ_SPLIT_VALIDATION : SQ_SPLIT_TRAIN;
}

static void deal_by_class(sq_member **members, int64_t count, double validation, double test)
{
    qsort(members, (size_t)count, sizeof *members, by_draw);
    for (int64_t begin = 0, end; begin < count; begin = end) {
        for (end = begin; end < count && members[end]->class == members[begin]->class; end++) {}
        deal(members + begin, end - begin, validation, test);
    }
}

static void by_client(sq_member *members, int64_t count, double validation, double test)
{
    for (int64_t i = 0; i < count; i++) {
        double place = (double)(members[i].draw >> 11) * 0x1p-53;
        members[i].split = place < test ? SQ_SPLIT_TEST : place < test + validation ? SQ_SPLIT_VALIDATION : SQ_SPLIT_TRAIN;
    }
}

/* Splits without files of their own are drawn from the training files, by class. */
static void by_files(sq_member *members, sq_member **order, int64_t count, const sq_data_split *split)
{
    int64_t drawn = 0;
    for (int64_t i = 0; i < count; i++) {
        members[i].split = (sq_split)members[i].part;
        if (members[i].split == SQ_SPLIT_TRAIN) order[drawn++] = &members[i];
    }
    deal_by_class(order, drawn, split->validation_files.count ? 0.0 : split->validation, split->test_files.count ? 0.0 : split->test);
}

static sq_status check_parts(const sq_member *members, int64_t count, int class_count, const sq_data_split *split, sq_error *error)
{
    static const char *const names[] = { "training", "validation", "test" };
    const double fractions[] = { 1.0, split->validation, split->test };
    int64_t sizes[SQ_SPLIT_COUNT] = { 0 };
    int32_t first = -1;
    bool several = false;
    for (int64_t i = 0; i < count; i++) {
        sizes[members[i].split]++;
        if (members[i].split != SQ_SPLIT_TRAIN) continue;
        several = several || (first >= 0 && members[i].class != first);
        first = members[i].class;
    }
    for (int s = 0; s < SQ_SPLIT_COUNT; s++)
        if (sizes[s] == 0 && fractions[s] > 0.0)
            return sq__fail(error, SQ_INVALID, "no client is left for the %s split of %lld; expected more clients or another 'split'", names[s], (long long)count);
    if (class_count > 1 && !several)
        return sq__fail(error, SQ_INVALID, "all %lld clients of the training split are of one class; expected two at least", (long long)sizes[SQ_SPLIT_TRAIN]);
    return SQ_OK;
}

sq_status sq__split_assign(sq_member *members, int64_t count, int class_count, const sq_data_config *config, sq_error *error)
{
    const sq_data_split *split = &config->split;
    sq_member **order = sq__alloc_array((size_t)count, sizeof *order);
    if (!order) return sq__no_memory(error);
    for (int64_t i = 0; i < count; i++) {
        sq_random random = sq__random_stream((uint64_t)split->seed, "split", sq__hash_text(members[i].id));
        members[i].draw = sq__random_u64(&random, 0);
        order[i] = &members[i];
    }
    switch ((sq_data_by)split->by) {
    case SQ_BY_STRATIFIED: deal_by_class(order, count, split->validation, split->test); break;
    case SQ_BY_CLIENT: by_client(members, count, split->validation, split->test); break;
    case SQ_BY_TIME:
        qsort(order, (size_t)count, sizeof *order, by_time);
        deal(order, count, split->validation, split->test);
        break;
    case SQ_BY_FILES: by_files(members, order, count, split); break;
    }
    sq__free(order);
    return check_parts(members, count, class_count, split, error);
}
