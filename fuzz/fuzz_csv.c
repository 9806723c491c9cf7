/* A whole event table: cells, quotes, times, numbers, lists, labels, split, vocabularies. The first byte chooses the form. */
#define _GNU_SOURCE
#include "input.h"

#include <string.h>

#include "data/batch.h"

static const char *const forms[] = {
    "id: c\ntime: {column: t, format: iso}\ncategorical: [w]\nnumeric: [{column: n, transform: log}]\ntarget: s\non_broken_row: skip\n",
    ("id: c\ntime: {column: t, format: day-hms}\ncategorical: [w]\nnumeric: [{column: n, transform: quantile}]\ntarget: {column: w, next: true}\n"
     "on_broken_row: skip\nmax_length: 3\n"),
    "id: c\ntime: {column: t, format: '%d/%m/%y %H:%M'}\ncategorical: [a, b]\nexplode: {column: w, into: [a, b]}\ntarget: s\non_broken_row: skip\n",
    "format: tsv\nid: c\ntime: {column: t, format: unix-ms}\nnumeric: [n]\ntarget: s\nmax_length: 2\nkeep: first\non_broken_row: skip\nmissing: NA\n",
    "id: c\ncategorical: [w]\ntarget: s\n",
};
enum { FORMS = sizeof forms / sizeof *forms };

static sq_data_config *configs[FORMS];

static void make_configs(const char *path)
{
    for (int i = 0; i < FORMS; i++) {
        char text[512];
        sq_error error;
        sq_yaml_document *document;
        snprintf(text, sizeof text, "files: %s\nsplit: {validation: 0, test: 0.3}\n%s", path, forms[i]);
        if (sq__yaml_parse(&document, "form", text, strlen(text), &error) != SQ_OK) abort();
        if (sq__data_config_load(&configs[i], document, document->root, "/", &error) != SQ_OK) abort();
        sq__yaml_destroy(&document);
    }
}

static void check_dataset(const sq_dataset *d)
{
    sq_error error;
    sq_batcher *batcher;
    const sq_batch *batch;
    int64_t in_splits = 0;
    for (int s = 0; s < SQ_SPLIT_COUNT; s++) in_splits += d->split_size[s];
    if (in_splits != d->examples || d->examples == 0) abort();
    for (int64_t i = 0; i < d->examples; i++)
        if (d->start[i] < 0 || d->length[i] < 1 || d->start[i] + d->length[i] > d->events || d->label[i] < 0 || d->label[i] >= d->schema->class_count) abort();
    for (int n = 0; n < d->schema->number_count; n++)
        for (int64_t e = 0; e < d->events; e++)
            if (!(d->numbers[n][e] - d->numbers[n][e] == 0)) abort();   /* finite */
    if (sq__batcher_create(&batcher, d, SQ_SPLIT_TRAIN, 4, true, 1, &error) != SQ_OK) abort();
    for (int64_t i = 0; i < sq__batcher_count(batcher); i++)
        if (sq__batcher_get(batcher, 0, i, &batch, &error) != SQ_OK) abort();
    sq__batcher_destroy(&batcher);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static size_t before;
    sq_error error = { .message = "" };
    sq_dataset *dataset;
    if (size == 0) return 0;
    const char *path = input_path(data + 1, size - 1);
    if (!configs[0]) {
        make_configs(path);
        before = sq_memory_current();
    }
    sq_status status = sq__dataset_load(&dataset, configs[data[0] % FORMS], NULL, &error);
    if (status == SQ_OK) check_dataset(dataset);
    sq__dataset_destroy(&dataset);
    if (status != SQ_OK && error.message[0] == '\0') abort();
    if (sq_memory_current() != before) abort();
    return 0;
}
