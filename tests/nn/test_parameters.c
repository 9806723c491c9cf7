/* Sets of parameters, starting values, positions, recurrent stacks. */
#include "base/random.h"
#include "nn/axial_positions.h"
#include "nn/recurrent_stack.h"
#include "nn/layers.h"
#include "support/check.h"

static sq_parameters set;
static sq_error error;

static int setup(void **state)
{
    (void)state;
    set = (sq_parameters){ .seed = 3 };
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sq__parameters_clear(&set);
    return 0;
}

static void values_depend_on_seed_and_name(void **state)
{
    (void)state;
    sq_parameters other = { .seed = 3 }, elsewhere = { .seed = 4 };
    sq_linear a, b, c, d;
    assert_ok(sq__linear_create(&a, &set, "a", 40, 30, true, &error), &error);
    assert_ok(sq__linear_create(&b, &other, "b", 40, 30, true, &error), &error);
    assert_ok(sq__linear_create(&c, &other, "a", 40, 30, true, &error), &error);
    assert_ok(sq__linear_create(&d, &elsewhere, "a", 40, 30, true, &error), &error);
    const sq_parameter *first = &set.items[a.weight];
    assert_string_equal(first->name, "a.weight");
    assert_true(first->decay && first->trainable);
    assert_false(set.items[a.bias].decay);
    assert_memory_equal(first->value, other.items[c.weight].value, 1200 * sizeof(float));   /* order does not matter */
    assert_memory_not_equal(first->value, other.items[b.weight].value, 1200 * sizeof(float));
    assert_memory_not_equal(first->value, elsewhere.items[d.weight].value, 1200 * sizeof(float));
    double square = 0, bound = sqrt(6.0 / 70);
    for (int i = 0; i < 1200; i++) {
        assert_true(fabs((double)first->value[i]) <= bound);
        square += (double)first->value[i] * first->value[i];
    }
    assert_close(square / 1200, bound * bound / 3, bound * bound / 3 * 5 * sqrt(0.8 / 1200));   /* variance of u^2: 4/45 of bound^4 */
    sq__parameters_clear(&other);
    sq__parameters_clear(&elsewhere);
}

static void names_are_checked(void **state)
{
    (void)state;
    sq_linear layer;
    char name[100];
    memset(name, 'x', sizeof name);
    name[99] = 0;
    assert_ok(sq__linear_create(&layer, &set, "a", 2, 2, true, &error), &error);
    assert_int_equal(sq__linear_create(&layer, &set, "a", 2, 2, true, &error), SQ_INTERNAL);
    assert_contains(error.message, "'a.weight' exists already");
    assert_int_equal(sq__linear_create(&layer, &set, name, 2, 2, true, &error), SQ_INVALID);
    assert_contains(error.message, "longer than 95 bytes");
    assert_int_equal(sq__linear_create(&layer, &set, "b", 0, 2, true, &error), SQ_INVALID);
    assert_contains(error.message, "'b.weight' has an axis of 0");
}

static void allocations_may_fail(void **state)
{
    (void)state;
    const size_t before = sq_memory_current();
    for (long n = 1; n < 6; n++) {
        sq_linear layer;
        sq__alloc_fail_after(n);
        sq_status status = sq__linear_create(&layer, &set, "a", 200, 200, true, &error);
        sq__alloc_fail_after(0);
        assert_int_equal(status, SQ_NO_MEMORY);
        sq__parameters_clear(&set);
        assert_int_equal(sq_memory_current(), before);
    }
    sq_linear layer;
    assert_ok(sq__linear_create(&layer, &set, "a", 200, 200, true, &error), &error);
}

static void waves(void **state)
{
    (void)state;
    sq_embedding layer;
    assert_ok(sq__positions_create(&layer, &set, "p", false, 50, 6, &error), &error);
    const sq_parameter *table = &set.items[layer.weight];
    assert_false(table->trainable);
    assert_null(table->gradient);
    for (int t = 0; t < 50; t++)
        for (int i = 0; i < 3; i++) {
            const double angle = t / pow(10000, 2 * i / 6.0);
            assert_close(table->value[t * 6 + 2 * i], sin(angle), 1e-7);
            assert_close(table->value[t * 6 + 2 * i + 1], cos(angle), 1e-7);
        }
}

/* Every position of 10 has rows of its own: those of its row and column of a 3 x 4 grid; -1 has zeros. */
static void axial_positions(void **state)
{
    (void)state;
    enum { LENGTH = 10, WIDTH = 5 };
    sq_axial_positions layer;
    int32_t ids[LENGTH + 1];
    sq_tape *tape = sq__tape_create(false);
    for (int i = 0; i < LENGTH; i++) ids[i] = i;
    ids[LENGTH] = -1;
    assert_ok(sq__axial_positions_create(&layer, &set, "p", LENGTH, WIDTH, &error), &error);
    const sq_parameter *rows = &set.items[layer.rows], *columns = &set.items[layer.columns];
    assert_int_equal(rows->shape[0], 3);
    assert_int_equal(rows->shape[1], 2);
    assert_int_equal(columns->shape[0], 4);
    assert_int_equal(columns->shape[1], 3);
    const sq_var *y = sq__axial_positions_run(&layer, tape, ids, 1, (const int64_t[]){ LENGTH + 1 });
    assert_non_null(y);
    for (int i = 0; i <= LENGTH; i++)
        for (int c = 0; c < WIDTH; c++)
            assert_true(y->value[i * WIDTH + c] == (i == LENGTH ? 0 : c < 2 ? rows->value[i / 4 * 2 + c] : columns->value[i % 4 * 3 + c - 2]));
    sq__tape_destroy(tape);
    assert_int_equal(sq__axial_positions_create(&layer, &set, "narrow", LENGTH, 1, &error), SQ_INVALID);
}

/* Two layers both ways: the last states are rows of the output; the backward half of a sequence turned round is the forward half of
 * a network whose directions are exchanged. */
static void stack_of_both_directions(void **state)
{
    (void)state;
    enum { B = 3, T = 6, I = 4, H = 5 };
    const int32_t lengths[B] = { 6, 2, 5 };
    sq_recurrent_stack stack, exchanged;
    sq_parameters other = { .seed = 8 };
    const sq_recurrent_config config = { .cell = SQ_CELL_GRU, .layers = 2, .input = I, .hidden = H, .both_directions = true };
    assert_ok(sq__recurrent_stack_create(&stack, &set, "gru", &config, &error), &error);
    assert_ok(sq__recurrent_stack_create(&exchanged, &other, "gru", &config, &error), &error);
    assert_non_null(sq__parameters_find(&set, "gru.1.reverse.weight_ih"));
    for (int layer = 0; layer < 2; layer++)
        for (int way = 0; way < 2; way++) {
            const sq_recurrent_cell *from = &stack.cells[2 * layer + way], *to = &exchanged.cells[2 * layer + 1 - way];
            const int pairs[4][2] = { { from->weight_ih, to->weight_ih },
                                      { from->weight_hh, to->weight_hh },
                                      { from->bias_ih, to->bias_ih },
                                      { from->bias_hh, to->bias_hh } };
            for (int k = 0; k < 4; k++)
                memcpy(other.items[pairs[k][1]].value, set.items[pairs[k][0]].value, (size_t)set.items[pairs[k][0]].count * sizeof(float));
            if (layer == 0) continue;   /* its input has its halves exchanged, too */
            float *w = other.items[to->weight_ih].value;
            for (int row = 0; row < 3 * H; row++)
                for (int i = 0; i < H; i++) {
                    float half = w[row * 2 * H + i];
                    w[row * 2 * H + i] = w[row * 2 * H + H + i];
                    w[row * 2 * H + H + i] = half;
                }
        }
    sq_random random = sq__random_stream(1, "stack", 0);
    float x[B * T * I], turned[B * T * I];
    sq__random_uniform_fill(&random, x, B * T * I, -1, 1);
    memcpy(turned, x, sizeof x);
    for (int b = 0; b < B; b++)
        for (int t = 0; t < lengths[b]; t++) memcpy(turned + (b * T + t) * I, x + (b * T + lengths[b] - 1 - t) * I, I * sizeof(float));
    sq_tape *tape = sq__tape_create(false);
    sq_var *last[4];
    const int64_t shape[3] = { B, T, I };
    const sq_var *out = sq__recurrent_stack_run(&stack, tape, sq__tape_input(tape, 3, shape, x, false), lengths, NULL, last);
    const sq_var *mirror = sq__recurrent_stack_run(&exchanged, tape, sq__tape_input(tape, 3, shape, turned, false), lengths, NULL, NULL);
    assert_ok(sq__tape_status(tape, &error), &error);
    for (int b = 0; b < B; b++) {
        assert_memory_equal(last[2]->value + b * H, out->value + (b * T + lengths[b] - 1) * 2 * H, H * sizeof(float));
        assert_memory_equal(last[3]->value + b * H, out->value + b * T * 2 * H + H, H * sizeof(float));
        for (int t = 0; t < lengths[b]; t++)
            for (int i = 0; i < 2 * H; i++)
                assert_close(mirror->value[(b * T + lengths[b] - 1 - t) * 2 * H + (i + H) % (2 * H)], out->value[(b * T + t) * 2 * H + i], 1e-6);
    }
    sq__tape_destroy(tape);
    sq__recurrent_stack_clear(&stack);
    sq__recurrent_stack_clear(&exchanged);
    sq__parameters_clear(&other);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = { TEST(values_depend_on_seed_and_name), TEST(names_are_checked), TEST(allocations_may_fail), TEST(waves), TEST(axial_positions),
                                        TEST(stack_of_both_directions) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
