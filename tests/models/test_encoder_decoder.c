/* Encoder-decoder: answers after one another. What it says in inference is what it would say if everything before had been given; it learns
 * to turn sequences round. */
#include "data/dataset.h"
#include "toy.h"

enum { B = 3, T = 7 };

static const int32_t lengths[B] = { 7, 5, 6 };
/* Sequence 0 is asked in the middle and at its end, 1 at two places, of 2 nothing is asked */
static const int32_t asked[B * T] = { -100, 0, -100, 2, 1, -100, 1, 2, -100, -100, 0, -100, -100, -100, -100, -100, -100, -100, -100, -100, -100 };

static sq_schema of_events(void)
{
    sq_schema schema = toy_schema;
    schema.target = SQ_TARGET_EVENT_CLASS;
    return schema;
}

static sq_status create(sq_model **model, const sq_schema *schema, const sq_model_config *config, const sq_option *options, int count, sq_error *error)
{
    return sq__model_create(model, config, &(sq_model_spec){ .schema = schema, .name = "encoder-decoder", .options = options, .option_count = count, .seed = 5, .threads = 1 }, error);
}

/* Weights that make answers depend on those before. */
static void shake(sq_model *model)
{
    int count;
    sq_parameter *parameters = sq__model_parameters(model, &count);
    for (int i = 0; i < count; i++) {
        sq_random random = sq__random_stream(5, parameters[i].name, 1);
        const float size = strstr(parameters[i].name, "head.weight") || strstr(parameters[i].name, "tokens") ? 1.5f : 0.3f;
        for (int64_t j = 0; parameters[i].trainable && j < parameters[i].count; j++) parameters[i].value[j] += size * (float)sq__random_normal(&random, (uint64_t)j);
    }
}

static float *outputs(sq_model *model, const sq_batch *batch, bool teach)
{
    sq_tape *tape = sq__tape_create(false);
    sq_error error;
    sq__tape_mode(tape, teach, 1, 1);
    const sq_var *out = sq__model_forward(model, tape, batch, NULL);
    assert_ok(sq__tape_status(tape, &error), &error);
    float *copy = malloc((size_t)out->count * sizeof *copy);
    memcpy(copy, out->value, (size_t)out->count * sizeof *copy);
    sq__tape_destroy(tape);
    return copy;
}

static int32_t largest(const float *row)
{
    int32_t best = 0;
    for (int32_t c = 1; c < 3; c++) best = row[c] > row[best] ? c : best;
    return best;
}

/* Answer i from the true model with its own answers given up to i; -100 labels that are not asked. The logits of all. */
static void said_one_by_one(sq_model *model, sq_batch *batch, const bool *is_asked, int32_t *answers, float *logits)
{
    static int32_t given[B * T];
    for (int i = 0; i < B * T; i++) given[i] = answers[i] = is_asked[i] ? 0 : SQ_NOT_ASKED;
    batch->event_labels = given;
    for (int round = 0; round < T; round++) {
        float *out = outputs(model, batch, true);
        for (int b = 0; b < B; b++) {
            int seen = 0;
            for (int t = 0; t < T; t++) {
                if (!is_asked[b * T + t] || seen++ != round) continue;
                memcpy(logits + (b * T + t) * 3, out + (b * T + t) * 3, 3 * sizeof *out);
                given[b * T + t] = answers[b * T + t] = largest(out + (b * T + t) * 3);
            }
        }
        free(out);
    }
}

static void check_decoding(const sq_model_config *config, const sq_option *options, int count)
{
    const sq_schema schema = of_events();
    bool is_asked[B * T];
    int32_t answers[B * T], labels[B * T];
    float logits[B * T * 3];
    sq_model *model;
    sq_error error;
    toy_batch toy;
    toy_batch_fill(&toy, B, T, lengths);
    assert_ok(create(&model, &schema, config, options, count, &error), &error);
    shake(model);
    for (int i = 0; i < B * T; i++) is_asked[i] = i / T == 2 ? i % T < lengths[2] : asked[i] != SQ_NOT_ASKED;   /* nothing: everything */
    memcpy(labels, asked, sizeof labels);
    said_one_by_one(model, &toy.batch, is_asked, answers, logits);
    toy.batch.event_labels = labels;
    float *out = outputs(model, &toy.batch, false);
    for (int i = 0; i < B * T; i++) {
        if (!is_asked[i]) continue;
        assert_int_equal(largest(out + i * 3), answers[i]);
        for (int c = 0; c < 3; c++) assert_close(out[i * 3 + c], logits[i * 3 + c], 2e-4);
    }
    free(out);
    sq__model_destroy(&model);
    toy_batch_clear(&toy);
}

static void answers_follow_answers(void **state)
{
    (void)state;
    static const char *const mechanisms[] = { "softmax", "linformer", "performer", "retention" };
    for (int i = 0; i < 4; i++) {
        const sq_option options[] = { { "encoder", mechanisms[i] }, { "decoder_layers", i ? "1" : "3" } };
        sq_model_config config = toy_config();
        config.norm = i == 1 ? SQ_NORM_POST : SQ_NORM_PRE;
        config.reversible = i == 2;
        config.positions = i == 3 ? 1 : 0;
        check_decoding(&config, options, 2);
    }
}

/* The largest logits of a beam are its best sequence, which is at least as likely as the greedy one. */
static void a_beam_is_likelier(void **state)
{
    (void)state;
    const sq_schema schema = of_events();
    const sq_model_config config = toy_config();
    double sums[2][B];
    int32_t labels[B * T], given[B * T];
    toy_batch toy;
    toy_batch_fill(&toy, B, T, lengths);
    for (int beam = 0; beam < 2; beam++) {
        const sq_option option = { "beam", beam ? "243" : "1" };
        sq_model *model;
        sq_error error;
        assert_ok(create(&model, &schema, &config, &option, 1, &error), &error);
        shake(model);
        for (int i = 0; i < B * T; i++) labels[i] = i % T < lengths[i / T] ? 0 : SQ_NOT_ASKED;
        toy.batch.event_labels = labels;
        float *out = outputs(model, &toy.batch, false);
        for (int i = 0; i < B * T; i++) given[i] = labels[i] == SQ_NOT_ASKED ? SQ_NOT_ASKED : largest(out + i * 3);
        free(out);
        toy.batch.event_labels = given;
        out = outputs(model, &toy.batch, true);
        for (int b = 0; b < B; b++) {
            sums[beam][b] = 0;
            for (int t = 0; t < lengths[b]; t++) {
                const float *row = out + (b * T + t) * 3;
                sums[beam][b] += row[given[b * T + t]] - log(exp(row[0]) + exp(row[1]) + exp(row[2]));
            }
        }
        free(out);
        sq__model_destroy(&model);
    }
    for (int b = 0; b < B; b++) {
        print_message("log p of sequence %d: greedy %.4f, beam %.4f\n", b, sums[0][b], sums[1][b]);
        assert_true(sums[1][b] >= sums[0][b] - 1e-4);
    }
    toy_batch_clear(&toy);
}

/* One answer per client; what lies beyond a length, and who else is in the batch, does not matter. */
static void one_answer(void **state)
{
    (void)state;
    const sq_model_config config = toy_config();
    sq_model *model = toy_model(&config, "encoder-decoder", 3);
    toy_batch narrow, wide;
    toy_batch_fill(&narrow, B, T, lengths);
    toy_batch_fill(&wide, B, T + 4, lengths);
    float *a = outputs(model, &narrow.batch, false), *b = outputs(model, &wide.batch, false);
    for (int i = 0; i < B * 3; i++) assert_close(a[i], b[i], 1e-5);
    assert_true(fabsf(a[0] - a[3]) > 1e-6f);
    free(a);
    free(b);
    toy_batch_clear(&narrow);
    toy_batch_clear(&wide);
    sq__model_destroy(&model);
}

/* ---- learning ---- */

enum { SYMBOLS = 5, TURN = 5, ROWS = 2 * TURN, CASES = 24 };

static sq_category symbol = { .name = "symbol", .count = SYMBOLS + 1 };

/* TURN symbols, then TURN blanks, asked for the symbols in the opposite order. */
static void draw_cases(sq_batch *batch, uint64_t number)
{
    sq_random random = sq__random_stream(17, "turn", number);
    for (int64_t b = 0; b < CASES; b++) {
        batch->lengths[b] = ROWS;
        for (int64_t t = 0; t < TURN; t++) {
            const int32_t s = (int32_t)sq__random_below(&random, (uint64_t)(b * TURN + t), SYMBOLS);
            batch->categories[0][b * ROWS + t] = s + 1;
            batch->categories[0][b * ROWS + TURN + t] = SYMBOLS + 1;
            batch->event_labels[b * ROWS + t] = SQ_NOT_ASKED;
            batch->event_labels[b * ROWS + ROWS - 1 - t] = s;
        }
    }
}

static double share_right(sq_model *model, const sq_batch *batch)
{
    float *out = outputs(model, batch, false);
    int right = 0;
    for (int64_t i = 0; i < CASES * ROWS; i++) {
        int best = 0;
        for (int c = 1; c < SYMBOLS; c++) best = out[i * SYMBOLS + c] > out[i * SYMBOLS + best] ? c : best;
        right += batch->event_labels[i] == best;
    }
    free(out);
    return right / (double)(CASES * TURN);
}

static void it_learns_to_turn_round(void **state)
{
    (void)state;
    const sq_schema schema = { .category_count = 1, .class_count = SYMBOLS, .categories = &symbol, .max_length = ROWS, .target = SQ_TARGET_EVENT_CLASS };
    static int32_t ids[CASES * ROWS], labels[CASES * ROWS], of[CASES], *categories[1] = { ids };
    sq_batch batch = { .B = CASES, .T = ROWS, .category_count = 1, .categories = categories, .lengths = of, .event_labels = labels };
    sq_model_config config = toy_config();
    sq_model *model;
    sq_error error;
    int count;
    config.width = 32;
    config.layers = 1;
    assert_ok(create(&model, &schema, &config, NULL, 0, &error), &error);
    sq_parameter *parameters = sq__model_parameters(model, &count);
    float **first = calloc((size_t)count, sizeof *first), **second = calloc((size_t)count, sizeof *second);
    for (int i = 0; i < count; i++) {
        first[i] = calloc((size_t)parameters[i].count, sizeof(float));
        second[i] = calloc((size_t)parameters[i].count, sizeof(float));
    }
    sq_tape *tape = sq__tape_create(true);
    for (int step = 1; step <= 350; step++) {
        draw_cases(&batch, (uint64_t)step);
        sq__tape_reset(tape);
        sq__tape_mode(tape, true, 1, (uint64_t)step);
        sq__model_zero_gradients(model);
        sq_var *loss = sq__cross_entropy(tape, sq__model_forward(model, tape, &batch, NULL), labels, &(sq_cross_entropy){ .ignore = SQ_NOT_ASKED });
        assert_ok(sq__tape_backward(tape, loss, NULL, &error), &error);
        const double rate = 3e-3 * sqrt(1 - pow(0.99, step)) / (1 - pow(0.9, step));
        for (int i = 0; i < count; i++)
            for (int64_t j = 0; parameters[i].trainable && j < parameters[i].count; j++) {
                const float g = parameters[i].gradient[j];
                first[i][j] += 0.1f * (g - first[i][j]);
                second[i][j] += 0.01f * (g * g - second[i][j]);
                parameters[i].value[j] -= (float)(rate * first[i][j] / (sqrt(second[i][j]) + 1e-8));
            }
    }
    draw_cases(&batch, 0);
    const double right = share_right(model, &batch);
    print_message("%.3f of the symbols right\n", right);
    assert_true(right > 0.98);
    for (int i = 0; i < count; i++) free(first[i]), free(second[i]);
    free(first);
    free(second);
    sq__tape_destroy(tape);
    sq__model_destroy(&model);
}

/* ---- refusals ---- */

static void refused(const sq_schema *schema, const sq_model_config *config, const char *key, const char *value, sq_status status, const char *part)
{
    const sq_option option = { key, value };
    sq_model *model;
    sq_error error;
    assert_int_equal(create(&model, schema, config, &option, key ? 1 : 0, &error), status);
    assert_null(model);
    assert_contains(error.message, part);
}

static void what_cannot_be(void **state)
{
    (void)state;
    sq_schema schema = of_events();
    sq_model_config config = toy_config();
    refused(&schema, &config, "encoder", "softmux", SQ_NOT_FOUND, "softmax");
    refused(&schema, &config, "encoder_options", "window", SQ_INVALID, "'window' is no name=value");
    refused(&schema, &config, "encoder_options", "window=3", SQ_NOT_FOUND, "window");
    schema.next = true;
    refused(&schema, &config, NULL, NULL, SQ_UNSUPPORTED, "the next one is asked");
    schema.next = false;
    schema.target = SQ_TARGET_EVENT_BITS;
    schema.bit_count = 2;
    refused(&schema, &config, NULL, NULL, SQ_UNSUPPORTED, "the target is bits");
    config.pooling = SQ_BY_MEAN;
    refused(&toy_schema, &config, NULL, NULL, SQ_UNSUPPORTED, "pooling must be auto");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_follow_answers), cmocka_unit_test(a_beam_is_likelier), cmocka_unit_test(one_answer),
        cmocka_unit_test(it_learns_to_turn_round), cmocka_unit_test(what_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
