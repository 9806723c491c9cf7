#include "io/safetensors.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/file.h"
#include "io/safetensors_dtype.h"

enum { LENGTH_BYTES = 8 };
static const uint64_t largest_header = 100000000;   /* as the format's first implementation has it */

typedef struct range { uint64_t begin, end; int tensor; } range;

struct sq_safetensors {
    const char *name;
    char *data;            /* the raw data, 64-byte aligned */
    uint64_t data_size;
    json_t *header;        /* names and metadata live here */
    json_t *metadata;      /* borrowed of header; NULL if absent */
    int count;
    sq_st_tensor *tensors; /* [count] in the order of the header */
    range *ranges;         /* [count] */
    void **moved;          /* [count] aligned copies of tensors that the file holds misaligned, else NULL */
};

static sq_status wrong(const sq_safetensors *file, const char *tensor, sq_error *error, const char *what)
{
    return sq__fail(error, SQ_FORMAT, "%s: tensor '%.200s': %s", file->name, tensor, what);
}

static sq_status read_shape(const sq_safetensors *file, sq_st_tensor *tensor, json_t *shape, sq_error *error)
{
    if (!json_is_array(shape)) return wrong(file, tensor->name, error, "shape is not a list");
    if (json_array_size(shape) > SQ_ST_MAX_RANK) return wrong(file, tensor->name, error, "has more than 8 dimensions");
    tensor->rank = (int)json_array_size(shape);
    tensor->count = 1;
    for (int i = 0; i < tensor->rank; i++) {
        json_t *size = json_array_get(shape, (size_t)i);
        if (!json_is_integer(size) || json_integer_value(size) < 0)
            return wrong(file, tensor->name, error, "shape holds something that is not a whole number from 0");
        tensor->shape[i] = json_integer_value(size);
        if (__builtin_mul_overflow(tensor->count, tensor->shape[i], &tensor->count))
            return wrong(file, tensor->name, error, "shape is larger than any memory");
    }
    return SQ_OK;
}

static sq_status read_range(const sq_safetensors *file, const sq_st_tensor *tensor, json_t *offsets, range *at, sq_error *error)
{
    if (json_array_size(offsets) != 2 || !json_is_integer(json_array_get(offsets, 0)) || !json_is_integer(json_array_get(offsets, 1)))
        return wrong(file, tensor->name, error, "data_offsets are not two whole numbers");
    json_int_t begin = json_integer_value(json_array_get(offsets, 0)), end = json_integer_value(json_array_get(offsets, 1));
    if (begin < 0 || end < begin || (uint64_t)end > file->data_size)
        return wrong(file, tensor->name, error, "data_offsets lie outside of the file");
    int64_t bytes;
    if (__builtin_mul_overflow(tensor->count, (int64_t)sq__st_dtype_size(tensor->dtype), &bytes) || bytes != end - begin)
        return wrong(file, tensor->name, error, "shape and dtype do not agree with data_offsets");
    at->begin = (uint64_t)begin;
    at->end = (uint64_t)end;
    return SQ_OK;
}

static sq_status read_tensor(sq_safetensors *file, int index, const char *name, json_t *entry, sq_error *error)
{
    sq_st_tensor *tensor = &file->tensors[index];
    tensor->name = name;
    if (!json_is_object(entry)) return wrong(file, name, error, "its entry is not a JSON object");
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    if (!dtype) return wrong(file, name, error, "has no dtype");
    if (!sq__st_dtype_find(dtype, &tensor->dtype))
        return sq__fail(error, SQ_FORMAT, "%s: tensor '%.200s': dtype '%.32s' is not known; expected one of %s", file->name, name, dtype,
                        sq__st_dtype_list());
    SQ_TRY(read_shape(file, tensor, json_object_get(entry, "shape"), error));
    file->ranges[index].tensor = index;
    return read_range(file, tensor, json_object_get(entry, "data_offsets"), &file->ranges[index], error);
}

static int by_begin(const void *a, const void *b)
{
    const range *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

/* The format has no holes: each tensor begins where another ends, the last one at the end of the file. */
static sq_status check_cover(sq_safetensors *file, sq_error *error)
{
    uint64_t end = 0;
    qsort(file->ranges, (size_t)file->count, sizeof *file->ranges, by_begin);
    for (int i = 0; i < file->count; i++) {
        const char *name = file->tensors[file->ranges[i].tensor].name;
        if (file->ranges[i].begin < end) return wrong(file, name, error, "its data overlap those of another tensor");
        if (file->ranges[i].begin > end) return wrong(file, name, error, "bytes before its data belong to no tensor");
        end = file->ranges[i].end;
    }
    if (end == file->data_size) return SQ_OK;
    return sq__fail(error, SQ_FORMAT, "%s: %llu bytes at the end belong to no tensor", file->name, (unsigned long long)(file->data_size - end));
}

static sq_status place_data(sq_safetensors *file, sq_error *error)
{
    for (int i = 0; i < file->count; i++) {
        const range *at = &file->ranges[i];
        sq_st_tensor *tensor = &file->tensors[at->tensor];
        tensor->data = file->data + at->begin;
        if (at->begin % sq__st_dtype_size(tensor->dtype) == 0) continue;
        void *copy = file->moved[i] = sq__alloc(at->end - at->begin);
        if (!copy) return sq__no_memory(error);
        memcpy(copy, file->data + at->begin, at->end - at->begin);
        tensor->data = copy;
    }
    return SQ_OK;
}

static sq_status check_metadata(sq_safetensors *file, sq_error *error)
{
    file->metadata = json_object_get(file->header, "__metadata__");
    if (!file->metadata) return SQ_OK;
    if (!json_is_object(file->metadata)) return sq__fail(error, SQ_FORMAT, "%s: __metadata__ is not a JSON object", file->name);
    const char *key;
    json_t *value;
    json_object_foreach(file->metadata, key, value)
        if (!json_is_string(value))
            return sq__fail(error, SQ_FORMAT, "%s: __metadata__ entry '%.200s' is not a string", file->name, key);
    return SQ_OK;
}

static sq_status read_header(sq_safetensors *file, const char *text, size_t size, sq_error *error)
{
    json_error_t why;
    if (size == 0 || text[0] != '{') return sq__fail(error, SQ_FORMAT, "%s: the header does not begin with '{': no safetensors file", file->name);
    file->header = json_loadb(text, size, JSON_REJECT_DUPLICATES, &why);
    if (!file->header)
        return sq__fail(error, SQ_FORMAT, "%s: header, line %d column %d: %s", file->name, why.line, why.column, why.text);
    SQ_TRY(check_metadata(file, error));
    size_t most = json_object_size(file->header);
    if (most > INT32_MAX) return sq__fail(error, SQ_FORMAT, "%s: has too many tensors", file->name);
    file->tensors = sq__alloc_array(most, sizeof *file->tensors);
    file->ranges = sq__alloc_array(most, sizeof *file->ranges);
    file->moved = sq__alloc_array(most, sizeof *file->moved);
    if (!file->tensors || !file->ranges || !file->moved) return sq__no_memory(error);
    const char *name;
    json_t *entry;
    json_object_foreach(file->header, name, entry) {
        if (entry == file->metadata) continue;
        SQ_TRY(read_tensor(file, file->count, name, entry, error));
        file->count++;
    }
    return check_cover(file, error);
}

static sq_status create(sq_safetensors **file, const char *name, sq_error *error)
{
    sq_safetensors *made = *file = sq__alloc_zero(sizeof *made);
    if (!made) return sq__no_memory(error);
    made->name = sq__strdup(name);
    return made->name ? SQ_OK : sq__no_memory(error);
}

/* The size of the header, given the first 8 bytes and the size of the whole. */
static sq_status header_size(const sq_safetensors *file, const unsigned char *first, size_t got, uint64_t whole, uint64_t *size, sq_error *error)
{
    if (got < LENGTH_BYTES) return sq__fail(error, SQ_FORMAT, "%s: shorter than the 8 bytes of a header length: no safetensors file", file->name);
    *size = 0;
    for (int i = LENGTH_BYTES; i-- > 0;) *size = *size << 8 | first[i];
    if (*size <= whole - LENGTH_BYTES && *size <= largest_header) return SQ_OK;
    return sq__fail(error, SQ_FORMAT, "%s: header length %llu is larger than the file; truncated, or no safetensors file", file->name,
                    (unsigned long long)*size);
}

static sq_status parse(sq_safetensors *file, const char *bytes, size_t size, sq_error *error)
{
    uint64_t header;
    SQ_TRY(header_size(file, (const unsigned char *)bytes, size, size, &header, error));
    file->data_size = size - LENGTH_BYTES - header;
    SQ_TRY(read_header(file, bytes + LENGTH_BYTES, header, error));
    file->data = sq__alloc(file->data_size);
    if (!file->data) return sq__no_memory(error);
    memcpy(file->data, bytes + LENGTH_BYTES + header, file->data_size);
    return place_data(file, error);
}

sq_status sq__safetensors_parse(sq_safetensors **file, const char *name, const void *bytes, size_t size, sq_error *error)
{
    sq_status status = create(file, name, error);
    if (status == SQ_OK) status = parse(*file, bytes, size, error);
    if (status != SQ_OK) sq__safetensors_close(file);
    return status;
}

static sq_status load(sq_safetensors *file, FILE *stream, sq_error *error)
{
    unsigned char first[LENGTH_BYTES];
    if (fseeko(stream, 0, SEEK_END) != 0) return sq__fail(error, SQ_IO, "%s: cannot read: %s", file->name, strerror(errno));
    off_t whole = ftello(stream);
    rewind(stream);
    uint64_t header;
    size_t got = fread(first, 1, sizeof first, stream);
    if (ferror(stream) || whole < 0) return sq__fail(error, SQ_IO, "%s: cannot read: %s", file->name, strerror(errno));
    SQ_TRY(header_size(file, first, got, (uint64_t)whole, &header, error));
    file->data_size = (uint64_t)whole - LENGTH_BYTES - header;
    char *text = sq__alloc(header);
    if (!text) return sq__no_memory(error);
    sq_status status = SQ_OK;
    if (fread(text, 1, header, stream) != header) status = sq__fail(error, SQ_IO, "%s: cannot read the header", file->name);
    if (status == SQ_OK) status = read_header(file, text, header, error);
    sq__free(text);
    SQ_TRY(status);
    file->data = sq__alloc(file->data_size);
    if (!file->data) return sq__no_memory(error);
    if (fread(file->data, 1, file->data_size, stream) != file->data_size) return sq__fail(error, SQ_IO, "%s: cannot read the data", file->name);
    return place_data(file, error);
}

sq_status sq__safetensors_open(sq_safetensors **file, const char *path, sq_error *error)
{
    *file = NULL;
    FILE *stream = fopen(path, "rb");
    if (!stream) return sq__fail(error, errno == ENOENT ? SQ_NOT_FOUND : SQ_IO, "%s: cannot open: %s", path, strerror(errno));
    sq_status status = create(file, path, error);
    if (status == SQ_OK) status = load(*file, stream, error);
    fclose(stream);
    if (status != SQ_OK) sq__safetensors_close(file);
    return status;
}

void sq__safetensors_close(sq_safetensors **file)
{
    sq_safetensors *old = *file;
    if (!old) return;
    for (int i = 0; old->moved && i < old->count; i++) sq__free(old->moved[i]);
    json_decref(old->header);
    sq__free(old->moved);
    sq__free(old->ranges);
    sq__free(old->tensors);
    sq__free(old->data);
    sq__free((char *)old->name);
    sq__free(old);
    *file = NULL;
}

/* ---- access ---- */

int sq__safetensors_count(const sq_safetensors *file) { return file->count; }

const sq_st_tensor *sq__safetensors_at(const sq_safetensors *file, int index)
{
    return index >= 0 && index < file->count ? &file->tensors[index] : NULL;
}

const sq_st_tensor *sq__safetensors_find(const sq_safetensors *file, const char *name)
{
    for (int i = 0; i < file->count; i++)
        if (strcmp(file->tensors[i].name, name) == 0) return &file->tensors[i];
    return NULL;
}

const char *sq__safetensors_metadata(const sq_safetensors *file, const char *key)
{
    return json_string_value(json_object_get(file->metadata, key));
}

int sq__safetensors_metadata_count(const sq_safetensors *file)
{
    return (int)json_object_size(file->metadata);
}

void sq__safetensors_metadata_at(const sq_safetensors *file, int index, const char **key, const char **value)
{
    void *at = json_object_iter(file->metadata);
    while (at && index-- > 0) at = json_object_iter_next(file->metadata, at);
    *key = at ? json_object_iter_key(at) : NULL;
    *value = at ? json_string_value(json_object_iter_value(at)) : NULL;
}
