/* Streams that conformance does not know: ragged batches, and more rows than there are positions. */
#include "base/memory.h"
#include "reference/trial.h"
#include "support/check.h"

static void open_or_fail(trial *t, const char *mechanism, const char *options, const trial_shape *shape)
{
    if (trial_open(t, mechanism, options, shape) != SQ_OK) fail_msg("%s %s: %s", mechanism, options, t->error.message);
}

static sq_attention *plan_of(const trial *t, int64_t rows, int64_t max_length)
{
    sq_attention *plan;
    sq_error error;
    sq_attention_desc desc = t->desc;
    desc.T = desc.N = rows, desc.max_length = max_length, desc.lengths = true;
    assert_ok(sq_attention_create(&plan, &desc, &error), &error);
    return plan;
}

/* Row `row` of B = 2 entries from rows[b] of `from`. */
static void copy_row(float *to, const trial_array *from, const int32_t *rows, int64_t plus)
{
    for (int64_t b = 0; b < 2; b++) memcpy(to + b * from->width, trial_at(from, b, rows[b] + plus, 0, 0), (size_t)from->width * sizeof *to);
}

enum { N = 32, WIDTH = 6, PROMPT = 20 };

/* A batch of two prompts of 20 and 9 rows in one step, then rows one by one after each's own end: as each entry by itself. Rows beyond an entry's
 * keys that are asked for all the same get what forward gives them. */
static void stream_ragged(const char *mechanism, const char *options, bool beyond)
{
    static const int32_t lengths[2] = { PROMPT, 9 };
    const trial_shape shape = { .B = 2, .H = 1, .T = N, .N = N, .D = WIDTH, .M = WIDTH, .causal = true };
    trial whole;
    open_or_fail(&whole, mechanism, options, &shape);
    trial_forward(&whole);
    sq_attention *prompt = plan_of(&whole, PROMPT, N), *one = plan_of(&whole, 1, N);
    void *state = sq__alloc(sq_attention_state_bytes(prompt)), *workspace = sq__alloc(sq_attention_workspace_bytes(prompt, SQ_FORWARD));
    float out[2 * PROMPT * WIDTH], expected[2 * PROMPT * WIDTH], further[TRIAL_INPUTS][2 * WIDTH];
    sq_view inputs[TRIAL_INPUTS];
    for (int j = 0; j < whole.input_count; j++) inputs[j] = whole.input[j].view;
    sq_attention_call call = { .inputs = inputs, .q = whole.q.view, .k = whole.k.view, .v = whole.v.view, .out = sq_view_bthd(expected, PROMPT, 1, WIDTH), .lengths = lengths,
                               .query_lengths = beyond ? NULL : lengths, .tensors = whole.tensor, .workspace = workspace };
    sq_attention_forward(prompt, &call);
    call.out.data = out;
    sq_attention_state_reset(prompt, state);
    sq_attention_step(prompt, &call, state);
    for (int64_t i = 0; i < 2 * PROMPT * WIDTH; i++) assert_close(out[i], expected[i], 2e-6);
    for (int64_t i = 0; i < 8; i++) {
        float q[2 * WIDTH], k[2 * WIDTH], v[2 * WIDTH];
        copy_row(q, &whole.q, lengths, i), copy_row(k, &whole.k, lengths, i), copy_row(v, &whole.v, lengths, i);
        copy_row(expected, &whole.out, lengths, i);
        call.q = sq_view_bthd(q, 1, 1, WIDTH), call.k = sq_view_bthd(k, 1, 1, WIDTH), call.v = sq_view_bthd(v, 1, 1, WIDTH);
        call.out = sq_view_bthd(out, 1, 1, WIDTH);
        for (int j = 0; j < whole.input_count; j++) {
            copy_row(further[j], &whole.input[j], lengths, i);
            inputs[j] = sq_view_bthd(further[j], 1, 1, whole.input[j].width);
        }
        call.lengths = call.query_lengths = NULL;
        sq_attention_step(one, &call, state);
        for (int64_t c = 0; c < 2 * WIDTH; c++) assert_close(out[c], expected[c], 4e-6);
    }
    sq__free(state);
    sq__free(workspace);
    sq_attention_destroy(&prompt);
    sq_attention_destroy(&one);
    trial_close(&whole);
}

static void test_ragged_streams(void **state)
{
    static const char *const cases[][2] = {
        { "retention", "" }, { "gated-linear", "" }, { "delta-rule", "" }, { "gated-delta-rule", "" }, { "ssd", "" }, { "wkv", "" },
        { "linear", "" }, { "rfa", "" }, { "cosformer", "" }, { "performer", "" },
        { "aft", "window=4 rank=3" }, { "aft", "window=4 rank=0" }, { "aft", "variant=conv window=5" }, { "aft", "variant=simple" },
        { "sliding-window", "window=5" }, { "sliding-window", "window=3 dilation=2" }, { "sliding-window", "window=4 block=4" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int beyond = 0; beyond < 2; beyond++) stream_ragged(cases[i][0], cases[i][1], beyond == 1);
}

/* Factors of 8 positions bias no key that lies further back, however wide the window: with equal factors as a window of 8. */
static void test_aft_streams_past_its_positions(void **state)
{
    enum { POSITIONS = 8, ROWS = 40 };
    const trial_shape shape = { .B = 1, .H = 1, .T = ROWS, .N = ROWS, .D = WIDTH, .M = WIDTH, .causal = true };
    trial whole, narrow;
    float out[WIDTH];
    (void)state;
    open_or_fail(&narrow, "aft", "window=8 rank=1", &shape);
    open_or_fail(&whole, "aft", "window=32 rank=1", &shape);
    for (int i = 0; i < 2; i++)
        for (int64_t t = 0; t < ROWS; t++) narrow.tensor[i][t] = i ? 1 : -0.7f;
    trial_forward(&narrow);
    sq_attention *one = plan_of(&whole, 1, POSITIONS);
    void *memory = sq__alloc(sq_attention_state_bytes(one)), *workspace = sq__alloc(sq_attention_workspace_bytes(one, SQ_FORWARD));
    sq_attention_state_reset(one, memory);
    for (int64_t t = 0; t < ROWS; t++) {
        const sq_attention_call call = {
            .q = sq_view_bthd(trial_at(&narrow.q, 0, t, 0, 0), 1, 1, WIDTH), .k = sq_view_bthd(trial_at(&narrow.k, 0, t, 0, 0), 1, 1, WIDTH),
            .v = sq_view_bthd(trial_at(&narrow.v, 0, t, 0, 0), 1, 1, WIDTH), .out = sq_view_bthd(out, 1, 1, WIDTH), .tensors = narrow.tensor,
            .workspace = workspace,
        };
        sq_attention_step(one, &call, memory);
        for (int64_t c = 0; c < WIDTH; c++) assert_close(out[c], *trial_at(&narrow.out, 0, t, 0, c), 4e-6);
    }
    sq__free(memory);
    sq__free(workspace);
    sq_attention_destroy(&one);
    trial_close(&whole);
    trial_close(&narrow);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_ragged_streams), cmocka_unit_test(test_aft_streams_past_its_positions) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
