/* Batches: every example once an epoch, a pure function of (seed, epoch, index), short padding, right contents. Schemas on disk. */
#include "data/tables.h"

#include "data/batch.h"

enum { CLIENTS = 501, BATCH = 4 };

static sq_dataset *make_events(void)
{
    char *text = malloc(1 << 20), *at = text + sprintf(text, "c,w,n,n2,s\n");
    for (int c = 0; c < CLIENTS; c++)
        for (int e = 0; e <= c * 37 % 23; e++) at += sprintf(at, "%d,w%d,%d,%d,%d\n", c, e % 5, c * 100 + e, -e, c % 2);
    put("e.csv", text);
    free(text);
    return load("files: e.csv\nid: c\ncategorical: w\nnumeric: [{column: n, transform: none}, {column: n2, transform: none}]\ntarget: s\n");
}

static void check_contents(const sq_dataset *d, const sq_batch *batch)
{
    int64_t tokens = 0;
    for (int64_t b = 0; b < batch->B; b++) {
        int64_t example = batch->examples[b], client = atoi(d->id[example]);
        assert_int_equal(batch->labels[b], client % 2);
        assert_int_equal(batch->lengths[b], client * 37 % 23 + 1);
        tokens += batch->lengths[b];
        for (int64_t t = 0; t < batch->T; t++) {
            const float *numbers = batch->numbers + (b * batch->T + t) * 2;
            bool inside = t < batch->lengths[b];
            assert_true(numbers[0] == (inside ? (float)(client * 100 + t) : 0));
            assert_true(numbers[1] == (inside ? (float)-t : 0));
            assert_int_equal(batch->categories[0][b * batch->T + t], inside ? d->categories[0][d->start[example] + t] : -1);
        }
    }
    assert_int_equal(batch->tokens, tokens);
}

static void every_example_once(void **state)
{
    sq_dataset *d = make_events();
    sq_error error;
    (void)state;
    for (int shuffle = 0; shuffle < 2; shuffle++)
        for (int64_t epoch = 0; epoch < 3; epoch++) {
            sq_batcher *batcher;
            int64_t seen = 0, padded = 0, tokens = 0, small = 0;
            bool *once = calloc((size_t)d->examples, 1);
            assert_ok(sq__batcher_create(&batcher, d, SQ_SPLIT_TRAIN, BATCH, shuffle, 7, &error), &error);
            assert_int_equal(sq__batcher_count(batcher), (d->split_size[0] + BATCH - 1) / BATCH);
            for (int64_t i = 0; i < sq__batcher_count(batcher); i++) {
                const sq_batch *batch;
                assert_ok(sq__batcher_get(batcher, epoch, i, &batch, &error), &error);
                check_contents(d, batch);
                for (int64_t b = 0; b < batch->B; b++) {
                    assert_false(once[batch->examples[b]]);
                    once[batch->examples[b]] = true;
                }
                seen += batch->B;
                small += batch->B < BATCH;
                padded += batch->B * batch->T;
                tokens += batch->tokens;
            }
            assert_int_equal(seen, d->split_size[SQ_SPLIT_TRAIN]);
            assert_true(small <= 1);
            assert_true((double)padded < 1.1 * (double)tokens);   /* bucketed: unsorted batches of 4 would pad by about half */
            free(once);
            sq__batcher_destroy(&batcher);
        }
    sq__dataset_destroy(&d);
    assert_int_equal(sq_memory_current(), 0);
}

/* Asked in any order, by another batcher, after other epochs: the same batch. Other epochs and seeds: another order. */
static void a_pure_function(void **state)
{
    sq_dataset *d = make_events();
    sq_batcher *a, *b, *c;
    sq_error error;
    int64_t differ = 0, other_seed = 0;
    (void)state;
    assert_ok(sq__batcher_create(&a, d, SQ_SPLIT_TRAIN, BATCH, true, 7, &error), &error);
    assert_ok(sq__batcher_create(&b, d, SQ_SPLIT_TRAIN, BATCH, true, 7, &error), &error);
    assert_ok(sq__batcher_create(&c, d, SQ_SPLIT_TRAIN, BATCH, true, 8, &error), &error);
    for (int64_t i = 0; i < sq__batcher_count(a); i++) {
        const sq_batch *x, *y;
        assert_ok(sq__batcher_get(a, 5, i, &x, &error), &error);
        assert_ok(sq__batcher_get(b, i % 3, 0, &y, &error), &error);
        assert_ok(sq__batcher_get(b, 5, i, &y, &error), &error);
        assert_int_equal(x->B, y->B);
        assert_memory_equal(x->examples, y->examples, (size_t)x->B * sizeof *x->examples);
        assert_memory_equal(x->numbers, y->numbers, (size_t)(x->B * x->T * 2) * sizeof(float));
        assert_ok(sq__batcher_get(b, 6, i, &y, &error), &error);
        differ += x->examples[0] != y->examples[0];
        assert_ok(sq__batcher_get(c, 5, i, &y, &error), &error);
        other_seed += x->examples[0] != y->examples[0];
    }
    assert_true(differ > sq__batcher_count(a) / 2);
    assert_true(other_seed > sq__batcher_count(a) / 2);
    const sq_batch *none;
    assert_int_equal(sq__batcher_get(a, 0, sq__batcher_count(a), &none, &error), SQ_INVALID);
    assert_int_equal(sq__batcher_get(a, 0, -1, &none, &error), SQ_INVALID);
    sq__batcher_destroy(&a);
    sq__batcher_destroy(&b);
    sq__batcher_destroy(&c);
    assert_int_equal(sq__batcher_create(&a, d, SQ_SPLIT_TRAIN, 0, true, 7, &error), SQ_INVALID);
    sq__dataset_destroy(&d);
}

static void text_bytes_are_ids_from_one(void **state)
{
    const sq_batch *batch;
    sq_batcher *batcher;
    sq_error error;
    (void)state;
    put("t.tsv", "l\tt\n0\tab\n1\t\xC3\xBF!\n");
    sq_dataset *d = load("kind: text\nfiles: t.tsv\ntext: t\ntarget: l\nsplit: {validation: 0, test: 0}\n");
    assert_ok(sq__batcher_create(&batcher, d, SQ_SPLIT_TRAIN, 99, false, 0, &error), &error);
    assert_int_equal(sq__batcher_count(batcher), 1);
    assert_ok(sq__batcher_get(batcher, 0, 0, &batch, &error), &error);
    const int32_t expected[] = { 0xC3 + 1, 0xBF + 1, '!' + 1, 'a' + 1, 'b' + 1, -1 };   /* the longest first */
    assert_memory_equal(batch->categories[0], expected, sizeof expected);
    sq__batcher_destroy(&batcher);
    assert_ok(sq__batcher_create(&batcher, d, SQ_SPLIT_TEST, 4, false, 0, &error), &error);
    assert_int_equal(sq__batcher_count(batcher), 0);
    sq__batcher_destroy(&batcher);
    sq__dataset_destroy(&d);
}

/* ---- schemas ---- */

static void a_schema_survives_the_disk(void **state)
{
    sq_schema *read;
    sq_error error;
    char path[256];
    (void)state;
    put("e.csv", "c,w,n,q,s\na,\"x \"\"quoted\"\"\",1,5,no\nb,\xC3\xA9,2,6,yes\nc,\"two\nlines\",3.5,7,no\n");
    sq_dataset *d = load("files: e.csv\nid: c\ncategorical: w\nnumeric: [n, {column: q, transform: quantile}]\ntarget: s\nsplit: {validation: 0, test: 0}\n");
    snprintf(path, sizeof path, "%s", path_of("schema.json"));
    assert_ok(sq__schema_save(d->schema, path, &error), &error);
    assert_ok(sq__schema_load(&read, path, &error), &error);
    assert_int_equal(sq__schema_fingerprint(read), sq__schema_fingerprint(d->schema));
    assert_int_equal(read->max_length, 1024);
    assert_int_equal(read->categories[0].count, 3);
    for (int i = 0; i < 3; i++) assert_string_equal(read->categories[0].words[i], d->schema->categories[0].words[i]);
    assert_true(read->numbers[0].mean == d->schema->numbers[0].mean);
    assert_true(read->numbers[0].deviation == d->schema->numbers[0].deviation);
    assert_int_equal(read->numbers[1].quantile_count, 3);
    assert_true(read->numbers[1].quantiles[2] == 7);
    assert_string_equal(read->classes[1], "yes");
    strcpy(read->categories[0].words[0], "y");
    assert_int_not_equal(sq__schema_fingerprint(read), sq__schema_fingerprint(d->schema));
    sq__schema_destroy(read);
    sq__dataset_destroy(&d);
    assert_int_equal(sq_memory_current(), 0);
}

static void bad_schemas_are_refused(void **state)
{
    static const struct { const char *text, *message; } cases[] = {
        { "{", "s.json:1:1: not a schema: string or '}' expected near end of file" },
        { "[]", "s.json: not a schema: version is not 1" },
        { "{\"version\": 1}", "s.json: not a schema: 'categories' or 'numbers' is missing or too long" },
        { "{\"version\":1,\"categories\":[],\"numbers\":[],\"classes\":[]}", "s.json: not a schema: max_length is not 1 to 2^24" },
        { "{\"version\":1,\"max_length\":5,\"categories\":[{\"name\":\"a\",\"words\":[1]}],\"numbers\":[],\"classes\":[]}",
          "s.json: not a schema: a list of texts holds something else" },
        { "{\"version\":1,\"max_length\":5,\"categories\":[{\"name\":3,\"words\":[]}],\"numbers\":[],\"classes\":[]}",
          "s.json: not a schema: a column without a name of at most 63 bytes" },
        { "{\"version\":1,\"max_length\":5,\"categories\":[],\"numbers\":[{\"name\":\"a\",\"transform\":\"x\"}],\"classes\":[]}",
          "s.json: not a schema: a number of unknown transform" },
        { "{\"version\":1,\"max_length\":5,\"categories\":[],\"numbers\":[{\"name\":\"a\",\"transform\":\"log\",\"mean\":0,\"deviation\":0,\"quantiles\":[]}],"
          "\"classes\":[]}", "s.json: not a schema: a deviation that is not above 0" },
        { "{\"version\":1,\"max_length\":5,\"categories\":[],\"numbers\":[{\"name\":\"a\",\"transform\":\"log\",\"mean\":0,\"deviation\":1,\"quantiles\":[2,2]}],"
          "\"classes\":[]}", "s.json: not a schema: quantiles that do not rise" },
        { "{\"version\":1,\"text\":true,\"max_length\":5,\"categories\":[],\"numbers\":[],\"classes\":[]}", "s.json: not a schema: a text has one category of 256 bytes" },
    };
    sq_schema *schema;
    sq_error error;
    char path[256];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put("s.json", cases[i].text);
        snprintf(path, sizeof path, "%s", path_of("s.json"));
        assert_int_equal(sq__schema_load(&schema, path, &error), SQ_FORMAT);
        assert_string_equal(shown(&error), cases[i].message);
        assert_null(schema);
        assert_int_equal(sq_memory_current(), 0);
    }
}

static void failed_allocations_are_survived(void **state)
{
    sq_dataset *d = make_events();
    size_t before = sq_memory_current();
    sq_status status = SQ_NO_MEMORY;
    sq_error error;
    (void)state;
    for (long n = 1; status == SQ_NO_MEMORY; n++) {
        sq_batcher *batcher = NULL;
        const sq_batch *batch;
        sq__alloc_fail_after(n);
        status = sq__batcher_create(&batcher, d, SQ_SPLIT_TRAIN, BATCH, true, 7, &error);
        for (int i = 0; status == SQ_OK && i < 5; i++) status = sq__batcher_get(batcher, 1, i, &batch, &error);
        sq__alloc_fail_after(0);
        sq__batcher_destroy(&batcher);
        assert_int_equal(sq_memory_current(), before);
        assert_true(n < 100);
    }
    assert_int_equal(status, SQ_OK);
    sq__dataset_destroy(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_example_once),         cmocka_unit_test(a_pure_function),       cmocka_unit_test(text_bytes_are_ids_from_one),
        cmocka_unit_test(a_schema_survives_the_disk), cmocka_unit_test(bad_schemas_are_refused), cmocka_unit_test(failed_allocations_are_survived),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
