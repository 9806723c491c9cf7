/* What is asked, in the flat arrays of a data set and in its schema. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "data/dataset_build.h"

/* ---- schema ---- */

static sq_status copy_names(char ***to, int *filled, char *const *from, int count, sq_error *error)
{
    *to = sq__alloc_array((size_t)count, sizeof **to);
    if (!*to) return sq__no_memory(error);
    for (; *filled < count; ++*filled)
        if (!((*to)[*filled] = sq__strdup(from[*filled]))) return sq__no_memory(error);
    return SQ_OK;
}

sq_status sq__schema_target(sq_schema *schema, const sq_data_config *config, sq_error *error)
{
    const sq_data_target *target = &config->target;
    schema->target = (sq_target_kind)target->kind;
    schema->next = target->next && target->kind == SQ_TARGET_EVENT_CLASS;
    return target->columns.count ? copy_names(&schema->bits, &schema->bit_count, target->columns.items, target->columns.count, error) : SQ_OK;
}

sq_status sq__schema_target_scale(sq_schema *schema, const sq_dataset *dataset, sq_error *error)
{
    const int64_t n = dataset->split_size[SQ_SPLIT_TRAIN], *examples = dataset->split[SQ_SPLIT_TRAIN];
    double mean = 0, squares = 0;
    if (schema->target != SQ_TARGET_NUMBER) return SQ_OK;
    for (int64_t i = 0; i < n; i++) {   /* Welford's update */
        const double away = dataset->number[examples[i]] - mean;
        mean += away / (double)(i + 1);
        squares += away * (dataset->number[examples[i]] - mean);
    }
    schema->target_mean = mean;
    schema->target_deviation = n ? sqrt(squares / (double)n) : 0;
    if (schema->target_deviation > 1e-12 * fabs(mean) && schema->target_deviation > 1e-30) return SQ_OK;
    return sq__fail(error, SQ_INVALID, "the target is %g for all %lld clients of the training split; expected numbers that differ", mean, (long long)n);
}

sq_status sq__schema_next_classes(sq_schema *schema, int category, sq_error *error)
{
    const sq_category *from = &schema->categories[category];
    if (from->count < 2)
        return sq__fail(error, SQ_INVALID, "the next '%s' is asked, which has %lld word%s in the training split; expected two at least", from->name, (long long)from->count,
                        from->count == 1 ? "" : "s");
    if (from->count > SQ_MAX_EVENT_CLASSES)
        return sq__fail(error, SQ_INVALID, "the next '%s' is asked, which has %lld words; expected at most %d: set its 'vocabulary'", from->name, (long long)from->count,
                        SQ_MAX_EVENT_CLASSES);
    return copy_names(&schema->classes, &schema->class_count, from->words, (int)from->count, error);
}

double sq__label_number(const sq_intern *texts, int32_t label)
{
    double value;
    if (label < 0) return NAN;
    return sq__scan_number(sq__intern_text(texts, label), sq__intern_size(texts, label), &value) ? value : NAN;
}

/* ---- events ---- */

sq_status sq__event_targets_allocate(sq_dataset *d, sq_error *error)
{
    const size_t events = (size_t)d->events;
    if (d->schema->target == SQ_TARGET_EVENT_CLASS) {
        d->event_label = sq__alloc_array(events, sizeof *d->event_label);
        if (!d->event_label) return sq__no_memory(error);
        for (size_t i = 0; i < events; i++) d->event_label[i] = SQ_NOT_ASKED;
    } else if (d->schema->target == SQ_TARGET_EVENT_BITS) {
        d->event_bits = sq__alloc_array(events, (size_t)d->schema->bit_count);
        if (!d->event_bits) return sq__no_memory(error);
        memset(d->event_bits, SQ_BIT_NOT_ASKED, events * (size_t)d->schema->bit_count);
    }
    return SQ_OK;
}

void sq__event_targets_fill(sq_dataset *d, const sq_event_layout *layout, char *events, int64_t count, int64_t begin, const int32_t *class_of)
{
    const int bits = d->schema->bit_count;
    for (int64_t i = 0; i < count; i++) {
        const int32_t *targets = sq__event_targets(layout, events + (size_t)i * layout->bytes);
        if (d->event_label) {
            if (targets[0] >= 0 && class_of[targets[0]] >= 0) d->event_label[begin + i] = class_of[targets[0]];
        } else if (targets[0]) {
            for (int b = 0; b < bits; b++) d->event_bits[(begin + i) * bits + b] = (uint8_t)((uint32_t)targets[1 + b / 32] >> b % 32 & 1);
        }
    }
}

void sq__event_targets_next(sq_dataset *d, int category, int64_t begin, int64_t count)
{
    for (int64_t i = begin; i + 1 < begin + count; i++) {
        const int32_t next = d->bytes ? d->bytes[i + 1] : d->categories[category][i + 1] - 1;
        d->event_label[i] = next >= 0 ? next : SQ_NOT_ASKED;   /* a word out of vocabulary is no class */
    }
}
