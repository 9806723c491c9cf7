/* Built-in tasks made of files that the user has: bAbI, and images in the IDX form. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "data/generated.h"

static void babi_files_become_a_task(void **state)
{
    (void)state;
    put("qa_train.txt", "1 Ada went to the hall.\n2 Bo sat.\n3 Where is Ada? \thall\t1\n4 Ada went out.\n5 Where is Ada?\tout,far\t4\n"
                        "1 Bo went home.\n2 Where is Bo?\thome\t1\n1 Bo ran.\n2 Where is Bo?\thall\t1\n");
    put("qa_test.txt", "1 Ada went home.\n2 Where is Ada? \thome\t1\n");
    char train[256], test[256];
    snprintf(train, sizeof train, "%s", path_of("qa_train.txt"));
    snprintf(test, sizeof test, "%s", path_of("qa_test.txt"));
    const sq_option options[] = { { "train-file", train }, { "test-file", test }, { "validation-share", "0.4" } };
    sq_dataset *d = load_task("babi", options, 3);
    assert_int_equal(d->split_size[SQ_SPLIT_TRAIN], 2);
    assert_int_equal(d->split_size[SQ_SPLIT_VALIDATION], 2);
    assert_int_equal(d->split_size[SQ_SPLIT_TEST], 1);
    const int64_t second = d->split[SQ_SPLIT_TRAIN][1];
    assert_int_equal(d->length[second], 4);                 /* the first question is left out */
    assert_string_equal(d->schema->classes[d->label[second]], "out,far");
    assert_string_equal(word(d, 0, d->start[second] + 3), "where");
    assert_string_equal(word(d, 4, d->start[second]), "hall");
    sq__dataset_destroy(&d);

    sq_task_generated made;
    sq_error error;
    put("qa_test.txt", "1 Ada went home.\nWhere is Ada?\thome\t1\n");
    assert_int_equal(sq_generate_task("babi", path_of("task"), options, 3, &made, &error), SQ_FORMAT);
    assert_string_equal(shown(&error), "qa_test.txt:2:1: expected a number and a sentence, or a question, a tab and its answer");
}

static void pixels_are_permuted_alike(void **state)
{
    (void)state;
    static const uint8_t images[] = { 0, 0, 8, 3, 0, 0, 0, 4, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3, 4, 11, 12, 13, 14, 21, 22, 23, 24, 31, 32, 33, 34 };
    static const uint8_t labels[] = { 0, 0, 8, 1, 0, 0, 0, 4, 5, 6, 5, 6 };
    char values[256], classes[256];
    put_bytes("images", images, sizeof images);
    put_bytes("labels", labels, sizeof labels);
    snprintf(values, sizeof values, "%s", path_of("images"));
    snprintf(classes, sizeof classes, "%s", path_of("labels"));
    sq_option options[] = { { "images", values }, { "labels", classes }, { "train", "2" }, { "validation", "1" }, { "test", "1" }, { "seed", "3" } };
    sq_dataset *d = load_task("permuted-pixels", options, 6);
    const float *pixels = d->numbers[0];
    for (int64_t i = 0; i < 4; i++) {
        assert_int_equal(d->length[i], 4);
        for (int p = 0; p < 4; p++)   /* the same order everywhere: all images differ by 10, all pixels by the same scale */
            assert_close(pixels[d->start[i] + p] - pixels[d->start[0] + p], (float)i * (pixels[d->start[1]] - pixels[d->start[0]]), 1e-5);
    }
    sq__dataset_destroy(&d);

    sq_task_generated made;
    sq_error error;
    put_bytes("images", images, sizeof images - 1);
    assert_int_equal(sq_generate_task("permuted-pixels", path_of("task"), options, 6, &made, &error), SQ_FORMAT);
    assert_string_equal(shown(&error), "images: ends too early");
    options[2].value = "3";
    put_bytes("images", images, sizeof images);
    assert_int_equal(sq_generate_task("permuted-pixels", path_of("task"), options, 6, &made, &error), SQ_INVALID);
    assert_string_equal(shown(&error), "images: has 4 images; --train, --validation and --test ask for 5");
    d = LOAD("permuted-pixels", { "size", "12" });
    assert_int_equal(d->schema->class_count, 10);
    assert_int_equal(d->schema->max_length, 144);
    sq__dataset_destroy(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(babi_files_become_a_task), cmocka_unit_test(pixels_are_permuted_alike) };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
