/* Event tables: order, trimming, joins, vocabularies, scalings, time features, windows, reading for prediction. */
#include "data/tables.h"

static const char yaml[] = "files: e.csv\nid: client\ntime: {column: when, format: unix, calendar: false}\ncategorical: [{column: shop, vocabulary: 2}]\n"
                           "numeric: [{column: amount, transform: none}]\ntarget: {column: sex, file: l.csv}\nmax_length: 3\nsplit: {validation: 0, test: 0}\n";

/* Four clients, rows neither by client nor by time; c4 has no label, c9 no events. */
static void put_small(void)
{
    put("e.csv", "when,client,shop,amount\n50,c1,x,5\n10,c2,y,1\n10,c1,x,1\n30,c1,y,3\n20,c1,x,2\n30,c1,z,3.5\n7,c4,w,9\n5,c2,x,-2\n40,c3,x,\n");
    put("l.csv", "sex,client\nf,c1\nm,c2\nf,c3\nm,c9\n");
}

static float number_at(const sq_dataset *d, const char *name, int64_t event)
{
    int n = find_number(d->schema, name);
    assert_true(n >= 0);
    return d->numbers[n][event];
}

static void latest_events_by_time_then_file(void **state)
{
    (void)state;
    put_small();
    sq_dataset *d = load(yaml);
    assert_int_equal(d->examples, 3);
    assert_int_equal(d->rows_read, 9);
    assert_int_equal(d->clients_without_label, 1);
    assert_int_equal(d->labels_without_client, 1);
    assert_int_equal(d->empty_numbers, 1);
    assert_string_equal(d->warning, "1 clients without a label dropped; 1 labels without a client ignored; 1 empty numbers taken as the mean");
    assert_string_equal(d->id[0], "c1");   /* in order of first appearance */
    assert_string_equal(d->id[1], "c2");
    assert_string_equal(d->id[2], "c3");
    assert_int_equal(d->length[0], 3);
    const float amounts[] = { 3, 3.5, 5 }, of_c2[] = { -2, 1 };   /* 30 (y), 30 (z, later in the file), 50 */
    for (int i = 0; i < 3; i++) assert_true(number_at(d, "amount", d->start[0] + i) == amounts[i]);
    for (int i = 0; i < 2; i++) assert_true(number_at(d, "amount", d->start[1] + i) == of_c2[i]);
    assert_true(number_at(d, "amount", d->start[2]) == 0);   /* an empty cell */
    assert_int_equal(d->schema->class_count, 2);
    assert_string_equal(d->schema->classes[0], "f");
    assert_int_equal(d->label[0], 0);
    assert_int_equal(d->label[1], 1);
    /* x 3 (c1 50, c2, c3), y 2 (c1 30, c2), z 1: the cap of 2 leaves z out of vocabulary */
    assert_int_equal(d->schema->categories[0].count, 2);
    assert_string_equal(d->schema->categories[0].words[0], "x");
    assert_string_equal(d->schema->categories[0].words[1], "y");
    const int32_t shops[] = { 2, 0, 1 };
    for (int i = 0; i < 3; i++) assert_int_equal(d->categories[0][d->start[0] + i], shops[i]);
    sq__dataset_destroy(&d);
    assert_int_equal(sq_memory_current(), 0);
}

static void first_events_when_asked(void **state)
{
    char text[600];
    (void)state;
    put_small();
    snprintf(text, sizeof text, "%skeep: first\n", yaml);
    sq_dataset *d = load(text);
    const float amounts[] = { 1, 2, 3 };
    for (int i = 0; i < 3; i++) assert_true(number_at(d, "amount", d->start[0] + i) == amounts[i]);
    sq__dataset_destroy(&d);
}

/* Gap and age are standardised logarithms: check through mean and deviation of the schema. */
static void gaps_and_ages(void **state)
{
    (void)state;
    put_small();
    sq_dataset *d = load(yaml);
    const sq_number *gap = &d->schema->numbers[find_number(d->schema, "time.gap")], *age = &d->schema->numbers[find_number(d->schema, "time.age")];
    const double gaps[] = { 0, 0, 20 }, ages[] = { 20, 20, 0 };
    for (int i = 0; i < 3; i++) {
        assert_close(number_at(d, "time.gap", d->start[0] + i) * gap->deviation + gap->mean, log1p(gaps[i]), 1e-5);
        assert_close(number_at(d, "time.age", d->start[0] + i) * age->deviation + age->mean, log1p(ages[i]), 1e-5);
    }
    double sum = 0, squares = 0;
    for (int64_t e = 0; e < d->events; e++) {
        sum += number_at(d, "time.gap", e);
        squares += pow(number_at(d, "time.gap", e), 2);
    }
    assert_close(sum / (double)d->events, 0, 1e-6);
    assert_close(squares / (double)d->events, 1, 1e-5);
    sq__dataset_destroy(&d);
}

static void calendars(void **state)
{
    (void)state;
    put("e.csv", "client,when\na,1970-01-01 06:00\na,1970-01-05 18:00:30\nb,1970-01-31 00:00\nb,1970-02-01 00:00\n");
    put("l.csv", "client,sex\na,1\nb,2\n");
    sq_dataset *d = load("files: e.csv\nid: client\ntime: when\ntarget: {column: sex, file: l.csv}\nsplit: {validation: 0, test: 0}\n");
    assert_close(number_at(d, "time.hour.sin", 0), 1, 1e-6);
    assert_close(number_at(d, "time.hour.cos", 1), 0, 1e-6);
    assert_close(number_at(d, "time.weekday.sin", 0), sin(2 * M_PI * 3 / 7), 1e-6);   /* a Thursday */
    assert_close(number_at(d, "time.weekday.cos", 1), 1, 1e-6);                       /* a Monday */
    assert_close(number_at(d, "time.monthday.sin", 2), sin(2 * M_PI * 30 / 31), 1e-6);
    assert_close(number_at(d, "time.monthday.cos", 3), 1, 1e-6);
    sq__dataset_destroy(&d);
    /* dates alone never differ in the hour; days of an unstated start have no month */
    put("e.csv", "client,when\na,3 10:00:00\na,4 10:00:00\nb,9 10:00:00\nb,12 10:00:00\n");
    d = load("files: e.csv\nid: client\ntime: {column: when, format: day-hms}\ntarget: {column: sex, file: l.csv}\nsplit: {validation: 0, test: 0}\n");
    assert_int_equal(find_number(d->schema, "time.hour.sin"), -1);
    assert_int_equal(find_number(d->schema, "time.monthday.sin"), -1);
    assert_close(number_at(d, "time.weekday.sin", 0), sin(2 * M_PI * 3 / 7), 1e-6);
    sq__dataset_destroy(&d);
}

static void transforms(void **state)
{
    (void)state;
    put("e.csv", "client,sex,a,b,c,d\nx,1,1,-3,10,7\nx,1,3,0,20,7\ny,0,5,8,30,7\ny,0,7,100,40,7\n");
    sq_dataset *d = load("files: e.csv\nid: client\nnumeric: [a, {column: b, transform: log}, {column: c, transform: quantile}, d]\ntarget: sex\n"
                         "split: {validation: 0, test: 0}\n");
    const double logs[] = { -log1p(3), 0, log1p(8), log1p(100) };
    double mean = 0, square = 0;
    for (int i = 0; i < 4; i++) mean += logs[i] / 4;
    for (int i = 0; i < 4; i++) square += pow(logs[i] - mean, 2) / 4;
    assert_close(d->schema->numbers[0].mean, 4, 1e-12);
    assert_close(d->schema->numbers[0].deviation, sqrt(5), 1e-12);
    for (int i = 0; i < 4; i++) {
        assert_close(d->numbers[0][i], (2 * i - 3) / sqrt(5), 1e-6);
        assert_close(d->numbers[1][i], (logs[i] - mean) / sqrt(square), 1e-6);
        assert_close(d->numbers[2][i], 2.0 * i / 3 - 1, 1e-6);
        assert_true(d->numbers[3][i] == 0);   /* a constant column */
    }
    sq__dataset_destroy(&d);
}

/* Words and scalings come from the training clients alone. */
static void nothing_is_learned_from_the_other_splits(void **state)
{
    (void)state;
    put("train.csv", "client,sex,word,n\na,1,x,1\nb,0,y,3\n");
    put("valid.csv", "client,sex,word,n\na,1,v,100\n");
    put("test.csv", "client,sex,word,n\nc,0,t,1000\nc,0,x,1000\n");
    sq_dataset *d = load("id: client\ncategorical: word\nnumeric: n\ntarget: sex\nsplit: {by: files, files: {train: train.csv, validation: valid.csv, test: test.csv}}\n");
    assert_int_equal(d->examples, 4);   /* `a` of the validation file is another client */
    assert_int_equal(d->split_size[SQ_SPLIT_TRAIN], 2);
    assert_int_equal(d->split[SQ_SPLIT_VALIDATION][0], 2);
    assert_int_equal(d->split[SQ_SPLIT_TEST][0], 3);
    assert_int_equal(d->schema->categories[0].count, 2);
    assert_close(d->schema->numbers[0].mean, 2, 1e-12);
    assert_close(d->schema->numbers[0].deviation, 1, 1e-12);
    assert_int_equal(d->categories[0][d->start[2]], 0);
    assert_int_equal(d->categories[0][d->start[3]], 0);
    assert_int_equal(d->categories[0][d->start[3] + 1], 1);
    assert_close(d->numbers[0][d->start[3]], 998, 1e-3);
    sq__dataset_destroy(&d);
}

static void missing_and_classes(void **state)
{
    (void)state;
    put("e.csv", "client,sex,word\na,10,NA\na,,y\nb,9,\nc,NA,y\nd,100,y\n");
    sq_dataset *d = load("files: e.csv\nid: client\nmissing: NA\ncategorical: word\ntarget: sex\nsplit: {validation: 0, test: 0}\n");
    assert_int_equal(d->examples, 3);
    assert_int_equal(d->clients_without_label, 1);
    assert_int_equal(d->schema->class_count, 3);   /* numbers in order of value, not of text */
    assert_string_equal(d->schema->classes[0], "9");
    assert_string_equal(d->schema->classes[1], "10");
    assert_string_equal(d->schema->classes[2], "100");
    const int32_t words[] = { 0, 1, 0, 1 };
    for (int i = 0; i < 4; i++) assert_int_equal(d->categories[0][i], words[i]);
    sq__dataset_destroy(&d);
}

static void lists_of_events(void **state)
{
    (void)state;
    put("e.csv", "session,start,list,sex\nu1,15/12/14 18:11,A1/B1/;A1/B2/;,f\nu2,16/12/14 06:00,A2/B3,m\n");
    sq_dataset *d = load("files: e.csv\nid: session\ntime: {column: start, format: '%d/%m/%y %H:%M'}\ncategorical: [a, b]\n"
                         "explode: {column: list, into: [a, b]}\ntarget: sex\nsplit: {validation: 0, test: 0}\n");
    assert_int_equal(d->examples, 2);
    assert_int_equal(d->length[0], 2);
    assert_int_equal(d->length[1], 1);
    assert_int_equal(d->categories[0][0], d->categories[0][1]);
    assert_int_not_equal(d->categories[1][0], d->categories[1][1]);
    assert_int_equal(find_number(d->schema, "time.gap"), -1);   /* one time a session */
    assert_true(find_number(d->schema, "time.hour.sin") >= 0);
    sq__dataset_destroy(&d);
}

/* Windows end before every second event, counted from the last; never with the event they predict. */
static void next_events(void **state)
{
    (void)state;
    put("e.csv", "who,t,type\na,1,p\na,2,q\na,3,p\na,4,p\na,5,q\nb,1,q\nc,1,p\nc,2,q\n");
    sq_dataset *d = load("files: e.csv\nid: who\ntime: {column: t, format: number}\ncategorical: type\ntarget: {column: type, next: true, stride: 2}\n"
                         "max_length: 3\nsplit: {validation: 0, test: 0}\n");
    const int64_t ends[] = { 2, 4, 7 }, lengths[] = { 2, 3, 1 };
    const char *classes[] = { "p", "q", "q" };
    assert_int_equal(d->clients, 2);
    assert_int_equal(d->clients_too_short, 1);
    assert_int_equal(d->examples, 3);
    assert_int_equal(find_number(d->schema, "time.age"), -1);
    for (int i = 0; i < 3; i++) {
        int64_t expected_end = i < 2 ? ends[i] : 6;   /* b has no window, so its event is not there */
        assert_int_equal(d->start[i] + d->length[i], expected_end);
        assert_int_equal(d->length[i], lengths[i]);
        assert_string_equal(d->schema->classes[d->label[i]], classes[i]);
    }
    assert_ptr_equal(d->id[0], d->id[1]);
    sq__dataset_destroy(&d);
    /* a type that is no target at this stride is a class all the same; gaps may be ranks */
    put("e.csv", "who,t,type\na,1,r\na,2,q\na,3,p\na,5,q\n");
    d = load("files: e.csv\nid: who\ntime: {column: t, format: number, transform: quantile}\ncategorical: type\n"
             "target: {column: type, next: true, stride: 2}\nsplit: {validation: 0, test: 0}\n");
    assert_int_equal(d->examples, 2);
    assert_int_equal(d->schema->class_count, 3);
    assert_int_equal(d->schema->numbers[0].transform, SQ_TRANSFORM_QUANTILE);
    assert_true(number_at(d, "time.gap", 0) == -1 && number_at(d, "time.gap", 3) == 1);
    sq__dataset_destroy(&d);
}

static void windows_of_a_client_stay_together(void **state)
{
    enum { CLIENTS = 40, EVENTS = 9 };
    char *text = malloc(1 << 16), *at = text + sprintf(text, "who,type\n");
    int8_t split_of[CLIENTS];
    (void)state;
    for (int i = 0; i < CLIENTS * EVENTS; i++) at += sprintf(at, "%d,%d\n", i % CLIENTS, i * 7 % 3);
    put("e.csv", text);
    free(text);
    sq_dataset *d = load("files: e.csv\nid: who\ncategorical: type\ntarget: {column: type, next: true}\n");
    memset(split_of, -1, sizeof split_of);
    assert_int_equal(d->examples, CLIENTS * (EVENTS - 1));
    assert_int_equal(d->split_size[SQ_SPLIT_TEST], CLIENTS * (EVENTS - 1) / 5);
    for (int s = 0; s < SQ_SPLIT_COUNT; s++)
        for (int64_t i = 0; i < d->split_size[s]; i++) {
            int client = atoi(d->id[d->split[s][i]]);
            assert_true(split_of[client] < 0 || split_of[client] == s);
            split_of[client] = (int8_t)s;
        }
    sq__dataset_destroy(&d);
}

static void prediction_takes_the_schema(void **state)
{
    sq_dataset *d, *p;
    sq_error error;
    (void)state;
    put_small();
    d = load(yaml);
    put("new.csv", "client,amount,shop,when,extra\nn2,4,q,3,0\nn1,2,x,9,0\nn2,8,y,1,0\n");
    char path[256];
    snprintf(path, sizeof path, "%s", path_of("new.csv"));
    const char *const files[] = { path };
    const sq_dataset_options options = { .schema = d->schema, .files = files, .file_count = 1 };
    assert_ok(load_with(&p, yaml, &options, &error), &error);
    assert_int_equal(p->examples, 2);
    assert_int_equal(p->split_size[SQ_SPLIT_TEST], 2);
    assert_string_equal(p->id[0], "n2");
    assert_int_equal(p->label[0], -1);
    assert_int_equal(p->categories[0][0], 2);
    assert_int_equal(p->categories[0][1], 0);
    assert_true(number_at(p, "amount", 0) == 8);
    assert_int_equal(sq__schema_fingerprint(p->schema), sq__schema_fingerprint(d->schema));
    sq__dataset_destroy(&p);
    put("new.csv", "client,amount,when\nn2,4,3\n");
    assert_int_equal(load_with(&p, yaml, &options, &error), SQ_NOT_FOUND);
    assert_string_equal(shown(&error), "new.csv:1:1: no column 'shop' among 3");
    put("new.csv", "client,amount,shop,when\n");
    assert_int_equal(load_with(&p, yaml, &options, &error), SQ_INVALID);
    assert_contains(error.message, "no client is left");
    sq__dataset_destroy(&d);
}

/* Labels in the table itself are kept when their class is known. */
static void prediction_keeps_known_labels(void **state)
{
    static const char same[] = "files: e.csv\nid: c\ncategorical: w\ntarget: sex\nsplit: {validation: 0, test: 0}\n";
    sq_dataset *p;
    sq_error error;
    (void)state;
    put("e.csv", "c,w,sex\na,x,f\nb,y,m\n");
    sq_dataset *d = load(same);
    put("e.csv", "c,w,sex\na,x,m\nb,y,unknown\nd,y,\n");
    assert_ok(load_with(&p, same, &(sq_dataset_options){ .schema = d->schema }, &error), &error);
    assert_int_equal(p->label[0], 1);
    assert_int_equal(p->label[1], -1);
    assert_int_equal(p->label[2], -1);
    sq__dataset_destroy(&p);
    sq__dataset_destroy(&d);
}

/* The order of rows and the moment of trimming make no difference: every client keeps the same events. */
static void trimming_while_reading_equals_trimming_at_the_end(void **state)
{
    enum { CLIENTS = 7, EVENTS = 400, KEEP = 5 };
    int times[CLIENTS][EVENTS];
    char *text = malloc(1 << 20), *at = text + sprintf(text, "c,t,n,s\n");
    (void)state;
    for (int i = 0; i < EVENTS; i++)
        for (int c = 0; c < CLIENTS; c++) {
            times[c][i] = (i * 7919 + c * 31) % 101;
            at += sprintf(at, "%d,%d,%d,%d\n", c, times[c][i], i, c % 2);
        }
    put("e.csv", text);
    free(text);
    sq_dataset *d = load("files: e.csv\nid: c\ntime: {column: t, format: number, gap: false, age: false}\nnumeric: [{column: n, transform: none}]\n"
                         "target: s\nmax_length: 5\nsplit: {validation: 0, test: 0}\n");
    for (int c = 0; c < CLIENTS; c++)
        for (int k = 0; k < KEEP; k++) {
            int number = (int)d->numbers[0][d->start[c] + k], later = 0;
            for (int i = 0; i < EVENTS; i++) later += times[c][i] > times[c][number] || (times[c][i] == times[c][number] && i > number);
            assert_int_equal(later, KEEP - 1 - k);
        }
    sq__dataset_destroy(&d);
}

/* 200,000 rows of ten clients, five events kept of each: what is held follows what is kept, not the file. */
static void memory_follows_what_is_kept(void **state)
{
    char *text = malloc(8 << 20), *at = text + sprintf(text, "c,t,w,s\n");
    (void)state;
    for (int i = 0; i < 200000; i++) at += sprintf(at, "%d,%d,w%d,%d\n", i % 10, i * 31 % 65537, i % 50, i % 2);
    put("e.csv", text);
    free(text);
    sq_memory_reset_peak();
    sq_dataset *d = load("files: e.csv\nid: c\ntime: {column: t, format: number}\ncategorical: w\ntarget: s\nmax_length: 5\n"
                         "split: {validation: 0, test: 0}\n");
    assert_int_equal(d->rows_read, 200000);
    assert_int_equal(d->events, 50);
    assert_true(sq_memory_peak() < 600000);   /* 0.33 MB: buffers and first blocks; all rows would be 3.2 MB */
    sq__dataset_destroy(&d);
}

typedef struct seen { int calls; double fraction; int64_t rows; } seen;

static void watch(void *user, double fraction, int64_t rows)
{
    seen *s = user;
    assert_true(fraction >= s->fraction && fraction <= 1.0);
    assert_true(rows >= s->rows);
    *s = (seen){ s->calls + 1, fraction, rows };
}

static void progress_goes_to_the_end(void **state)
{
    seen s = { 0, 0.0, 0 };
    sq_dataset *d;
    sq_error error;
    (void)state;
    assert_ok(load_with(&d, "files: [e.csv, e.csv]\nid: c\ncategorical: w\ntarget: s\nmax_length: 5\nsplit: {validation: 0, test: 0}\n",
                        &(sq_dataset_options){ .progress = watch, .user = &s }, &error), &error);
    assert_true(s.calls > 10);
    assert_int_equal(s.rows, 400000);
    assert_true(s.fraction == 1.0);
    sq__dataset_destroy(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(latest_events_by_time_then_file),
        cmocka_unit_test(first_events_when_asked),
        cmocka_unit_test(gaps_and_ages),
        cmocka_unit_test(calendars),
        cmocka_unit_test(transforms),
        cmocka_unit_test(nothing_is_learned_from_the_other_splits),
        cmocka_unit_test(missing_and_classes),
        cmocka_unit_test(lists_of_events),
        cmocka_unit_test(next_events),
        cmocka_unit_test(windows_of_a_client_stay_together),
        cmocka_unit_test(prediction_takes_the_schema),
        cmocka_unit_test(prediction_keeps_known_labels),
        cmocka_unit_test(trimming_while_reading_equals_trimming_at_the_end),
        cmocka_unit_test(memory_follows_what_is_kept),
        cmocka_unit_test(progress_goes_to_the_end),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
