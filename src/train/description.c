#include "train/description.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

const char sq__mechanism_gru[] = "gru", sq__mechanism_logistic[] = "logistic";
static const char format_name[] = "subquad-model-1";

/* ---- what the result depends on ---- */

/* Enough of the data that another table under the same schema is noticed: labels, lengths, splits, the first of each column. */
static uint64_t data_fingerprint(const sq_dataset *data)
{
    const size_t first = (size_t)(data->events < 100000 ? data->events : 100000), examples = (size_t)data->examples;
    uint64_t hash = sq__schema_fingerprint(data->schema);
    hash = sq__hash_bytes(data->label, examples * sizeof *data->label, hash);
    hash = sq__hash_bytes(data->length, examples * sizeof *data->length, hash);
    for (int split = 0; split < SQ_SPLIT_COUNT; split++)
        hash = sq__hash_bytes(data->split[split], (size_t)data->split_size[split] * sizeof *data->split[split], hash);
    if (data->number) hash = sq__hash_bytes(data->number, examples * sizeof *data->number, hash);
    if (data->event_label) hash = sq__hash_bytes(data->event_label, first * sizeof *data->event_label, hash);
    if (data->event_bits) hash = sq__hash_bytes(data->event_bits, first * (size_t)data->schema->bit_count, hash);
    if (data->bytes) hash = sq__hash_bytes(data->bytes, first, hash);
    for (int c = 0; !data->bytes && c < data->schema->category_count; c++)
        hash = sq__hash_bytes(data->categories[c], first * sizeof *data->categories[c], hash);
    for (int c = 0; c < data->schema->number_count; c++) hash = sq__hash_bytes(data->numbers[c], first * sizeof *data->numbers[c], hash);
    return hash;
}

static void put_fields(FILE *stream, const char *section, const sq_field *fields, const void *config)
{
    char value[SQ_TEXT_FIELD_SIZE];
    for (; fields->name; fields++) {
        if (strncmp(fields->name, "checkpoint_", 11) == 0) continue;   /* how often to save does not change what is saved */
        fprintf(stream, "%s.%s=%s\n", section, fields->name, sq__fields_format(fields, config, value, sizeof value));
    }
}

sq_status sq__describe_job(const sq_train_job *job, char **text, sq_error *error)
{
    char *made = NULL;
    size_t size;
    FILE *stream = open_memstream(&made, &size);
    if (!stream) return sq__no_memory(error);
    fprintf(stream, "mechanism=%s\nseed=%" PRIu64 "\n", job->mechanism, job->seed);
    for (int i = 0; i < job->option_count; i++) fprintf(stream, "option.%s=%s\n", job->options[i].key, job->options[i].value);
    put_fields(stream, "model", sq__model_fields, &job->model);
    put_fields(stream, "train", sq__train_fields, &job->train);
    fprintf(stream, "data=%016" PRIx64 "\n", data_fingerprint(job->dataset));
    *text = fclose(stream) == 0 ? sq__strdup(made) : NULL;
    free(made);
    return *text ? SQ_OK : sq__no_memory(error);
}

/* ---- model files ---- */

static bool add(sq_model_metadata *metadata, const char *prefix, const char *key, const char *value)
{
    const size_t size = strlen(prefix) + strlen(key) + 1;
    const int i = metadata->count++;
    metadata->keys[i] = sq__alloc(size);
    metadata->values[i] = sq__strdup(value);
    if (metadata->keys[i]) snprintf(metadata->keys[i], size, "%s%s", prefix, key);
    return metadata->keys[i] && metadata->values[i];
}

sq_status sq__model_metadata_make(const sq_train_job *job, sq_model_metadata *metadata, sq_error *error)
{
    char value[SQ_TEXT_FIELD_SIZE];
    const size_t most = 8 + (size_t)job->option_count + (size_t)sq__fields_count(sq__model_fields);
    *metadata = (sq_model_metadata){ .keys = sq__alloc_array(most, sizeof(char *)), .values = sq__alloc_array(most, sizeof(char *)) };
    bool all = metadata->keys && metadata->values;
    all = all && add(metadata, "", "format", format_name) && add(metadata, "", "version", sq_version()) && add(metadata, "", "mechanism", job->mechanism);
    snprintf(value, sizeof value, "%" PRIu64, job->seed);
    all = all && add(metadata, "", "seed", value);
    snprintf(value, sizeof value, "%lld", (long long)job->train.batch);
    all = all && add(metadata, "", "batch", value);
    snprintf(value, sizeof value, "%016" PRIx64, sq__schema_fingerprint(job->dataset->schema));
    all = all && add(metadata, "", "schema", value);
    for (int i = 0; all && i < job->option_count; i++) all = add(metadata, "option.", job->options[i].key, job->options[i].value);
    for (const sq_field *field = sq__model_fields; all && field->name; field++)
        all = add(metadata, "model.", field->name, sq__fields_format(field, &job->model, value, sizeof value));
    if (all) return SQ_OK;
    sq__model_metadata_clear(metadata);
    return sq__no_memory(error);
}

void sq__model_metadata_clear(sq_model_metadata *metadata)
{
    for (int i = 0; i < metadata->count; i++) {
        sq__free(metadata->keys[i]);
        sq__free(metadata->values[i]);
    }
    sq__free(metadata->keys);
    sq__free(metadata->values);
    *metadata = (sq_model_metadata){ 0 };
}

static sq_status add_option(sq_model_description *out, const char *key, const char *value, sq_error *error)
{
    sq_option *option = &out->options[out->option_count++];
    option->key = sq__strdup(key);
    option->value = sq__strdup(value);
    return option->key && option->value ? SQ_OK : sq__no_memory(error);
}

static sq_status read_pairs(const sq_safetensors *file, const char *path, sq_model_description *out, sq_error *error)
{
    const int count = sq__safetensors_metadata_count(file);
    sq__fields_defaults(sq__model_fields, &out->model);
    out->options = sq__alloc_array((size_t)count, sizeof *out->options);
    if (!out->options) return sq__no_memory(error);
    for (int i = 0; i < count; i++) {
        const char *key, *value;
        sq__safetensors_metadata_at(file, i, &key, &value);
        if (strncmp(key, "option.", 7) == 0) SQ_TRY(add_option(out, key + 7, value, error));
        else if (strncmp(key, "model.", 6) == 0) SQ_TRY(sq__fields_set(sq__model_fields, &out->model, path, key + 6, value, error));
    }
    return SQ_OK;
}

sq_status sq__model_metadata_read(const sq_safetensors *file, const char *path, const sq_schema *schema, sq_model_description *out, sq_error *error)
{
    *out = (sq_model_description){ 0 };
    static const char *const needed[] = { "format", "mechanism", "seed", "batch", "schema" };
    for (int i = 0; i < 5; i++)
        if (!sq__safetensors_metadata(file, needed[i]))
            return sq__fail(error, SQ_FORMAT, "%s: says no %s: not a model written by subquad", path, needed[i]);
    const char *format = sq__safetensors_metadata(file, "format");
    if (strcmp(format, format_name) != 0) return sq__fail(error, SQ_FORMAT, "%s: has the form '%.64s'; expected %s", path, format, format_name);
    snprintf(out->mechanism, sizeof out->mechanism, "%s", sq__safetensors_metadata(file, "mechanism"));
    out->seed = strtoull(sq__safetensors_metadata(file, "seed"), NULL, 10);
    out->batch = strtoll(sq__safetensors_metadata(file, "batch"), NULL, 10);
    if (out->batch < 1 || out->batch > 65536) return sq__fail(error, SQ_FORMAT, "%s: batch is out of range", path);
    if (strtoull(sq__safetensors_metadata(file, "schema"), NULL, 16) != sq__schema_fingerprint(schema))
        return sq__fail(error, SQ_INVALID, "%s: was trained with another schema than the schema.json beside it", path);
    sq_status status = read_pairs(file, path, out, error);
    if (status != SQ_OK) sq__model_description_clear(out);
    return status;
}

void sq__model_description_clear(sq_model_description *description)
{
    for (int i = 0; i < description->option_count; i++) {
        sq__free((char *)description->options[i].key);
        sq__free((char *)description->options[i].value);
    }
    sq__free(description->options);
    *description = (sq_model_description){ 0 };
}
