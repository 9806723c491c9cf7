#include "base/memory.h"
#include "subquad/status.h"
#include "support/check.h"

static void counts_bytes_exactly(void **state)
{
    (void)state;
    size_t before = sq_memory_current();
    sq_memory_reset_peak();
    char *a = sq__alloc(1000), *b = sq__alloc_array(7, 11);
    assert_int_equal(sq_memory_current() - before, 1077);
    assert_int_equal((uintptr_t)a % SQ_ALIGN, 0);
    for (int i = 0; i < 77; i++) assert_int_equal(b[i], 0);
    sq__free(a);
    assert_int_equal(sq_memory_current() - before, 77);
    assert_int_equal(sq_memory_peak() - before, 1077);
    sq__free(b);
    assert_int_equal(sq_memory_current(), before);
}

static void realloc_keeps_content(void **state)
{
    (void)state;
    size_t before = sq_memory_current();
    char *text = sq__strdup("the quick brown fox");
    text = sq__realloc(text, 4000);
    assert_string_equal(text, "the quick brown fox");
    text = sq__realloc(text, 3);
    assert_memory_equal(text, "the", 3);
    assert_int_equal(sq_memory_current() - before, 3);
    sq__free(text);
    assert_int_equal(sq_memory_current(), before);
}

static void overflow_is_refused(void **state)
{
    (void)state;
    assert_null(sq__alloc_array(SIZE_MAX / 2, 3));
    assert_null(sq__alloc(SIZE_MAX - 10));
}

static void fails_when_told(void **state)
{
    (void)state;
    sq__alloc_fail_after(3);
    void *a = sq__alloc(1), *b = sq__alloc(1);
    assert_non_null(a);
    assert_non_null(b);
    assert_null(sq__alloc(1));
    assert_null(sq__alloc(1));
    sq__alloc_fail_after(0);
    void *c = sq__alloc(1);
    assert_non_null(c);
    sq__free(a);
    sq__free(b);
    sq__free(c);
}

static void cut_measures_what_it_hands_out(void **state)
{
    (void)state;
    sq_cut measure = { NULL, 0 };
    assert_null(sq__cut_floats(&measure, 3));
    sq__cut(&measure, 65);
    assert_int_equal(measure.used, 64 + 128);
    char *memory = sq__alloc(measure.used);
    sq_cut cut = { memory, 0 };
    assert_ptr_equal(sq__cut_floats(&cut, 3), memory);
    assert_ptr_equal(sq__cut(&cut, 65), memory + 64);
    assert_int_equal(cut.used, measure.used);
    sq__free(memory);
}

static void arena_reuses_its_blocks(void **state)
{
    (void)state;
    size_t before = sq_memory_current();
    sq_arena *arena = sq__arena_create(1 << 12);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 100; i++) {
            char *piece = sq__arena_alloc(arena, (size_t)(i * 37));
            assert_non_null(piece);
            assert_int_equal((uintptr_t)piece % SQ_ALIGN, 0);
            memset(piece, i, (size_t)(i * 37));
        }
        static size_t first;
        if (round == 0) first = sq_memory_current();
        else assert_int_equal(sq_memory_current(), first);
        sq__arena_reset(arena);
    }
    sq__arena_destroy(arena);
    sq__arena_destroy(NULL);
    assert_int_equal(sq_memory_current(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_bytes_exactly), cmocka_unit_test(realloc_keeps_content), cmocka_unit_test(overflow_is_refused),
        cmocka_unit_test(fails_when_told), cmocka_unit_test(cut_measures_what_it_hands_out), cmocka_unit_test(arena_reuses_its_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
