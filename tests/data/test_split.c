/* Who trains, validates, tests: shares, independence of the file's order, stability, time, given files. */
#include "support/check.h"

#include "base/memory.h"
#include "data/split.h"

enum { COUNT = 1000 };

static sq_member members[COUNT];
static char ids[COUNT][16];

static void make_members(void)
{
    for (int i = 0; i < COUNT; i++) {
        snprintf(ids[i], sizeof ids[i], "client%d", i);
        members[i] = (sq_member){ .id = ids[i], .class = i % 10 == 0 ? 2 : i % 2, .time = (i * 7919) % 1009, .place = i };
    }
}

static sq_status assign(int by, double validation, double test, int64_t seed, int64_t count, sq_error *error)
{
    sq_data_config config = { .split = { .by = by, .validation = validation, .test = test, .seed = seed } };
    return sq__split_assign(members, count, 3, &config, error);
}

static void count_splits(int64_t sizes[SQ_SPLIT_COUNT], int class)
{
    for (int s = 0; s < SQ_SPLIT_COUNT; s++) sizes[s] = 0;
    for (int i = 0; i < COUNT; i++)
        if (class < 0 || members[i].class == class) sizes[members[i].split]++;
}

static void stratified_keeps_the_shares_of_every_class(void **state)
{
    sq_split before[COUNT];
    int64_t sizes[SQ_SPLIT_COUNT], moved = 0;
    sq_error error;
    (void)state;
    make_members();
    assert_ok(assign(SQ_BY_STRATIFIED, 0.1, 0.2, 1, COUNT, &error), &error);
    for (int class = 0; class < 3; class++) {
        const int64_t of_class[] = { 400, 500, 100 };
        count_splits(sizes, class);
        assert_int_equal(sizes[SQ_SPLIT_TEST], of_class[class] / 5);
        assert_int_equal(sizes[SQ_SPLIT_VALIDATION], of_class[class] / 10);
    }
    /* the same clients in another order: the same splits; another seed: others */
    for (int i = 0; i < COUNT; i++) before[i] = members[i].split;
    make_members();
    for (int i = 0; i < COUNT / 2; i++) {
        sq_member swap = members[i];
        members[i] = members[COUNT - 1 - i];
        members[COUNT - 1 - i] = swap;
    }
    assert_ok(assign(SQ_BY_STRATIFIED, 0.1, 0.2, 1, COUNT, &error), &error);
    for (int i = 0; i < COUNT; i++) assert_int_equal(members[i].split, before[members[i].place]);
    make_members();
    assert_ok(assign(SQ_BY_STRATIFIED, 0.1, 0.2, 2, COUNT, &error), &error);
    for (int i = 0; i < COUNT; i++) moved += members[i].split != before[i];
    assert_true(moved > COUNT / 4);
}

static void by_client_is_stable_when_clients_come(void **state)
{
    sq_split before[COUNT];
    int64_t sizes[SQ_SPLIT_COUNT];
    sq_error error;
    (void)state;
    make_members();
    assert_ok(assign(SQ_BY_CLIENT, 0.1, 0.2, 1, COUNT / 2, &error), &error);
    for (int i = 0; i < COUNT / 2; i++) before[i] = members[i].split;
    assert_ok(assign(SQ_BY_CLIENT, 0.1, 0.2, 1, COUNT, &error), &error);
    for (int i = 0; i < COUNT / 2; i++) assert_int_equal(members[i].split, before[i]);
    count_splits(sizes, -1);
    assert_in_range(sizes[SQ_SPLIT_TEST], 150, 250);
    assert_in_range(sizes[SQ_SPLIT_VALIDATION], 60, 140);
}

static void by_time_tests_on_the_latest(void **state)
{
    double earliest[SQ_SPLIT_COUNT] = { INFINITY, INFINITY, INFINITY }, latest[SQ_SPLIT_COUNT] = { -1, -1, -1 };
    sq_error error;
    (void)state;
    make_members();
    assert_ok(assign(SQ_BY_TIME, 0.1, 0.2, 1, COUNT, &error), &error);
    for (int i = 0; i < COUNT; i++) {
        earliest[members[i].split] = fmin(earliest[members[i].split], members[i].time);
        latest[members[i].split] = fmax(latest[members[i].split], members[i].time);
    }
    assert_true(latest[SQ_SPLIT_TRAIN] <= earliest[SQ_SPLIT_VALIDATION]);
    assert_true(latest[SQ_SPLIT_VALIDATION] <= earliest[SQ_SPLIT_TEST]);
}

/* A split without files of its own is drawn from the training files. */
static void given_files(void **state)
{
    char name[] = "test.csv", *names[] = { name };
    sq_data_config config = { .split = { .by = SQ_BY_FILES, .validation = 0.25, .test = 0.2, .test_files = { 1, names } } };
    int64_t sizes[SQ_SPLIT_COUNT];
    sq_error error;
    (void)state;
    make_members();
    for (int i = 0; i < COUNT; i++) members[i].part = i < 600 ? SQ_SPLIT_TRAIN : SQ_SPLIT_TEST;
    assert_ok(sq__split_assign(members, COUNT, 3, &config, &error), &error);
    for (int i = 600; i < COUNT; i++) assert_int_equal(members[i].split, SQ_SPLIT_TEST);
    count_splits(sizes, -1);
    assert_int_equal(sizes[SQ_SPLIT_TEST], 400);
    assert_int_equal(sizes[SQ_SPLIT_VALIDATION], 150);
}

static void small_sets(void **state)
{
    sq_error error;
    (void)state;
    make_members();
    for (int i = 0; i < 6; i++) members[i].class = i % 2;
    assert_ok(assign(SQ_BY_STRATIFIED, 0.1, 0.2, 1, 6, &error), &error);   /* of three of a class each split gets one */
    int seen[2][SQ_SPLIT_COUNT] = { { 0 } };
    for (int i = 0; i < 6; i++) seen[members[i].class][members[i].split]++;
    for (int class = 0; class < 2; class++)
        for (int s = 0; s < SQ_SPLIT_COUNT; s++) assert_int_equal(seen[class][s], 1);
    assert_int_equal(assign(SQ_BY_STRATIFIED, 0.1, 0.2, 1, 2, &error), SQ_INVALID);
    assert_string_equal(error.message, "no client is left for the validation split of 2; expected more clients or another 'split'");
    for (int i = 0; i < 20; i++) members[i].class = i == 0;
    for (int i = 0; i < 20; i++) members[i].time = i == 0 ? 100 : i;
    assert_int_equal(assign(SQ_BY_TIME, 0.1, 0.2, 1, 20, &error), SQ_INVALID);
    assert_string_equal(error.message, "all 14 clients of the training split are of one class; expected two at least");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stratified_keeps_the_shares_of_every_class), cmocka_unit_test(by_client_is_stable_when_clients_come),
        cmocka_unit_test(by_time_tests_on_the_latest), cmocka_unit_test(given_files), cmocka_unit_test(small_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
