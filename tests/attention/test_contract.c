/* What every plan promises whatever the mechanism computes: nothing leaks from the future or from padding, strides and threads
 * do not change a bit, workspace is exact, memory may run out at any allocation, and a refusal names its reason. */
#include "base/memory.h"
#include "base/random.h"
#include "reference/trial.h"
#include "support/check.h"

typedef void (*check_fn)(const char *mechanism, unsigned can, const reference_variant *variant);

/* fn for every mechanism and option set. */
static void each_variant(check_fn fn)
{
    sq_mechanism_info info;
    for (int m = 0; sq_mechanism_get(m, &info) == SQ_OK; m++) {
        const reference_row *row = reference_find(info.name);
        if (!trial_chosen(info.name)) continue;
        if (!row) fail_msg("%s has no double-precision reference in tests/reference", info.name);
        for (const reference_variant *variant = row->variants; variant->options; variant++) {
            const unsigned can = info.can & ~variant->skip;
            fn(info.name, can & ~(unsigned)SQ_CAN_GLOBAL, variant);
            if (can & SQ_CAN_GLOBAL) fn(info.name, can & ~(unsigned)SQ_CAN_CAUSAL, variant);   /* which may exclude each other */
        }
    }
}

/* Everything the mechanism can do at once. */
static trial_shape full_shape(unsigned can, const reference_variant *variant)
{
    trial_shape shape = { .B = 3, .H = 2, .T = 131, .N = 131, .D = 9, .M = variant->square ? 9 : 6, .size = variant->size };
    shape.causal = (can & SQ_CAN_CAUSAL) != 0;
    shape.lengths = shape.query_lengths = (can & SQ_CAN_LENGTHS) != 0;
    shape.key_mask = (can & (SQ_CAN_KEY_MASK | SQ_CAN_MASK)) != 0;
    shape.pair_mask = (can & SQ_CAN_MASK) != 0;
    shape.global_tokens = (can & SQ_CAN_GLOBAL) != 0;
    if (can & SQ_CAN_BIAS) shape.bias = SQ_BIAS_RELATIVE, shape.bias_distance = 20;
    if (can & SQ_CAN_GROUPED) shape.H = 4, shape.Hk = 2;
    return shape;
}

static void open_or_fail(trial *t, const char *mechanism, const reference_variant *variant, const trial_shape *shape)
{
    const sq_status status = trial_open(t, mechanism, variant->options, shape);
    if (status != SQ_OK) fail_msg("%s [%s]: %s", mechanism, variant->options, t->error.message);
}

static void expect_same(const trial *a, const trial_array *x, const trial *b, const trial_array *y, const char *what)
{
    float *left = trial_packed(a, x), *right = trial_packed(b, y);
    for (int64_t i = 0; i < x->count; i++)
        if (memcmp(&left[i], &right[i], sizeof left[i]) != 0)
            fail_msg("%s [%s]: %s: element %d is %.9g and %.9g", a->desc.mechanism, a->options_text, what, (int)i, (double)left[i], (double)right[i]);
    free(left);
    free(right);
}

static void expect_same_run(const trial *a, const trial *b, const char *what)
{
    expect_same(a, &a->out, b, &b->out, what);
    expect_same(a, &a->dq, b, &b->dq, what);
    expect_same(a, &a->dk, b, &b->dk, what);
    expect_same(a, &a->dv, b, &b->dv, what);
    for (int i = 0; i < a->input_count; i++) expect_same(a, &a->dinput[i], b, &b->dinput[i], what);
    for (int i = 0; i < a->tensor_count; i++)
        if (a->dtensor[i] && memcmp(a->dtensor[i], b->dtensor[i], (size_t)a->tensor_size[i] * sizeof(float)) != 0)
            fail_msg("%s [%s]: %s: gradient of %s differs", a->desc.mechanism, a->options_text, what, a->tensors[i].name);
}

/* ---- strides and threads ---- */

static void check_strides_and_threads(const char *mechanism, unsigned can, const reference_variant *variant)
{
    trial_shape shape = full_shape(can, variant), other = shape;
    trial first, second;
    open_or_fail(&first, mechanism, variant, &shape);
    trial_forward(&first);
    trial_backward(&first);
    for (int threads = 1; threads <= 3; threads++) {
        other.heads_first = threads == 1;
        other.threads = threads;
        open_or_fail(&second, mechanism, variant, &other);
        trial_forward(&second);
        trial_backward(&second);
        expect_same_run(&first, &second, threads == 1 ? "[B,H,T,D] strides" : "threads");
        if (!trial_guards_hold(&second)) fail_msg("%s [%s]: wrote outside its memory with %d threads", mechanism, variant->options, threads);
        trial_close(&second);
    }
    trial_close(&first);
}

static void test_strides_and_threads(void **state)
{
    (void)state;
    each_variant(check_strides_and_threads);
}

/* ---- what must not be seen ---- */

static void fill_rows(trial_array *a, int64_t b, int64_t from, float value)
{
    for (int64_t i = from; i < a->rows; i++)
        for (int64_t h = 0; h < a->heads; h++)
            for (int64_t c = 0; c < a->width; c++) *trial_at(a, b, i, h, c) = value;
}

/* Keys beyond the length and queries beyond theirs are never read: NaN there changes no bit, forward or backward. */
static void check_padding(const char *mechanism, unsigned can, const reference_variant *variant)
{
    trial_shape shape = full_shape(can, variant);
    trial clean, dirty;
    if (!(can & SQ_CAN_LENGTHS)) return;
    open_or_fail(&clean, mechanism, variant, &shape);
    open_or_fail(&dirty, mechanism, variant, &shape);
    for (int64_t b = 0; b < shape.B; b++) {
        fill_rows(&dirty.k, b, dirty.lengths[b], NAN);
        fill_rows(&dirty.v, b, dirty.lengths[b], NAN);
        fill_rows(&dirty.q, b, dirty.query_lengths[b], NAN);
        fill_rows(&dirty.dout, b, dirty.query_lengths[b], NAN);
        for (int i = 0; i < dirty.input_count; i++)
            fill_rows(&dirty.input[i], b, dirty.inputs[i].of_keys ? dirty.lengths[b] : dirty.query_lengths[b], NAN);
        for (int64_t j = dirty.lengths[b]; dirty.global_tokens && j < shape.N; j++) dirty.global_tokens[b * shape.N + j] = 1;
    }
    trial_forward(&clean), trial_forward(&dirty);
    trial_backward(&clean), trial_backward(&dirty);
    expect_same_run(&clean, &dirty, "padding");
    trial_close(&clean);
    trial_close(&dirty);
}

static void test_padding_is_ignored(void **state)
{
    (void)state;
    each_variant(check_padding);
}

static void blank_masked(const trial *t, trial_array *a)
{
    for (int64_t b = 0; b < t->shape.B; b++)
        for (int64_t j = 0; j < t->shape.N; j++)
            for (int64_t h = 0; h < a->heads && !t->key_keep[b * t->shape.N + j]; h++)
                for (int64_t c = 0; c < a->width; c++) *trial_at(a, b, j, h, c) = NAN;
}

/* Masked keys may hold anything: they have no part in a value or a gradient; their own gradients are 0. */
static void check_masked(const char *mechanism, unsigned can, const reference_variant *variant)
{
    trial_shape shape = full_shape(can, variant);
    trial clean, dirty;
    if (!(can & (SQ_CAN_KEY_MASK | SQ_CAN_MASK)) || variant->reads_masked) return;
    open_or_fail(&clean, mechanism, variant, &shape);
    open_or_fail(&dirty, mechanism, variant, &shape);
    blank_masked(&dirty, &dirty.k), blank_masked(&dirty, &dirty.v);
    for (int i = 0; i < dirty.input_count; i++)
        if (dirty.inputs[i].of_keys) blank_masked(&dirty, &dirty.input[i]);
    trial_forward(&clean), trial_forward(&dirty);
    trial_backward(&clean), trial_backward(&dirty);
    expect_same_run(&clean, &dirty, "masked keys");
    for (int64_t b = 0; b < shape.B; b++)
        for (int64_t j = 0; j < shape.N; j++)
            for (int64_t h = 0; h < clean.k.heads && !clean.key_keep[b * shape.N + j]; h++)
                for (int64_t c = 0; c < shape.D; c++)
                    if (*trial_at(&clean.dk, b, j, h, c) != 0) fail_msg("%s [%s]: masked key %d has a gradient", mechanism, variant->options, (int)j);
    trial_close(&clean);
    trial_close(&dirty);
}

static void test_masked_keys_are_ignored(void **state)
{
    (void)state;
    each_variant(check_masked);
}

/* Later rows changed: earlier ones keep their bits; and no gradient of an earlier row reaches a later key. */
static void check_future(const char *mechanism, unsigned can, const reference_variant *variant)
{
    static const int64_t cuts[] = { 1, 64, 100, 128, 200 };
    const trial_shape shape = { .B = 1, .H = 2, .T = 260, .N = 260, .D = 9, .M = variant->square ? 9 : 6, .causal = true, .size = variant->size };
    trial clean, dirty;
    if (!(can & SQ_CAN_CAUSAL) || variant->sees_all) return;
    open_or_fail(&clean, mechanism, variant, &shape);
    trial_forward(&clean);
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        const int64_t cut = cuts[i];
        open_or_fail(&dirty, mechanism, variant, &shape);
        fill_rows(&dirty.q, 0, cut, 1);
        fill_rows(&dirty.k, 0, cut, 0.5f);
        fill_rows(&dirty.v, 0, cut, 100);
        for (int input = 0; input < dirty.input_count; input++) fill_rows(&dirty.input[input], 0, cut, 2);
        trial_forward(&dirty);
        for (int64_t row = 0; row < cut; row++)
            for (int64_t h = 0; h < shape.H; h++)
                if (memcmp(trial_at(&clean.out, 0, row, h, 0), trial_at(&dirty.out, 0, row, h, 0), (size_t)shape.M * sizeof(float)) != 0)
                    fail_msg("%s [%s]: row %d changes with rows from %d on", mechanism, variant->options, (int)row, (int)cut);
        fill_rows(&dirty.dout, 0, cut, 0);
        dirty.dauxiliary = 0;             /* a regulariser looks at every row */
        trial_backward(&dirty);
        for (int64_t row = cut; row < shape.N; row++)
            for (int64_t h = 0; h < shape.H; h++)
                for (int64_t c = 0; c < shape.D; c++)
                    if (*trial_at(&dirty.dk, 0, row, h, c) != 0)
                        fail_msg("%s [%s]: a gradient flows from before row %d to key %d", mechanism, variant->options, (int)cut, (int)row);
        trial_close(&dirty);
    }
    trial_close(&clean);
}

static void test_future_does_not_leak(void **state)
{
    (void)state;
    each_variant(check_future);
}

/* ---- repeated use ---- */

/* A second run of the same plan, and of backward twice, gives the same bits; gradients of tensors are added to. */
static void check_repeat(const char *mechanism, unsigned can, const reference_variant *variant)
{
    trial_shape shape = full_shape(can, variant);
    trial once, twice;
    open_or_fail(&once, mechanism, variant, &shape);
    open_or_fail(&twice, mechanism, variant, &shape);
    trial_forward(&once);
    trial_backward(&once);
    trial_forward(&twice);
    trial_forward(&twice);
    trial_backward(&twice);
    trial_backward(&twice);
    expect_same_run(&once, &twice, "a second run");
    trial_backward_again(&twice);
    for (int i = 0; i < once.tensor_count; i++)
        for (int64_t j = 0; once.dtensor[i] && j < once.tensor_size[i]; j++) {
            const float before = once.dtensor[i][j], after = twice.dtensor[i][j];
            if (!(fabsf(after - 2 * before) <= 4e-6f * (1 + fabsf(before))))
                fail_msg("%s [%s]: gradient of %s is %g after one call and %g after two", mechanism, variant->options, once.tensors[i].name,
                         (double)before, (double)after);
        }
    trial_close(&once);
    trial_close(&twice);
}

static void test_repeats(void **state)
{
    (void)state;
    each_variant(check_repeat);
}

/* ---- memory ---- */

/* Every allocation of creation and of drawing tensors made to fail in turn. */
static void check_lack_of_memory(const char *mechanism, unsigned can, const reference_variant *variant)
{
    char text[256];
    sq_option options[TRIAL_OPTIONS];
    snprintf(text, sizeof text, "%s", variant->options);
    const sq_attention_desc desc = { .mechanism = mechanism, .options = options, .option_count = trial_options(text, options, TRIAL_OPTIONS),
                                     .B = 1, .H = 2, .T = 40, .N = 40, .D = 8, .M = 8, .causal = (can & SQ_CAN_CAUSAL) != 0 };
    const size_t before = sq_memory_current();
    bool whole = false;
    for (long nth = 1; !whole; nth++) {
        sq_attention *plan;
        sq_error error;
        sq__alloc_fail_after(nth);
        sq_status status = sq_attention_create(&plan, &desc, &error);
        if (status != SQ_OK) assert_null(plan);
        for (int i = 0; status == SQ_OK && i < sq_attention_tensor_count(plan); i++) {
            sq_attention_tensor tensor;
            size_t size = sizeof(float);
            sq_attention_tensor_get(plan, i, &tensor);
            for (int d = 0; d < tensor.rank; d++) size *= (size_t)tensor.shape[d];
            float *data = malloc(size);
            status = sq_attention_tensor_init(plan, i, 1, 0, data);
            free(data);
        }
        sq__alloc_fail_after(0);
        if (status != SQ_OK && status != SQ_NO_MEMORY) fail_msg("%s [%s]: allocation %ld: %s", mechanism, variant->options, nth, sq_status_name(status));
        whole = status == SQ_OK;
        sq_attention_destroy(&plan);
        if (sq_memory_current() != before)
            fail_msg("%s [%s]: allocation %ld failed: %zu bytes are lost", mechanism, variant->options, nth, sq_memory_current() - before);
    }
}

static void test_lack_of_memory(void **state)
{
    (void)state;
    each_variant(check_lack_of_memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strides_and_threads), cmocka_unit_test(test_padding_is_ignored), cmocka_unit_test(test_masked_keys_are_ignored),
        cmocka_unit_test(test_future_does_not_leak), cmocka_unit_test(test_repeats), cmocka_unit_test(test_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
