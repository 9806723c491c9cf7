/* What can be asked beside a class per client: a number, a class per event, the next event, bits per event. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "data/batch.h"
#include "data/tables.h"

#define NO_SPLIT "split: {validation: 0, test: 0}\n"

/* ---- a number per client ---- */

static void a_number_is_scaled_by_the_training_split(void **state)
{
    (void)state;
    put("events.csv", "c,x\na,1\nb,2\nb,3\nd,4\n");
    put("labels.csv", "c,y\na,10\nb,-2.5e0\nd,4\ne,1\n");
    sq_dataset *d = load("files: events.csv\nid: c\nnumeric: [x]\ntarget: {kind: number, column: y, file: labels.csv}\n" NO_SPLIT);
    const sq_batch *batch;
    sq_batcher *batcher;
    sq_error error;
    assert_int_equal(d->schema->target, SQ_TARGET_NUMBER);
    assert_int_equal(sq__schema_outputs(d->schema), 1);
    assert_int_equal(d->examples, 3);
    assert_int_equal(d->labels_without_client, 1);
    assert_true(d->number[find_example(d, "b")] == -2.5);
    assert_close(d->schema->target_mean, 11.5 / 3, 1e-12);
    assert_close(d->schema->target_deviation, sqrt((100 + 6.25 + 16) / 3 - 11.5 * 11.5 / 9), 1e-12);
    assert_ok(sq__batcher_create(&batcher, d, SQ_SPLIT_TRAIN, 3, false, 0, &error), &error);
    assert_ok(sq__batcher_get(batcher, 0, 0, &batch, &error), &error);
    for (int i = 0; i < 3; i++)
        assert_close(batch->targets[i] * d->schema->target_deviation + d->schema->target_mean, d->number[batch->examples[i]], 1e-5);
    sq__batcher_destroy(&batcher);
    sq__dataset_destroy(&d);
}

static void what_is_no_number_is_broken(void **state)
{
    (void)state;
    put("events.csv", "c,x,y\na,1,2\nb,2,low\n");
    put("labels.csv", "c,y\na,1e40\nb,2\n");
    put("same.csv", "c,x,y\na,1,2\nb,2,2\n");
    refused("files: events.csv\nid: c\nnumeric: [x]\ntarget: {kind: number, column: y}\n" NO_SPLIT, SQ_FORMAT,
            "events.csv:3:5: the client's number is 'low'; expected a number; 1 of 2 rows are broken ('on_broken_row: skip' leaves them out)");
    refused("files: events.csv\nid: c\nnumeric: [x]\ntarget: {kind: number, column: y, file: labels.csv}\n" NO_SPLIT, SQ_FORMAT,
            "labels.csv:2:3: the client's number is '1e40'; expected a number; 1 of 4 rows are broken ('on_broken_row: skip' leaves them out)");
    refused("files: same.csv\nid: c\nnumeric: [x]\ntarget: {kind: number, column: y}\n" NO_SPLIT, SQ_INVALID,
            "the target is 2 for all 2 clients of the training split; expected numbers that differ");
}

/* ---- a class per event ---- */

static const char event_class[] = "files: events.csv\nid: c\ncategorical: [w]\ntarget: {kind: event-class, column: y}\nmax_length: 3\n" NO_SPLIT;

static void an_event_asks_where_its_cell_is_not_empty(void **state)
{
    (void)state;
    put("events.csv", "c,w,y\na,u,\na,v,no\na,u,yes\na,u,no\nb,v,\nd,u,yes\n");
    sq_dataset *d = load(event_class);
    const int64_t a = find_example(d, "a"), no = 0, yes = 1;
    assert_int_equal(d->examples, 2);                       /* b asks nothing */
    assert_int_equal(d->clients_without_label, 1);
    assert_int_equal(d->schema->class_count, 2);
    assert_string_equal(d->schema->classes[no], "no");
    assert_int_equal(d->length[a], 3);                      /* the latest */
    assert_int_equal(d->before[a], 1);
    assert_int_equal(d->event_label[d->start[a]], no);
    assert_int_equal(d->event_label[d->start[a] + 1], yes);
    assert_int_equal(d->before[find_example(d, "d")], 0);
    const sq_batch *batch;
    sq_batcher *batcher;
    sq_error error;
    assert_ok(sq__batcher_create(&batcher, d, SQ_SPLIT_TRAIN, 2, false, 0, &error), &error);
    assert_ok(sq__batcher_get(batcher, 0, 0, &batch, &error), &error);
    assert_int_equal(batch->T, 3);
    const int32_t expected[] = { 0, 1, 0, 1, SQ_NOT_ASKED, SQ_NOT_ASKED };
    assert_memory_equal(batch->event_labels, expected, sizeof expected);
    sq__batcher_destroy(&batcher);
    sq__dataset_destroy(&d);
}

static void pieces_keep_every_event(void **state)
{
    (void)state;
    put("events.csv", "c,w,y\na,u,\na,v,no\na,u,yes\na,u,no\na,v,yes\nb,v,no\n");
    char yaml[512];
    snprintf(yaml, sizeof yaml, "%skeep: pieces\n", event_class);
    sq_dataset *d = load(yaml);
    assert_int_equal(d->examples, 3);
    assert_int_equal(d->clients, 2);
    assert_int_equal(d->length[0], 3);
    assert_int_equal(d->length[1], 2);
    assert_int_equal(d->before[1], 3);
    assert_int_equal(d->start[1], d->start[0] + 3);
    assert_int_equal(d->event_label[d->start[1] + 1], 1);
    sq__dataset_destroy(&d);
}

static void a_new_table_needs_no_answers(void **state)
{
    (void)state;
    put("events.csv", "c,w,y\na,u,\na,v,no\na,u,yes\nb,v,no\n");
    put("new.csv", "c,w\nz,v\nz,u\n");
    sq_dataset *d = load(event_class), *other;
    sq_error error;
    const char *files[] = { path_of("new.csv") };
    const sq_dataset_options options = { .schema = d->schema, .files = files, .file_count = 1 };
    assert_ok(load_with(&other, event_class, &options, &error), &error);
    assert_int_equal(other->split_size[SQ_SPLIT_TEST], 1);
    assert_int_equal(other->event_label[0], SQ_NOT_ASKED);
    sq__dataset_destroy(&other);
    sq__dataset_destroy(&d);
}

/* ---- the next event ---- */

static void every_event_asks_for_the_next(void **state)
{
    (void)state;
    put("events.csv", "c,w\na,u\na,v\na,u\na,u\nb,v\nd,u\nd,v\n");
    sq_dataset *d = load("files: events.csv\nid: c\ncategorical: [w]\ntarget: {kind: event-class, column: w, next: true}\nmax_length: 3\n" NO_SPLIT);
    assert_int_equal(d->clients_too_short, 1);
    assert_int_equal(d->schema->class_count, 2);
    assert_string_equal(d->schema->classes[0], "u");        /* the most frequent, as in the vocabulary */
    assert_int_equal(d->examples, 3);                       /* in pieces: a u v u | a u | d */
    const int32_t expected[] = { 1, 0, 0, SQ_NOT_ASKED };
    assert_memory_equal(d->event_label + d->start[0], expected, sizeof expected);   /* over the cut */
    assert_int_equal(d->event_label[d->start[2]], 1);
    assert_int_equal(d->event_label[d->start[2] + 1], SQ_NOT_ASKED);
    sq__dataset_destroy(&d);
}

static void texts_ask_for_the_next_byte(void **state)
{
    (void)state;
    put("texts.csv", "t\nabcde\nxy\n");
    sq_dataset *d = load("kind: text\nfiles: texts.csv\ntext: t\ntarget: {kind: event-class, next: true}\nmax_length: 4\n" NO_SPLIT);
    assert_int_equal(d->schema->class_count, 256);
    assert_int_equal(d->examples, 3);
    assert_int_equal(d->before[1], 4);
    assert_int_equal(d->event_label[3], 'e');
    assert_int_equal(d->event_label[4], SQ_NOT_ASKED);
    assert_int_equal(d->event_label[5], 'y');
    sq__dataset_destroy(&d);
}

/* ---- bits ---- */

static const char event_bits[] = "files: bits.csv\nid: c\nnumeric: [x]\ntarget: {kind: event-bits, columns: [p, q]}\n" NO_SPLIT;

static void bits_are_asked_together(void **state)
{
    (void)state;
    put("bits.csv", "c,x,p,q\na,1,,\na,2,1,0\na,3,0,1.0\nb,4,1,1\n");
    sq_dataset *d = load(event_bits);
    const sq_batch *batch;
    sq_batcher *batcher;
    sq_error error;
    const uint8_t expected[] = { 2, 2, 1, 0, 0, 1, 1, 1 };
    assert_int_equal(sq__schema_outputs(d->schema), 2);
    assert_string_equal(d->schema->bits[1], "q");
    assert_memory_equal(d->event_bits, expected, sizeof expected);
    assert_ok(sq__batcher_create(&batcher, d, SQ_SPLIT_TRAIN, 2, false, 0, &error), &error);
    assert_ok(sq__batcher_get(batcher, 0, 0, &batch, &error), &error);
    assert_true(isnan(batch->event_bits[0]) && batch->event_bits[2] == 1 && batch->event_bits[5] == 1 && batch->event_bits[7] == 1);
    for (int i = 8; i < 12; i++) assert_true(isnan(batch->event_bits[i]));
    sq__batcher_destroy(&batcher);

    sq_schema *again;
    assert_ok(sq__schema_save(d->schema, path_of("schema.json"), &error), &error);
    assert_ok(sq__schema_load(&again, path_of("schema.json"), &error), &error);
    assert_int_equal(again->target, SQ_TARGET_EVENT_BITS);
    assert_int_equal(again->bit_count, 2);
    assert_true(sq__schema_fingerprint(again) == sq__schema_fingerprint(d->schema));
    sq__schema_destroy(again);
    sq__dataset_destroy(&d);
}

static void bad_bits_are_broken_rows(void **state)
{
    (void)state;
    put("bits.csv", "c,x,p,q\na,1,1,\n");
    refused(event_bits, SQ_FORMAT, "bits.csv:2:7: a bit of the target is empty and others of the event are not; 1 of 1 rows are broken ('on_broken_row: skip' leaves them out)");
    put("bits.csv", "c,x,p,q\na,1,,1\n");
    refused(event_bits, SQ_FORMAT, "bits.csv:2:6: q is '1'; expected nothing, as the bits before it; 1 of 1 rows are broken ('on_broken_row: skip' leaves them out)");
    put("bits.csv", "c,x,p,q\na,1,0,0.5\n");
    refused(event_bits, SQ_FORMAT, "bits.csv:2:7: q is '0.5'; expected 0 or 1; 1 of 1 rows are broken ('on_broken_row: skip' leaves them out)");
}

/* ---- the configuration ---- */

#define BEGIN "files: a.csv\nid: c\ncategorical: [w]\nnumeric: [x]\n"

static void wrong(const char *target, const char *message)
{
    char yaml[512], whole[512];
    snprintf(yaml, sizeof yaml, BEGIN "%s\n", target);
    snprintf(whole, sizeof whole, "task.yaml:%s", message);
    refused(yaml, SQ_INVALID, whole);
}

static void contradictions_are_refused(void **state)
{
    (void)state;
    wrong("target: {kind: event-clas, column: y}", "5:16: data: kind is 'event-clas'; expected one of class, number, event-class, event-bits; did you mean 'event-class'?");
    wrong("target: {kind: number}", "1:1: data: 'target.column' is missing; expected the column of the number");
    wrong("target: {kind: event-class, column: w}", "1:1: data: target column 'w' is an input, too: the model would read the answer");
    wrong("target: {kind: event-bits, columns: [x]}", "1:1: data: target column 'x' is an input, too: the model would read the answer");
    wrong("target: {kind: event-bits, columns: [p, p]}", "1:1: data: target column 'p' is given twice");
    wrong("target: {kind: event-bits}", "1:1: data: target.columns names 0 columns; expected 1 to 256");
    wrong("target: {kind: event-bits, column: p, columns: [q]}", "1:1: data: kind: event-bits names its columns in target.columns, not target.column");
    wrong("target: {column: y, columns: [q]}", "1:1: data: target.columns is of kind: event-bits; here the kind is 'class'");
    wrong("target: {kind: number, column: w, next: true}", "1:1: data: target.next gives classes; expected kind: class or event-class");
    wrong("target: {kind: event-class, column: w, next: true, stride: 2}",
          "1:1: data: target.stride and target.history are of windows; with kind: event-class every event is asked");
    wrong("target: {kind: event-class, column: y, file: b.csv}", "1:1: data: target.kind is 'event-class', whose columns stand in the event table; target.file has no meaning");
    wrong("target: y\nkeep: pieces", "1:1: data: keep is 'pieces', which needs a target per event; here the kind is 'class'");
    refused("kind: text\nfiles: a.csv\ntext: t\ntarget: {kind: event-class, column: y}\n", SQ_INVALID,
            "task.yaml:1:1: data: target.kind is 'event-class', which needs events; of texts the next byte can be asked (kind: event-class, next: true)");
}

static void the_whole_is_written_and_read(void **state)
{
    (void)state;
    sq_data_config *config, *again;
    sq_error error;
    char *text;
    assert_ok(configure(&config, BEGIN "target: {kind: event-bits, columns: [p, 'q r']}\n", &error), &error);
    assert_ok(sq__data_config_yaml(config, &text, &error), &error);
    assert_non_null(strstr(text, "kind: event-bits"));
    assert_ok(configure(&again, text, &error), &error);
    assert_int_equal(again->target.columns.count, 2);
    assert_string_equal(again->target.columns.items[1], "q r");
    sq__free(text);
    sq__data_config_destroy(&again);
    sq__data_config_destroy(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_is_scaled_by_the_training_split), cmocka_unit_test(what_is_no_number_is_broken),
        cmocka_unit_test(an_event_asks_where_its_cell_is_not_empty), cmocka_unit_test(pieces_keep_every_event),
        cmocka_unit_test(a_new_table_needs_no_answers), cmocka_unit_test(every_event_asks_for_the_next),
        cmocka_unit_test(texts_ask_for_the_next_byte), cmocka_unit_test(bits_are_asked_together), cmocka_unit_test(bad_bits_are_broken_rows),
        cmocka_unit_test(contradictions_are_refused), cmocka_unit_test(the_whole_is_written_and_read),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
