/* safetensors: what is written is read back, and a hostile file is refused with its reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "io/file.h"
#include "io/safetensors.h"

/* The bytes of a file: header length, header, `data` bytes that count up from 0. */
static size_t make(char *bytes, const char *header, size_t data)
{
    size_t length = strlen(header);
    for (int i = 0; i < 8; i++) bytes[i] = (char)(length >> (8 * i));
    memcpy(bytes + 8, header, length);
    for (size_t i = 0; i < data; i++) bytes[8 + length + i] = (char)i;
    return 8 + length + data;
}

static sq_status parse(const char *header, size_t data, sq_error *error)
{
    char bytes[4096];
    size_t size = make(bytes, header, data);
    char *exact = malloc(size);   /* so that a sanitizer sees a read past the end */
    memcpy(exact, bytes, size);
    sq_safetensors *file;
    sq_status status = sq__safetensors_parse(&file, "x", exact, size, error);
    free(exact);
    assert_true((status == SQ_OK) == (file != NULL));
    sq__safetensors_close(&file);
    return status;
}

static void refused(const char *header, size_t data, const char *reason)
{
    sq_error error = { 0 };
    assert_int_equal(parse(header, data, &error), SQ_FORMAT);
    if (!strstr(error.message, reason)) fail_msg("expected '%s' in '%s'", reason, error.message);
    assert_int_equal(strncmp(error.message, "x: ", 3), 0);
    assert_int_equal(sq_memory_current(), 0);
}

static void hostile_headers(void **state)
{
    (void)state;
    assert_int_equal(parse("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}  ", 8, NULL), SQ_OK);
    assert_int_equal(parse("{}", 0, NULL), SQ_OK);
    assert_int_equal(parse("{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, NULL), SQ_OK);
    assert_int_equal(parse("{\"a\":{\"dtype\":\"F32\",\"shape\":[3,0],\"data_offsets\":[0,0]}}", 0, NULL), SQ_OK);
    refused("", 0, "does not begin with '{'");
    refused("[]", 0, "does not begin with '{'");
    refused("{", 0, "header, line 1");
    refused("{\"a\":1}", 0, "not a JSON object");
    refused("{\"a\":{}}", 0, "no dtype");
    refused("{\"a\":{\"dtype\":\"F31\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "expected one of F32");
    refused("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8, "shape is not a list");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8, "whole number from 0");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]}}", 8, "whole number from 0");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}", 8, "more than 8");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,8]}}", 8, "larger than any memory");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]}}", 0, "do not agree");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[99999999999999999999],\"data_offsets\":[0,8]}}", 8, "too big");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "two whole numbers");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", 8, "two whole numbers");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,\"8\"]}}", 8, "two whole numbers");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", 8, "outside");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, "outside");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", 8, "outside");
    refused("{\"a\":{\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "do not agree");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 12, "4 bytes at the end");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "belong to no tensor");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "overlap");
    refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[2,4]}}", 4, "duplicate");
    refused("{\"__metadata__\":{\"k\":1}}", 0, "'k' is not a string");
    refused("{\"__metadata__\":[]}", 0, "__metadata__ is not");
    refused("{\"\xff\":{}}", 0, "unable to decode");
}

static void hostile_lengths(void **state)
{
    (void)state;
    sq_safetensors *file;
    sq_error error = { 0 };
    char bytes[64] = { 0 };
    for (size_t size = 0; size < 8; size++) assert_int_equal(sq__safetensors_parse(&file, "x", bytes, size, &error), SQ_FORMAT);
    static const unsigned char lengths[][8] = { { 3 }, { 255, 255, 255, 255, 255, 255, 255, 255 }, { 0, 0, 0, 0, 0, 0, 0, 128 }, { 248, 255, 255, 255, 255, 255, 255, 255 } };
    for (int i = 0; i < 4; i++) {
        memcpy(bytes, lengths[i], 8);
        memcpy(bytes + 8, "{}", 2);
        assert_int_equal(sq__safetensors_parse(&file, "x", bytes, 10, &error), SQ_FORMAT);
        assert_non_null(strstr(error.message, "larger than the file"));
        assert_null(file);
    }
}

/* Every file cut short or with one byte changed is either refused or whole: no crash, nothing lost. */
static void damaged_files(void **state)
{
    (void)state;
    char bytes[512], *exact;
    size_t size = make(bytes, "{\"__metadata__\":{\"k\":\"v\"},\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[3,11]}}", 11);
    int refusals = 0;
    for (size_t cut = 0; cut < size; cut++) {
        sq_safetensors *file;
        exact = malloc(cut + 1);
        memcpy(exact, bytes, cut);
        assert_int_not_equal(sq__safetensors_parse(&file, "x", exact, cut, NULL), SQ_OK);
        free(exact);
    }
    for (size_t at = 0; at < size; at++)
        for (int bit = 0; bit < 8; bit++) {
            sq_safetensors *file;
            exact = malloc(size);
            memcpy(exact, bytes, size);
            exact[at] ^= (char)(1 << bit);
            if (sq__safetensors_parse(&file, "x", exact, size, NULL) != SQ_OK) refusals++;
            sq__safetensors_close(&file);
            free(exact);
        }
    assert_true(refusals > 700);
    assert_int_equal(sq_memory_current(), 0);
}

static void misaligned_data_are_moved(void **state)
{
    (void)state;
    char bytes[512];
    size_t size = make(bytes, "{\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},\"a\":{\"dtype\":\"I32\",\"shape\":[2],\"data_offsets\":[3,11]}}", 11);
    sq_safetensors *file;
    assert_int_equal(sq__safetensors_parse(&file, "x", bytes, size, NULL), SQ_OK);
    const sq_st_tensor *a = sq__safetensors_find(file, "a");
    assert_int_equal((uintptr_t)a->data % 4, 0);
    int32_t values[2], small[3];
    assert_int_equal(sq__safetensors_ints(a, values, NULL), SQ_OK);
    assert_int_equal(values[0], 0x06050403);
    assert_int_equal(values[1], 0x0a090807);
    assert_int_equal(sq__safetensors_ints(sq__safetensors_at(file, 0), small, NULL), SQ_OK);
    assert_int_equal(small[2], 2);
    assert_null(sq__safetensors_find(file, "c"));
    assert_null(sq__safetensors_at(file, 2));
    assert_null(sq__safetensors_metadata(file, "k"));
    assert_int_equal(sq__safetensors_metadata_count(file), 0);
    sq__safetensors_close(&file);
}

static void element_types(void **state)
{
    (void)state;
    static const uint16_t halves[] = { 0x0000, 0x8000, 0x3c00, 0xc000, 0x0001, 0x03ff, 0x7bff, 0x7c00, 0xfc00, 0x7e00, 0x3555 };
    static const float half_values[] = { 0, -0.0f, 1, -2, 0x1p-24f, 1023 * 0x1p-24f, 65504, INFINITY, -INFINITY, NAN, 0x1.554p-2f };
    float out[11];
    sq_st_tensor tensor = { "t", SQ_ST_F16, 1, { 11 }, 11, halves };
    assert_int_equal(sq__safetensors_floats(&tensor, out, NULL), SQ_OK);
    for (int i = 0; i < 11; i++) {
        if (isnan(half_values[i])) assert_true(isnan(out[i]));
        else assert_memory_equal(&out[i], &half_values[i], sizeof(float));
    }
    static const uint16_t brains[] = { 0x3f80, 0xc040, 0x7f80 };
    tensor = (sq_st_tensor){ "t", SQ_ST_BF16, 1, { 3 }, 3, brains };
    assert_int_equal(sq__safetensors_floats(&tensor, out, NULL), SQ_OK);
    assert_true(out[0] == 1 && out[1] == -3 && isinf(out[2]));
    static const double doubles[] = { 0.1, -3 };
    tensor = (sq_st_tensor){ "t", SQ_ST_F64, 1, { 2 }, 2, doubles };
    assert_int_equal(sq__safetensors_floats(&tensor, out, NULL), SQ_OK);
    assert_true(out[0] == 0.1f && out[1] == -3);
    int32_t whole[2];
    sq_error error = { 0 };
    assert_int_equal(sq__safetensors_ints(&tensor, whole, &error), SQ_FORMAT);
    assert_non_null(strstr(error.message, "is F64"));
    static const int64_t longs[] = { -5, (int64_t)INT32_MAX + 1 };
    tensor = (sq_st_tensor){ "t", SQ_ST_I64, 1, { 2 }, 2, longs };
    assert_int_equal(sq__safetensors_ints(&tensor, whole, &error), SQ_FORMAT);
    assert_non_null(strstr(error.message, "2147483648"));
    assert_int_equal(sq__safetensors_floats(&tensor, out, &error), SQ_FORMAT);
    static const int8_t bytes[] = { -5, 127 };
    tensor = (sq_st_tensor){ "t", SQ_ST_I8, 1, { 2 }, 2, bytes };
    assert_int_equal(sq__safetensors_ints(&tensor, whole, NULL), SQ_OK);
    assert_int_equal(whole[0], -5);
}

static void written_is_read_back(void **state)
{
    (void)state;
    char path[] = "/tmp/subquad-st-XXXXXX";
    close(mkstemp(path));
    static const uint8_t flags[5] = { 1, 0, 1, 1, 0 };
    static const float floats[6] = { 1, 2, 3, 4, 5, NAN };
    static const int64_t longs[1] = { -1 };
    const sq_st_tensor tensors[] = { { "flags", SQ_ST_U8, 1, { 5 }, 5, flags }, { "a \"quoted\" \xc3\xa9", SQ_ST_F32, 2, { 2, 3 }, 6, floats },
                                     { "scalar", SQ_ST_I64, 0, { 0 }, 1, longs }, { "none", SQ_ST_F32, 2, { 0, 4 }, 0, NULL } };
    const char *keys[] = { "format", "text" }, *values[] = { "1", "line\nline" };
    sq_error error = { 0 };
    assert_int_equal(sq__safetensors_write(path, tensors, 4, keys, values, 2, &error), SQ_OK);
    sq_safetensors *file;
    assert_int_equal(sq__safetensors_open(&file, path, &error), SQ_OK);
    assert_int_equal(sq__safetensors_count(file), 4);
    for (int i = 0; i < 4; i++) {
        const sq_st_tensor *got = sq__safetensors_at(file, i);
        assert_string_equal(got->name, tensors[i].name);
        assert_int_equal(got->dtype, tensors[i].dtype);
        assert_int_equal(got->count, tensors[i].count);
        assert_memory_equal(got->shape, tensors[i].shape, (size_t)tensors[i].rank * sizeof(int64_t));
        static const size_t width[] = { 1, 4, 8, 4 };
        if (got->count) assert_memory_equal(got->data, tensors[i].data, width[i] * (size_t)got->count);
        assert_int_equal((uintptr_t)got->data % width[i], 0);
    }
    assert_string_equal(sq__safetensors_metadata(file, "text"), "line\nline");
    const char *key, *value;
    sq__safetensors_metadata_at(file, 0, &key, &value);
    assert_string_equal(key, "format");
    assert_string_equal(value, "1");
    sq__safetensors_metadata_at(file, 2, &key, &value);
    assert_null(key);
    sq__safetensors_close(&file);

    const sq_st_tensor twice[] = { tensors[0], tensors[0] };
    assert_int_equal(sq__safetensors_write(path, twice, 2, NULL, NULL, 0, &error), SQ_INVALID);
    const char *bad[] = { "\xff" };
    assert_int_equal(sq__safetensors_write(path, tensors, 1, keys, bad, 1, &error), SQ_INVALID);
    assert_int_equal(sq__safetensors_open(&file, path, &error), SQ_OK);   /* the old one is still whole */
    sq__safetensors_close(&file);
    assert_int_equal(sq__safetensors_write("/dev/full", tensors, 4, NULL, NULL, 0, &error), SQ_IO);
    unlink(path);
    assert_int_equal(sq__safetensors_open(&file, path, &error), SQ_NOT_FOUND);
    assert_int_equal(sq__safetensors_open(&file, "/tmp", &error), SQ_IO);
    assert_int_equal(sq__safetensors_open(&file, "/dev/null", &error), SQ_FORMAT);
    assert_int_equal(sq_memory_current(), 0);
}

static void allocation_failures(void **state)
{
    (void)state;
    char bytes[512];
    size_t size = make(bytes, "{\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},\"a\":{\"dtype\":\"I32\",\"shape\":[2],\"data_offsets\":[3,11]}}", 11);
    for (long n = 1;; n++) {
        sq_safetensors *file;
        sq__alloc_fail_after(n);
        sq_status status = sq__safetensors_parse(&file, "x", bytes, size, NULL);
        sq__alloc_fail_after(0);
        bool done = status == SQ_OK;
        sq__safetensors_close(&file);
        assert_int_equal(sq_memory_current(), 0);
        if (done) {
            assert_true(n > 6);
            break;
        }
        assert_int_equal(status, SQ_NO_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_headers), cmocka_unit_test(hostile_lengths), cmocka_unit_test(damaged_files), cmocka_unit_test(misaligned_data_are_moved),
        cmocka_unit_test(element_types), cmocka_unit_test(written_is_read_back), cmocka_unit_test(allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
