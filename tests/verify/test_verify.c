/* subquad verify over the small reference vectors in tests/golden: all pass; whatever is changed in one is noticed. */
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "io/file.h"
#include "io/safetensors.h"
#include "subquad/tools.h"

enum { FILES = 256, TENSORS = 256, PAIRS = 128 };

static char *files[FILES];
static int file_count;
static char changed[] = "/tmp/subquad-verify-XXXXXX";

static int list_files(void **state)
{
    (void)state;
    DIR *folder = opendir(SQ_TEST_DATA "/golden");
    if (!folder) return -1;
    for (struct dirent *entry; (entry = readdir(folder)) && file_count < FILES;) {
        size_t length = strlen(entry->d_name);
        if (length < 12 || strcmp(entry->d_name + length - 12, ".safetensors") != 0) continue;
        char path[1024];
        snprintf(path, sizeof path, "%s/golden/%s", SQ_TEST_DATA, entry->d_name);
        files[file_count++] = strdup(path);
    }
    closedir(folder);
    int file = mkstemp(changed);
    if (file >= 0) close(file);
    return file >= 0 && file_count > 30 ? 0 : -1;
}

static int forget_files(void **state)
{
    (void)state;
    for (int i = 0; i < file_count; i++) free(files[i]);
    return unlink(changed);
}

static sq_verify_result verify(const char *path)
{
    sq_verify_result result;
    sq_error error;
    sq_status status = sq_verify_file(path, &result, &error);
    if (status != SQ_OK) fail_msg("%s: %s", path, error.message);
    return result;
}

/* ---- writing a changed copy ---- */

typedef struct copy {
    sq_safetensors *file;
    int count, pair_count;
    sq_st_tensor tensors[TENSORS];
    const char *keys[PAIRS], *values[PAIRS];
} copy;

static void copy_open(copy *c, const char *path)
{
    sq_error error;
    assert_int_equal(sq__safetensors_open(&c->file, path, &error), SQ_OK);
    c->count = sq__safetensors_count(c->file);
    c->pair_count = sq__safetensors_metadata_count(c->file);
    assert_true(c->count <= TENSORS && c->pair_count <= PAIRS);
    for (int i = 0; i < c->count; i++) c->tensors[i] = *sq__safetensors_at(c->file, i);
    for (int i = 0; i < c->pair_count; i++) sq__safetensors_metadata_at(c->file, i, &c->keys[i], &c->values[i]);
}

static void copy_write(const copy *c)
{
    sq_error error;
    if (sq__safetensors_write(changed, c->tensors, c->count, c->keys, c->values, c->pair_count, &error) != SQ_OK) fail_msg("%s", error.message);
}

static void copy_set(copy *c, const char *key, const char *value)
{
    for (int i = 0; i < c->pair_count; i++)
        if (strcmp(c->keys[i], key) == 0) c->values[i] = value;
}

static sq_st_tensor *find(copy *c, const char *name)
{
    for (int i = 0; i < c->count; i++)
        if (strcmp(c->tensors[i].name, name) == 0) return &c->tensors[i];
    return NULL;
}

/* ---- tests ---- */

static void every_file_passes(void **state)
{
    (void)state;
    for (int i = 0; i < file_count; i++) {
        sq_verify_result result = verify(files[i]);
        if (result.outcome != SQ_VERIFY_PASSED) fail_msg("%s: %s", files[i], result.reason);
        assert_true(result.tensor_count > 0);
        for (int j = 0; j < result.tensor_count; j++) assert_true(result.tensors[j].passed && result.tensors[j].error <= result.tensors[j].tolerance);
        sq_verify_result_clear(&result);
    }
}

/* One number of one tensor moved by a few tolerances: that tensor fails, and no other. For every tensor that is compared. */
static void one_changed_number_is_noticed(void **state)
{
    (void)state;
    static copy c;
    for (int i = 0; i < file_count; i++) {
        sq_verify_result whole = verify(files[i]);
        copy_open(&c, files[i]);
        for (int j = 0; j < whole.tensor_count; j++) {
            const sq_verify_tensor *reference = &whole.tensors[j];
            sq_st_tensor *tensor = find(&c, reference->name);
            assert_non_null(tensor);
            const sq_st_tensor before = *tensor;
            const size_t size = (size_t)before.count * (before.dtype == SQ_ST_F64 ? 8 : 4);
            void *data = malloc(size);
            memcpy(data, before.data, size);
            const double move = 4 * reference->tolerance + 1e-30;
            const int64_t at = before.count / 2;
            if (before.dtype == SQ_ST_F64) ((double *)data)[at] += move;
            else ((float *)data)[at] += (float)move;
            tensor->data = data;
            copy_write(&c);
            sq_verify_result result = verify(changed);
            if (result.outcome != SQ_VERIFY_FAILED) fail_msg("%s: a wrong %s is not noticed", files[i], before.name);
            assert_int_equal(result.tensor_count, whole.tensor_count);
            for (int k = 0; k < result.tensor_count; k++)
                if (result.tensors[k].passed == (k == j))
                    fail_msg("%s: %s moved; %s %s", files[i], before.name, result.tensors[k].name, k == j ? "passed" : "failed");
            sq_verify_result_clear(&result);
            *tensor = before;
            free(data);
        }
        sq__safetensors_close(&c.file);
        sq_verify_result_clear(&whole);
    }
}

/* A reference that is not a number never passes. */
static void nan_never_passes(void **state)
{
    (void)state;
    static copy c;
    for (int i = 0; i < file_count; i++) {
        sq_verify_result whole = verify(files[i]);
        copy_open(&c, files[i]);
        for (int j = 0; j < whole.tensor_count; j++) {
            sq_st_tensor *tensor = find(&c, whole.tensors[j].name);
            const sq_st_tensor before = *tensor;
            if (before.dtype != SQ_ST_F32) continue;
            float *data = malloc((size_t)before.count * sizeof *data);
            memcpy(data, before.data, (size_t)before.count * sizeof *data);
            data[before.count - 1] = NAN;
            tensor->data = data;
            copy_write(&c);
            sq_verify_result result = verify(changed);
            if (result.outcome != SQ_VERIFY_FAILED) fail_msg("%s: passes with NaN in %s", files[i], before.name);
            sq_verify_result_clear(&result);
            *tensor = before;
            free(data);
        }
        sq__safetensors_close(&c.file);
        sq_verify_result_clear(&whole);
    }
}

/* Tensors that are no reference are needed; a missing one is a failure with its name, or leaves tensors that nothing explains. */
static void a_missing_tensor_never_passes(void **state)
{
    (void)state;
    static copy c;
    static const char *const optional[] = { "attention", "nll" };   /* further outputs that a file may hold */
    for (int i = 0; i < file_count; i++) {
        copy_open(&c, files[i]);
        for (int j = 0; j < c.count; j++) {
            const sq_st_tensor gone = c.tensors[j];
            bool may = strncmp(gone.name, "state.", 6) == 0;
            for (int k = 0; k < 2; k++) may = may || strcmp(gone.name, optional[k]) == 0;
            c.tensors[j] = c.tensors[--c.count];
            copy_write(&c);
            sq_verify_result result = verify(changed);
            if (result.outcome == SQ_VERIFY_PASSED && !may) fail_msg("%s: passes without %s", files[i], gone.name);
            if (result.outcome != SQ_VERIFY_PASSED) assert_true(strlen(result.reason) > 0);
            sq_verify_result_clear(&result);
            c.tensors[c.count++] = c.tensors[j];
            c.tensors[j] = gone;
        }
        sq__safetensors_close(&c.file);
    }
}

static void a_wrong_shape_never_passes(void **state)
{
    (void)state;
    static copy c;
    for (int i = 0; i < file_count; i++) {
        copy_open(&c, files[i]);
        for (int j = 0; j < c.count; j++) {
            const sq_st_tensor before = c.tensors[j];
            sq_st_tensor *cut = &c.tensors[j];
            if (before.rank < 1 || before.shape[0] < 2) continue;
            cut->shape[0]--;   /* one row less */
            cut->count = before.count / before.shape[0] * cut->shape[0];
            copy_write(&c);
            sq_verify_result result = verify(changed);
            if (result.outcome == SQ_VERIFY_PASSED) fail_msg("%s: passes with a row less in %s", files[i], before.name);
            sq_verify_result_clear(&result);
            *cut = before;
            cut->rank = 1;     /* flat: a reference is compared all the same, what is computed with must have its shape */
            cut->shape[0] = before.count;
            copy_write(&c);
            result = verify(changed);
            if (result.outcome == SQ_VERIFY_PASSED && before.rank > 1 && strcmp(before.name, "g") == 0)
                fail_msg("%s: passes with a flat g", files[i]);
            sq_verify_result_clear(&result);
            *cut = before;
        }
        sq__safetensors_close(&c.file);
    }
}

static void what_is_unknown_is_skipped(void **state)
{
    (void)state;
    static copy c;
    const struct { const char *file, *key, *value, *reason; } cases[] = {
        { "softmax-cross", "mechanism", "softmacks", "did you mean 'softmax'" },
        { "performer-relu", "variant", "cubic_n50", "cubic_n50" },
        { "linformer-tatp22", "variant", "nobody_n64", "nobody_n64" },
        { "linformer-tatp22", "method", "sorting", "sorting" },
        { "linformer-tatp22", "parameter_sharing", "everything", "everything" },
        { "infinite-former-gpt2", "variant", "bert", "bert" },
        { "infinite-former-gpt2", "density", "cauchy", "cauchy" },
        { "transformer-block-enc_preln", "variant", "sandwich", "sandwich" },
        { "transformer-block-enc_preln", "activation", "swiglu", "swiglu" },
        { "gru-", "variant", "mgu", "mgu" },
        { "norm-layernorm", "file", "torch.nn.LocalResponseNorm2d", "LocalResponseNorm2d" },
        { "loss-bce", "file", "torch.nn.functional.ctc_loss", "ctc_loss" },
        { "optimizer-adamw", "file", "torch.optim.Rprop", "Rprop" },
        { "optimizer-clip", "norm_type", "1.0", "Euclidean" },
        { "lr-schedule-noam", "file", "step_decay", "step_decay" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *path = NULL;
        for (int j = 0; j < file_count; j++)
            if (strstr(files[j], cases[i].file)) path = files[j];
        assert_non_null(path);
        copy_open(&c, path);
        copy_set(&c, cases[i].key, cases[i].value);
        copy_write(&c);
        sq_verify_result result = verify(changed);
        if (result.outcome != SQ_VERIFY_SKIPPED || !strstr(result.reason, cases[i].reason))
            fail_msg("%s with %s=%s: outcome %d, %s", path, cases[i].key, cases[i].value, (int)result.outcome, result.reason);
        sq_verify_result_clear(&result);
        sq__safetensors_close(&c.file);
    }
}

/* A tensor that no family reads may change what is computed: the file is not passed over. */
static void an_unexplained_tensor_is_skipped(void **state)
{
    (void)state;
    static copy c;
    static const float bias[4] = { 1, 2, 3, 4 };
    for (int i = 0; i < file_count; i++) {
        copy_open(&c, files[i]);
        c.tensors[c.count++] = (sq_st_tensor){ .name = "relative_bias", .dtype = SQ_ST_F32, .rank = 1, .shape = { 4 }, .count = 4, .data = bias };
        copy_write(&c);
        sq_verify_result result = verify(changed);
        assert_int_equal(result.outcome, SQ_VERIFY_SKIPPED);
        assert_non_null(strstr(result.reason, "relative_bias"));
        sq_verify_result_clear(&result);
        sq__safetensors_close(&c.file);
    }
}

/* Counts that a family works with before the mechanism has looked at them: a reason at once, no endless work. */
static void wild_counts_are_refused(void **state)
{
    (void)state;
    static copy c;
    static const char *const cases[][3] = { { "clustered-cross", "iterations", "iterations" }, { "reformer_lsh-lucidrains", "n_buckets", "n_buckets" },
                                            { "reformer_lsh-lucidrains", "n_hashes", "rounds" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *path = NULL;
        for (int j = 0; j < file_count; j++)
            if (strstr(files[j], cases[i][0])) path = files[j];
        assert_non_null(path);
        copy_open(&c, path);
        copy_set(&c, cases[i][1], "1000000000000000");
        copy_write(&c);
        sq_verify_result result = verify(changed);
        if (result.outcome == SQ_VERIFY_PASSED || !strstr(result.reason, cases[i][2]))
            fail_msg("%s with a wild %s: outcome %d, %s", path, cases[i][1], (int)result.outcome, result.reason);
        sq_verify_result_clear(&result);
        sq__safetensors_close(&c.file);
    }
}

static void damaged_files_are_errors(void **state)
{
    (void)state;
    sq_verify_result result;
    sq_error error;
    assert_int_equal(sq_verify_file("/nonexistent.safetensors", &result, &error), SQ_NOT_FOUND);
    char *text = NULL;
    size_t size = 0;
    assert_int_equal(sq__file_read(files[0], &text, &size, &error), SQ_OK);
    FILE *out = fopen(changed, "wb");
    assert_non_null(out);
    fwrite(text, 1, size / 2, out);
    fclose(out);
    sq__free(text);
    assert_int_equal(sq_verify_file(changed, &result, &error), SQ_FORMAT);
}

/* Every allocation fails in turn: a status, or a failure with a reason, and no byte stays behind. */
static void failed_allocations_are_survived(void **state)
{
    (void)state;
    static const char *const chosen[] = { "linformer-tatp22", "performer-relu", "infinite-former-sorting", "transformer-block-mha",
                                          "transformer-block-enc_preln",
                                          "gru-", "norm-groupnorm", "loss-ce", "optimizer-lamb_debias", "lr-schedule-noam", "mha-" };
    for (size_t i = 0; i < sizeof chosen / sizeof *chosen; i++) {
        const char *path = NULL;
        for (int j = 0; j < file_count; j++)
            if (strstr(files[j], chosen[i])) path = files[j];
        assert_non_null(path);
        const size_t before = sq_memory_current();
        bool passed = false;
        for (long n = 1; !passed; n += n < 200 ? 1 : 7) {
            sq_verify_result result;
            sq_error error;
            assert_true(n < 20000);
            sq__alloc_fail_after(n);
            sq_status status = sq_verify_file(path, &result, &error);
            sq__alloc_fail_after(0);
            passed = status == SQ_OK && result.outcome == SQ_VERIFY_PASSED;
            if (status == SQ_OK) sq_verify_result_clear(&result);
            if (sq_memory_current() != before) fail_msg("%s: %zu bytes stay behind when allocation %ld fails", path, sq_memory_current() - before, n);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_file_passes),
        cmocka_unit_test(one_changed_number_is_noticed),
        cmocka_unit_test(nan_never_passes),
        cmocka_unit_test(a_missing_tensor_never_passes),
        cmocka_unit_test(a_wrong_shape_never_passes),
        cmocka_unit_test(what_is_unknown_is_skipped),
        cmocka_unit_test(an_unexplained_tensor_is_skipped),
        cmocka_unit_test(wild_counts_are_refused),
        cmocka_unit_test(damaged_files_are_errors),
        cmocka_unit_test(failed_allocations_are_survived),
    };
    return cmocka_run_group_tests(tests, list_files, forget_files);
}
