#include <string.h>

#include "base/memory.h"
#include "data/dataset_build.h"
#include "subquad/task.h"

sq_status sq__dataset_tick(const sq_dataset_options *options, double fraction, int64_t rows, sq_error *error)
{
    if (!options) return SQ_OK;
    if (options->stop && *options->stop) return sq__fail(error, SQ_INTERRUPTED, "interrupted while reading");
    if (options->progress) options->progress(options->user, fraction, rows);
    return SQ_OK;
}

sq_status sq__dataset_allocate(sq_dataset *dataset, int64_t examples, size_t id_bytes, sq_error *error)
{
    dataset->start = sq__alloc_array((size_t)examples, sizeof *dataset->start);
    dataset->length = sq__alloc_array((size_t)examples, sizeof *dataset->length);
    const bool numbers = dataset->schema && dataset->schema->target == SQ_TARGET_NUMBER;
    dataset->before = sq__alloc_array((size_t)examples, sizeof *dataset->before);
    dataset->label = sq__alloc_array((size_t)examples, sizeof *dataset->label);
    if (numbers && !(dataset->number = sq__alloc_array((size_t)examples, sizeof *dataset->number))) return sq__no_memory(error);
    dataset->id = sq__alloc_array((size_t)examples, sizeof *dataset->id);
    dataset->id_texts = sq__alloc(id_bytes);
    dataset->examples = examples;
    return dataset->start && dataset->length && dataset->before && dataset->label && dataset->id && dataset->id_texts ? SQ_OK : sq__no_memory(error);
}

sq_status sq__dataset_set_splits(sq_dataset *dataset, const int8_t *split_of, sq_error *error)
{
    for (int64_t i = 0; i < dataset->examples; i++) dataset->split_size[split_of ? split_of[i] : SQ_SPLIT_TEST]++;
    for (int s = 0; s < SQ_SPLIT_COUNT; s++) {
        dataset->split[s] = sq__alloc_array((size_t)dataset->split_size[s], sizeof *dataset->split[s]);
        if (!dataset->split[s]) return sq__no_memory(error);
        dataset->split_size[s] = 0;
    }
    for (int64_t i = 0; i < dataset->examples; i++) {
        int s = split_of ? split_of[i] : SQ_SPLIT_TEST;
        dataset->split[s][dataset->split_size[s]++] = i;
    }
    return SQ_OK;
}

/* ---- classes ---- */

sq_status sq__classes_used(sq_classes *classes, const sq_intern *texts, const bool *used, const sq_classes_wanted *wanted, sq_error *error)
{
    int32_t count = sq__intern_count(texts), number;
    int32_t *order = NULL;
    *classes = (sq_classes){ NULL, 0, NULL };
    sq_intern *kept = sq__intern_create();
    bool good = kept != NULL;
    for (int32_t i = 0; good && i < count; i++)
        if (used[i]) good = sq__intern_add(kept, sq__intern_text(texts, i), sq__intern_size(texts, i), &number);
    sq_status status = good ? sq__classes_sort(kept, &classes->names, &classes->count, &order, error) : sq__no_memory(error);
    if (status == SQ_OK && !(classes->class_of = sq__alloc_array((size_t)count, sizeof *classes->class_of))) status = sq__no_memory(error);
    for (int32_t i = 0; status == SQ_OK && i < count; i++) {
        int32_t place = used[i] ? sq__intern_find(kept, sq__intern_text(texts, i), sq__intern_size(texts, i)) : -1;
        classes->class_of[i] = place < 0 ? -1 : order[place];
    }
    if (status == SQ_OK && classes->count == 1)
        status = sq__fail(error, SQ_INVALID, "target '%s' has only one class, '%s', in %lld %s; expected two at least", wanted->target,
                          classes->names[0], (long long)wanted->count, wanted->what);
    if (status == SQ_OK && classes->count > wanted->most)
        status = sq__fail(error, SQ_INVALID, "target '%s' has %d classes; expected at most %d", wanted->target, classes->count, wanted->most);
    sq__intern_destroy(&kept);
    sq__free(order);
    if (status != SQ_OK) sq__classes_clear(classes);
    return status;
}

void sq__classes_clear(sq_classes *classes)
{
    for (int i = 0; i < classes->count; i++) sq__free(classes->names[i]);
    sq__free(classes->names);
    sq__free(classes->class_of);
    *classes = (sq_classes){ NULL, 0, NULL };
}

/* ---- load ---- */

static void add_note(sq_dataset *dataset, int64_t count, const char *what)
{
    if (!count) return;
    size_t used = strlen(dataset->warning);
    snprintf(dataset->warning + used, sizeof dataset->warning - used, "%s%lld %s", used ? "; " : "", (long long)count, what);
}

static void write_warning(sq_dataset *dataset)
{
    char first[sizeof dataset->warning];
    memcpy(first, dataset->warning, sizeof first);   /* a builder leaves the first broken row there */
    dataset->warning[0] = '\0';
    add_note(dataset, dataset->rows_broken, "broken rows skipped");
    if (dataset->rows_broken) {
        size_t used = strlen(dataset->warning);
        snprintf(dataset->warning + used, sizeof dataset->warning - used, " (first: %.600s)", first);
    }
    add_note(dataset, dataset->clients_without_label, "clients without a label dropped");
    add_note(dataset, dataset->labels_without_client, "labels without a client ignored");
    add_note(dataset, dataset->clients_too_short, "clients with too few events dropped");
    add_note(dataset, dataset->empty_numbers, "empty numbers taken as the mean");
}

sq_status sq__dataset_load(sq_dataset **dataset, const sq_data_config *config, const sq_dataset_options *options, sq_error *error)
{
    *dataset = NULL;
    SQ_TRY(sq__data_config_check(config, error));
    if (options && options->schema && options->schema->text != (config->kind == SQ_DATA_TEXT))
        return sq__fail(error, SQ_INVALID, "the model was trained on %s; the configuration is of %s", options->schema->text ? "texts" : "events",
                        config->kind == SQ_DATA_TEXT ? "texts" : "events");
    sq_dataset *fresh = sq__alloc_zero(sizeof *fresh);
    if (!fresh) return sq__no_memory(error);
    sq_status status = config->kind == SQ_DATA_TEXT ? sq__dataset_text(fresh, config, options, error) : sq__dataset_events(fresh, config, options, error);
    if (status == SQ_OK) write_warning(fresh);
    if (status != SQ_OK) sq__dataset_destroy(&fresh);
    *dataset = fresh;
    return status;
}

void sq__dataset_destroy(sq_dataset **dataset)
{
    if (!dataset || !*dataset) return;
    sq_dataset *d = *dataset;
    for (int i = 0; d->categories && i < d->schema->category_count; i++) sq__free(d->categories[i]);
    for (int i = 0; d->numbers && i < d->schema->number_count; i++) sq__free(d->numbers[i]);
    sq__free(d->categories);
    sq__free(d->numbers);
    sq__free(d->bytes);
    sq__free(d->start);
    sq__free(d->length);
    sq__free(d->before);
    sq__free(d->label);
    sq__free(d->number);
    sq__free(d->event_label);
    sq__free(d->event_bits);
    sq__free(d->id);
    sq__free(d->id_texts);
    for (int s = 0; s < SQ_SPLIT_COUNT; s++) sq__free(d->split[s]);
    sq__schema_destroy(d->schema);
    sq__free(d);
    *dataset = NULL;
}
