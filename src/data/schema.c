#include "data/schema.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "io/file.h"

static const char *const transforms[] = { "standard", "log", "quantile", "none" };
static const char *const targets[] = { "class", "number", "event-class", "event-bits" };   /* sq_target_kind */
enum { MOST_COLUMNS = 4096, MOST_WORDS = 1 << 24, MOST_LENGTH = 1 << 24, FORMAT_VERSION = 1 };

/* ---- life ---- */

sq_schema *sq__schema_create(int category_count, int number_count)
{
    sq_schema *schema = sq__alloc_zero(sizeof *schema);
    if (!schema) return NULL;
    schema->categories = sq__alloc_array((size_t)category_count, sizeof *schema->categories);
    schema->numbers = sq__alloc_array((size_t)number_count, sizeof *schema->numbers);
    if (schema->categories && schema->numbers) {
        schema->category_count = category_count;
        schema->number_count = number_count;
        return schema;
    }
    sq__schema_destroy(schema);
    return NULL;
}

void sq__schema_destroy(sq_schema *schema)
{
    if (!schema) return;
    for (int i = 0; i < schema->category_count; i++) {
        for (int64_t w = 0; w < schema->categories[i].count; w++) sq__free(schema->categories[i].words[w]);
        sq__free(schema->categories[i].words);
    }
    for (int i = 0; i < schema->number_count; i++) sq__free(schema->numbers[i].quantiles);
    for (int i = 0; i < schema->class_count; i++) sq__free(schema->classes[i]);
    for (int i = 0; i < schema->bit_count; i++) sq__free(schema->bits[i]);
    sq__free(schema->bits);
    sq__free(schema->categories);
    sq__free(schema->numbers);
    sq__free(schema->classes);
    sq__free(schema);
}

static bool copy_texts(char ***to, char *const *from, int64_t count, int64_t *filled)
{
    *to = sq__alloc_array((size_t)count, sizeof **to);
    for (*filled = 0; *to && *filled < count; ++*filled)
        if (!((*to)[*filled] = sq__strdup(from[*filled]))) return false;
    return *to != NULL;
}

sq_schema *sq__schema_copy(const sq_schema *schema)
{
    sq_schema *copy = sq__schema_create(schema->category_count, schema->number_count);
    if (!copy) return NULL;
    copy->text = schema->text;
    copy->max_length = schema->max_length;
    copy->target = schema->target;
    copy->next = schema->next;
    copy->target_mean = schema->target_mean;
    copy->target_deviation = schema->target_deviation;
    int64_t classes, bits = 0;
    bool good = copy_texts(&copy->classes, schema->classes, schema->class_count, &classes);
    copy->class_count = (int)classes;
    good = good && copy_texts(&copy->bits, schema->bits, schema->bit_count, &bits);
    copy->bit_count = (int)bits;
    for (int i = 0; good && i < schema->category_count; i++) {
        memcpy(copy->categories[i].name, schema->categories[i].name, SQ_NAME_SIZE);
        good = copy_texts(&copy->categories[i].words, schema->categories[i].words, schema->categories[i].count, &copy->categories[i].count);
    }
    for (int i = 0; good && i < schema->number_count; i++) {
        copy->numbers[i] = schema->numbers[i];
        copy->numbers[i].quantiles = NULL;
        if (!schema->numbers[i].quantile_count) continue;
        size_t bytes = (size_t)schema->numbers[i].quantile_count * sizeof(double);
        good = (copy->numbers[i].quantiles = sq__alloc(bytes)) != NULL;
        if (good) memcpy(copy->numbers[i].quantiles, schema->numbers[i].quantiles, bytes);
    }
    if (good) return copy;
    sq__schema_destroy(copy);
    return NULL;
}

/* ---- fingerprint ---- */

static uint64_t hash_text(uint64_t hash, const char *text)
{
    return sq__hash_bytes(text, strlen(text) + 1, hash);   /* with the zero, so that "ab","c" is not "a","bc" */
}

uint64_t sq__schema_fingerprint(const sq_schema *schema)
{
    const int64_t counts[] = { schema->text, schema->category_count, schema->number_count, schema->class_count };
    uint64_t hash = sq__hash_bytes(counts, sizeof counts, 0);
    for (int i = 0; i < schema->category_count; i++) {
        hash = hash_text(hash, schema->categories[i].name);
        hash = sq__hash_bytes(&schema->categories[i].count, sizeof schema->categories[i].count, hash);
        for (int64_t w = 0; w < schema->categories[i].count; w++) hash = hash_text(hash, schema->categories[i].words[w]);
    }
    for (int i = 0; i < schema->number_count; i++) hash = hash_text(hash_text(hash, schema->numbers[i].name), transforms[schema->numbers[i].transform]);
    for (int i = 0; i < schema->class_count; i++) hash = hash_text(hash, schema->classes[i]);
    if (schema->target != SQ_TARGET_CLASS) hash = hash_text(hash, targets[schema->target]);   /* a class adds nothing: files of older versions stay valid */
    for (int i = 0; i < schema->bit_count; i++) hash = hash_text(hash, schema->bits[i]);
    return hash;
}

/* ---- to JSON ---- */

static json_t *texts_json(char *const *texts, int64_t count)
{
    json_t *list = json_array();
    for (int64_t i = 0; list && i < count; i++)
        if (json_array_append_new(list, json_string(texts[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static json_t *schema_json(const sq_schema *schema)
{
    json_t *categories = json_array(), *numbers = json_array();
    bool good = categories && numbers;
    for (int i = 0; good && i < schema->category_count; i++) {
        const sq_category *category = &schema->categories[i];
        json_t *words = texts_json(category->words, category->count);
        good = words && json_array_append_new(categories, json_pack("{s:s, s:o}", "name", category->name, "words", words)) == 0;
    }
    for (int i = 0; good && i < schema->number_count; i++) {
        const sq_number *number = &schema->numbers[i];
        json_t *quantiles = json_array();
        for (int q = 0; quantiles && q < number->quantile_count; q++) json_array_append_new(quantiles, json_real(number->quantiles[q]));
        good = quantiles && json_array_append_new(numbers, json_pack("{s:s, s:s, s:f, s:f, s:o}", "name", number->name, "transform",
                                                                     transforms[number->transform], "mean", number->mean, "deviation",
                                                                     number->deviation, "quantiles", quantiles)) == 0;
    }
    json_t *classes = texts_json(schema->classes, schema->class_count), *root = NULL;
    if (good && classes)
        root = json_pack("{s:i, s:b, s:I, s:O, s:O, s:O}", "version", (int)FORMAT_VERSION, "text", (int)schema->text, "max_length",
                         (json_int_t)schema->max_length, "categories", categories, "numbers", numbers, "classes", classes);
    if (root && schema->target != SQ_TARGET_CLASS) {
        json_t *bits = texts_json(schema->bits, schema->bit_count);
        json_t *target = bits ? json_pack("{s:s, s:b, s:o, s:f, s:f}", "kind", targets[schema->target], "next", (int)schema->next, "bits", bits, "mean", schema->target_mean, "deviation",
                                          schema->target_deviation) : NULL;
        if (json_object_set_new(root, "target", target) != 0) {
            json_decref(root);
            root = NULL;
        }
    }
    json_decref(categories);
    json_decref(numbers);
    json_decref(classes);
    return root;
}

static int write_chunk(const char *text, size_t size, void *user)
{
    return fwrite(text, 1, size, user) == size ? 0 : -1;
}

sq_status sq__schema_save(const sq_schema *schema, const char *path, sq_error *error)
{
    sq_output *output;
    json_t *root = schema_json(schema);
    if (!root) return sq__no_memory(error);
    sq_status status = sq__output_open(&output, path, error);
    if (status == SQ_OK) {
        json_dump_callback(root, write_chunk, sq__output_stream(output), JSON_INDENT(1) | JSON_REAL_PRECISION(17));
        status = sq__output_commit(&output, error);   /* a write that failed is found there */
    }
    json_decref(root);
    return status;
}

/* ---- from JSON: a file from outside, everything is checked ---- */

static sq_status bad(const char *path, const char *what, sq_error *error)
{
    return sq__fail(error, SQ_FORMAT, "%s: not a schema: %s", path, what);
}

static sq_status read_texts(const json_t *list, int64_t most, char ***texts, int64_t *count, const char *path, sq_error *error)
{
    size_t size = json_array_size(list);
    if (!json_is_array(list) || size > (size_t)most) return bad(path, "a list of texts is missing or too long", error);
    *texts = sq__alloc_array(size, sizeof **texts);
    if (!*texts) return sq__no_memory(error);
    for (*count = 0; *count < (int64_t)size; ++*count) {
        const char *text = json_string_value(json_array_get(list, (size_t)*count));
        if (!text) return bad(path, "a list of texts holds something else", error);
        if (!((*texts)[*count] = sq__strdup(text))) return sq__no_memory(error);
    }
    return SQ_OK;
}

static sq_status read_name(const json_t *item, char name[SQ_NAME_SIZE], const char *path, sq_error *error)
{
    const char *text = json_string_value(json_object_get(item, "name"));
    if (!text || strlen(text) >= SQ_NAME_SIZE) return bad(path, "a column without a name of at most 63 bytes", error);
    strcpy(name, text);
    return SQ_OK;
}

static sq_status read_number(const json_t *item, sq_number *number, const char *path, sq_error *error)
{
    SQ_TRY(read_name(item, number->name, path, error));
    const char *transform = json_string_value(json_object_get(item, "transform"));
    int which = 0;
    while (which < 4 && (!transform || strcmp(transform, transforms[which]) != 0)) which++;
    if (which == 4) return bad(path, "a number of unknown transform", error);
    number->transform = (sq_transform)which;
    number->mean = json_number_value(json_object_get(item, "mean"));
    number->deviation = json_number_value(json_object_get(item, "deviation"));
    if (!isfinite(number->mean) || !isfinite(number->deviation) || number->deviation <= 0.0) return bad(path, "a deviation that is not above 0", error);
    const json_t *quantiles = json_object_get(item, "quantiles");
    size_t count = json_array_size(quantiles);
    if (!json_is_array(quantiles) || count > MOST_COLUMNS) return bad(path, "a number without quantiles", error);
    number->quantiles = sq__alloc_array(count, sizeof *number->quantiles);
    if (!number->quantiles) return sq__no_memory(error);
    for (size_t i = 0; i < count; i++) {
        const json_t *edge = json_array_get(quantiles, i);
        number->quantiles[i] = json_number_value(edge);
        if (!json_is_number(edge) || !isfinite(number->quantiles[i]) || (i && number->quantiles[i] <= number->quantiles[i - 1]))
            return bad(path, "quantiles that do not rise", error);
    }
    number->quantile_count = (int)count;
    return SQ_OK;
}

/* "target" is there unless a class per client is asked. */
static sq_status read_target(const json_t *target, sq_schema *schema, const char *path, sq_error *error)
{
    int64_t bits = 0;
    int which = 0;
    if (!target) return SQ_OK;
    const char *kind = json_string_value(json_object_get(target, "kind"));
    while (which < 4 && (!kind || strcmp(kind, targets[which]) != 0)) which++;
    if (which == 4) return bad(path, "a target of unknown kind", error);
    schema->target = (sq_target_kind)which;
    schema->next = json_is_true(json_object_get(target, "next"));
    schema->target_mean = json_number_value(json_object_get(target, "mean"));
    schema->target_deviation = json_number_value(json_object_get(target, "deviation"));
    if (which == SQ_TARGET_NUMBER && (!isfinite(schema->target_mean) || !isfinite(schema->target_deviation) || schema->target_deviation <= 0.0))
        return bad(path, "a target's deviation that is not above 0", error);
    const sq_status status = read_texts(json_object_get(target, "bits"), SQ_MAX_BITS, &schema->bits, &bits, path, error);
    schema->bit_count = schema->bits ? (int)bits : 0;
    if (status == SQ_OK && (which == SQ_TARGET_EVENT_BITS) != (bits > 0)) return bad(path, "bits without their kind of target, or the other way", error);
    return status;
}

static sq_status read_schema(const json_t *root, sq_schema *schema, const char *path, sq_error *error)
{
    const json_t *categories = json_object_get(root, "categories"), *numbers = json_object_get(root, "numbers");
    const json_t *length = json_object_get(root, "max_length");
    int64_t classes;
    schema->text = json_is_true(json_object_get(root, "text"));
    schema->max_length = json_integer_value(length);
    if (!json_is_integer(length) || schema->max_length < 1 || schema->max_length > MOST_LENGTH) return bad(path, "max_length is not 1 to 2^24", error);
    for (int i = 0; i < schema->category_count; i++) {
        const json_t *item = json_array_get(categories, (size_t)i);
        SQ_TRY(read_name(item, schema->categories[i].name, path, error));
        SQ_TRY(read_texts(json_object_get(item, "words"), MOST_WORDS, &schema->categories[i].words, &schema->categories[i].count, path, error));
    }
    for (int i = 0; i < schema->number_count; i++) SQ_TRY(read_number(json_array_get(numbers, (size_t)i), &schema->numbers[i], path, error));
    SQ_TRY(read_target(json_object_get(root, "target"), schema, path, error));
    const int most = schema->target == SQ_TARGET_EVENT_CLASS ? SQ_MAX_EVENT_CLASSES : SQ_MAX_CLASSES;
    sq_status status = read_texts(json_object_get(root, "classes"), most, &schema->classes, &classes, path, error);
    schema->class_count = schema->classes ? (int)classes : 0;
    if (status == SQ_OK && schema->text && (schema->category_count != 1 || schema->categories[0].count != 256 || schema->number_count != 0))
        return bad(path, "a text has one category of 256 bytes", error);
    return status;
}

static sq_status parse_schema(sq_schema **schema, const char *path, const char *text, size_t size, sq_error *error)
{
    json_error_t where;
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &where);
    if (!root) return sq__fail(error, SQ_FORMAT, "%s:%d:%d: not a schema: %s", path, where.line, where.column, where.text);
    const json_t *categories = json_object_get(root, "categories"), *numbers = json_object_get(root, "numbers");
    sq_status status = SQ_OK;
    if (json_integer_value(json_object_get(root, "version")) != FORMAT_VERSION) status = bad(path, "version is not 1", error);
    else if (!json_is_array(categories) || !json_is_array(numbers) || json_array_size(categories) > MOST_COLUMNS || json_array_size(numbers) > MOST_COLUMNS)
        status = bad(path, "'categories' or 'numbers' is missing or too long", error);
    else if (!(*schema = sq__schema_create((int)json_array_size(categories), (int)json_array_size(numbers)))) status = sq__no_memory(error);
    if (status == SQ_OK) status = read_schema(root, *schema, path, error);
    json_decref(root);
    if (status != SQ_OK) {
        sq__schema_destroy(*schema);
        *schema = NULL;
    }
    return status;
}

sq_status sq__schema_load(sq_schema **schema, const char *path, sq_error *error)
{
    char *text;
    size_t size;
    *schema = NULL;
    SQ_TRY(sq__file_read(path, &text, &size, error));
    sq_status status = parse_schema(schema, path, text, size, error);
    sq__free(text);
    return status;
}
