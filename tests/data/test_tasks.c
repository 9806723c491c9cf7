/* Built-in tasks: the files of each load, are the same for the same seed, and what is asked is what README.md says, worked out here anew. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "data/generated.h"

static float number(const sq_dataset *d, const char *name, int64_t event) { return d->numbers[find_number(d->schema, name)][event]; }

static float bit(const sq_dataset *d, int which, int64_t event)
{
    char name[16];
    snprintf(name, sizeof name, "b%d", which + 1);
    return number(d, name, event);
}

static bool asked(const sq_dataset *d, int64_t event) { return d->event_bits[event * d->schema->bit_count] != SQ_BIT_NOT_ASKED; }

/* ---- binary vectors ---- */

static void same_bits(const sq_dataset *d, int64_t answer, int64_t given, int bits)
{
    for (int b = 0; b < bits; b++) assert_true(d->event_bits[answer * d->schema->bit_count + b] == bit(d, b, given));
}

static void copies(void **state)
{
    (void)state;
    sq_dataset *d = LOAD("copy", { "max-length", "4" }, { "bits", "3" }, { "test-length", "9" });
    assert_int_equal(d->examples, 65);
    for (int64_t i = 0; i < d->examples; i++) {
        const int64_t n = d->length[i] / 2, at = d->start[i];
        assert_int_equal(d->length[i], 2 * n + 1);
        assert_true(number(d, "end", at + n) == 1);
        for (int64_t t = 0; t < n; t++) {
            assert_false(asked(d, at + t));
            same_bits(d, at + n + 1 + t, at + t, 3);
            assert_true(bit(d, 0, at + n + 1 + t) == 0);
        }
    }
    for (int64_t i = 0; i < d->split_size[SQ_SPLIT_TEST]; i++) assert_int_equal(d->length[d->split[SQ_SPLIT_TEST][i]], 19);
    for (int64_t i = 0; i < d->split_size[SQ_SPLIT_TRAIN]; i++) assert_true(d->length[d->split[SQ_SPLIT_TRAIN][i]] <= 9);
    sq__dataset_destroy(&d);
}

static void repeats(void **state)
{
    (void)state;
    sq_dataset *d = LOAD("repeat-copy", { "max-length", "3" }, { "bits", "4" }, { "max-repeats", "3" });
    for (int64_t i = 0; i < d->examples; i++) {
        const int64_t at = d->start[i], last = at + d->length[i] - 1;
        int64_t n = 0;
        while (number(d, "end", at + n) == 0) n++;
        const int64_t times = (d->length[i] - n - 2) / n;
        assert_int_equal(d->length[i], n * (times + 1) + 2);
        assert_close(number(d, "repeats", at + n), (double)(times - 2) / sqrt(2.0 / 3), 1e-5);
        for (int64_t t = 0; t < n * times; t++) {
            same_bits(d, at + n + 1 + t, at + t % n, 4);
            assert_int_equal(d->event_bits[(at + n + 1 + t) * 5 + 4], 0);
        }
        assert_int_equal(d->event_bits[last * 5 + 4], 1);
    }
    sq__dataset_destroy(&d);
}

static void recalls(void **state)
{
    (void)state;
    sq_dataset *d = LOAD("associative-recall", { "max-items", "4" });
    for (int64_t i = 0; i < d->examples; i++) {
        const int64_t at = d->start[i], items = (d->length[i] - 8) / 4;
        int64_t found = -1;
        assert_int_equal(d->length[i], 4 * items + 8);
        const int64_t query = at + 4 * items + 1;
        for (int64_t k = 0; k + 1 < items; k++) {
            bool same = true;
            for (int r = 0; r < 3; r++)
                for (int b = 0; b < 6; b++) same = same && bit(d, b, at + 4 * k + 1 + r) == bit(d, b, query + r);
            if (same) found = k;
        }
        assert_true(found >= 0);
        for (int r = 0; r < 3; r++) same_bits(d, query + 4 + r, at + 4 * (found + 1) + 1 + r, 6);
    }
    sq__dataset_destroy(&d);
}

static void sorts_by_priority(void **state)
{
    (void)state;
    sq_dataset *d = LOAD("priority-sort", { "vectors", "6" }, { "answers", "4" });
    for (int64_t i = 0; i < d->examples; i++) {
        const int64_t at = d->start[i];
        bool used[6] = { false };
        assert_int_equal(d->length[i], 11);
        for (int k = 0; k < 4; k++) {
            int best = -1;
            for (int v = 0; v < 6; v++)
                if (!used[v] && (best < 0 || number(d, "priority", at + v) > number(d, "priority", at + best))) best = v;
            used[best] = true;
            same_bits(d, at + 7 + k, at + best, 8);
        }
    }
    sq__dataset_destroy(&d);
}

/* ---- numbers, symbols, expressions ---- */

static void adds(void **state)
{
    (void)state;
    sq_dataset *d = LOAD("adding", { "length", "11" }, { "test_length", "6" });
    for (int64_t i = 0; i < d->examples; i++) {
        double sum = 0;
        int marked = 0;
        for (int64_t t = 0; t < d->length[i]; t++) {
            if (number(d, "marker", d->start[i] + t) != 1) continue;
            assert_int_equal(t >= d->length[i] / 2, marked++);   /* one in each half */
            sum += number(d, "value", d->start[i] + t);
        }
        assert_int_equal(marked, 2);
        assert_close(d->number[i], sum, 1e-6);
    }
    assert_int_equal(d->length[d->split[SQ_SPLIT_TEST][0]], 6);
    sq__dataset_destroy(&d);
}

static void check_sorting(const char *answer)
{
    sq_dataset *d = LOAD("sorting", { "length", "60" }, { "vocabulary", "5" }, { "answer", answer });
    for (int64_t i = 0; i < d->examples; i++) {
        const int64_t at = d->start[i];
        int counts[5] = { 0 }, first[5] = { 60, 60, 60, 60, 60 };
        assert_int_equal(d->length[i], 65);
        for (int t = 0; t < 60; t++) {
            const int s = atoi(word(d, 0, at + t));
            if (counts[s]++ == 0) first[s] = t;
            assert_int_equal(d->event_label[at + t], SQ_NOT_ASKED);
        }
        for (int k = 0; k < 5; k++) {
            int best = -1;
            for (int s = 0; s < 5; s++)
                if (counts[s] >= 0 && (best < 0 || counts[s] > counts[best] || (counts[s] == counts[best] && first[s] < first[best]))) best = s;
            counts[best] = -1;
            assert_int_equal(atoi(d->schema->classes[d->event_label[at + 60 + k]]), best);
            if (k == 0) assert_string_equal(word(d, 0, at + 60), "sort");
            else if (strcmp(answer, "blank") == 0) assert_string_equal(word(d, 0, at + 60 + k), "blank");
            else assert_string_equal(word(d, 0, at + 60 + k), d->schema->classes[d->event_label[at + 60 + k - 1]]);
        }
    }
    sq__dataset_destroy(&d);
}

static void sorts_by_frequency(void **state)
{
    (void)state;
    check_sorting("given");
    check_sorting("blank");
}

static int evaluate(const sq_dataset *d, int64_t *event)
{
    const char *token = word(d, 0, (*event)++);
    int values[10], count = 0, sum = 0;
    if (token[0] != '[') return atoi(token);
    while (strcmp(word(d, 0, *event), "]") != 0) values[count++] = evaluate(d, event);
    ++*event;
    for (int i = 0; i < count; i++) {
        sum += values[i];
        for (int j = i; j > 0 && values[j] < values[j - 1]; j--) {
            const int swap = values[j];
            values[j] = values[j - 1];
            values[j - 1] = swap;
        }
    }
    assert_true(count >= 2);
    if (strcmp(token, "[MIN") == 0) return values[0];
    if (strcmp(token, "[MAX") == 0) return values[count - 1];
    if (strcmp(token, "[SM") == 0) return sum % 10;
    assert_string_equal(token, "[MED");
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static void expressions_have_their_values(void **state)
{
    (void)state;
    sq_dataset *d = LOAD("listops", { "min-length", "20" }, { "max-length", "100" }, { "max-args", "5" });
    for (int64_t i = 0; i < d->examples; i++) {
        int64_t at = d->start[i];
        assert_true(d->length[i] > 20 && d->length[i] < 100);
        assert_int_equal(evaluate(d, &at), atoi(d->schema->classes[d->label[i]]));
        assert_int_equal(at, d->start[i] + d->length[i]);
    }
    sq__dataset_destroy(&d);
}

/* ---- stories ---- */

/* The place of a thing or animal by the last sentences that matter. */
static const char *told(const sq_dataset *d, int64_t from, int64_t end, const char *asked_for)
{
    const char *carrier = NULL, *place = NULL;
    for (int64_t t = from; t < end; t++) {
        const char *who = word(d, 1, t), *verb = word(d, 2, t);
        const bool walks = *word(d, 5, t) != 0, takes = strchr("tlg", verb[0]) && strcmp(verb, "leaves") != 0 && strcmp(verb, "loses") != 0;
        if (walks && (strcmp(who, asked_for) == 0 || (carrier && strcmp(who, carrier) == 0))) place = word(d, 5, t);
        if (walks || strcmp(word(d, 4, t), asked_for) != 0) continue;
        carrier = takes ? who : NULL;
        for (int64_t back = t; back >= from; back--)
            if (*word(d, 5, back) && strcmp(word(d, 1, back), who) == 0) {
                place = word(d, 5, back);
                break;
            }
    }
    return place;
}

static void check_stories(const char *facts)
{
    sq_dataset *d = LOAD("stories", { "facts", facts });
    for (int64_t i = 0; i < d->examples; i++) {
        const int64_t last = d->start[i] + d->length[i] - 1;
        assert_string_equal(word(d, 0, last), "where");
        assert_string_equal(told(d, d->start[i], last, word(d, 3, last)), d->schema->classes[d->label[i]]);
    }
    sq__dataset_destroy(&d);
}

static void stories_tell_their_answers(void **state)
{
    (void)state;
    check_stories("1");
    check_stories("2");
}

/* ---- all ---- */

static uint64_t fingerprint(void)
{
    static const char *const names[] = { "train.csv", "validation.csv", "test.csv" };
    uint64_t sum = 1469598103934665603u;
    for (int i = 0; i < 3; i++) {
        char path[300], *text;
        size_t size;
        sq_error error;
        snprintf(path, sizeof path, "%s/task/%s", folder, names[i]);
        assert_ok(sq__file_read(path, &text, &size, &error), &error);
        for (size_t k = 0; k < size; k++) sum = (sum ^ (unsigned char)text[k]) * 1099511628211u;
        sq__free(text);
    }
    return sum;
}

static void a_seed_gives_its_bytes(void **state)
{
    (void)state;
    sq_task_generator_info info;
    for (int i = 0; sq_task_generator(i, &info) == SQ_OK; i++) {
        if (strcmp(info.name, "babi") == 0) continue;   /* draws nothing */
        char command[300];
        sq_option options[] = { { "train", "6" }, { "validation", "2" }, { "test", "2" }, { "seed", "5" } };
        uint64_t prints[3];
        snprintf(command, sizeof command, "rm -rf '%s'", path_of("task"));
        assert_int_equal(system(command), 0);
        for (int k = 0; k < 3; k++) {
            options[3].value = k < 2 ? "5" : "6";
            generate(info.name, options, 4);   /* over its own files */
            prints[k] = fingerprint();
        }
        assert_true(prints[0] == prints[1]);
        assert_true(prints[0] != prints[2]);
    }
}

static void bad_options_are_refused(void **state)
{
    (void)state;
    const struct { const char *task, *key, *value, *message; } cases[] = {
        { "cpoy", "seed", "1", "no task 'cpoy'; did you mean 'copy'?" },
        { "copy", "lenght", "1", "copy has no option 'lenght'" },
        { "copy", "bits", "0", "copy: bits is 0; expected 1 to 64" },
        { "copy", "min-length", "30", "min-length 30 is above max-length 20" },
        { "priority-sort", "answers", "21", "answers 21 is above vectors 20" },
        { "stories", "min-sentences", "50000", "stories: min_sentences is 50000; expected 0 to 10000" },
        { "listops", "max-length", "501", "min-length 500 and max-length 501 leave no length between them" },
        { "babi", "memory", "3", "--train-file and --test-file are needed: bAbI files that you have" },
        { "permuted-pixels", "images", "none", "images need their labels, and the other way: give --images with --labels, --test-images with --test-labels" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sq_task_generated made;
        sq_error error;
        const sq_option option = { cases[i].key, cases[i].value };
        const size_t before = sq_memory_current();
        const sq_status status = sq_generate_task(cases[i].task, path_of("refused"), &option, 1, &made, &error);
        assert_contains(error.message, cases[i].message);
        assert_int_equal(sq_status_exit_code(status), 2);
        assert_false(sq__file_exists(path_of("refused")));
        assert_int_equal(sq_memory_current(), before);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies), cmocka_unit_test(repeats), cmocka_unit_test(recalls), cmocka_unit_test(sorts_by_priority), cmocka_unit_test(adds),
        cmocka_unit_test(sorts_by_frequency), cmocka_unit_test(expressions_have_their_values), cmocka_unit_test(stories_tell_their_answers),
        cmocka_unit_test(a_seed_gives_its_bytes), cmocka_unit_test(bad_options_are_refused),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
