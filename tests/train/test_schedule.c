/* Schedules: values at points where the formulas can be worked out by hand, and torch's recursive cosine. */
#include "support/check.h"

#include "train/schedule.h"

static const double pi = 3.14159265358979323846;

static void warm_up(void **state)
{
    (void)state;
    static const sq_schedule_kind kinds[] = { SQ_SCHEDULE_COSINE, SQ_SCHEDULE_CONSTANT, SQ_SCHEDULE_LINEAR, SQ_SCHEDULE_COSINE_RESTARTS,
                                              SQ_SCHEDULE_POLYNOMIAL, SQ_SCHEDULE_INVERSE_SQRT };
    for (int k = 0; k < 6; k++) {
        const sq_schedule s = { .kind = kinds[k], .rate = 2, .warmup = 10, .total = 50, .cycles = 0.5, .power = 1 };
        for (int step = 0; step <= 10; step++) assert_close(sq__schedule_rate(&s, step), 0.2 * step, 1e-15);
        const sq_schedule cold = { .kind = kinds[k], .rate = 2, .total = 50, .cycles = 0.5, .power = 1, .timescale = 5 };
        assert_close(sq__schedule_rate(&cold, 0), 2, 1e-15);
    }
}

static void after_warm_up(void **state)
{
    (void)state;
    sq_schedule s = { .kind = SQ_SCHEDULE_COSINE, .rate = 2, .warmup = 10, .total = 50, .cycles = 0.5 };
    assert_close(sq__schedule_rate(&s, 20), 2 * (1 + sqrt(0.5)) / 2, 1e-15);
    assert_close(sq__schedule_rate(&s, 30), 1, 1e-15);
    assert_close(sq__schedule_rate(&s, 50), 0, 1e-15);
    assert_close(sq__schedule_rate(&s, 70), 1, 1e-15);   /* rises again */
    s.kind = SQ_SCHEDULE_CONSTANT;
    assert_close(sq__schedule_rate(&s, 1000), 2, 0);
    s.kind = SQ_SCHEDULE_LINEAR;
    assert_close(sq__schedule_rate(&s, 20), 1.5, 1e-15);
    assert_close(sq__schedule_rate(&s, 60), 0, 0);
    s.kind = SQ_SCHEDULE_COSINE_RESTARTS;
    s.cycles = 4;
    assert_close(sq__schedule_rate(&s, 15), 1, 1e-15);
    assert_close(sq__schedule_rate(&s, 20), 2, 1e-15);   /* a new start */
    assert_close(sq__schedule_rate(&s, 50), 0, 0);
    s = (sq_schedule){ .kind = SQ_SCHEDULE_POLYNOMIAL, .rate = 2, .warmup = 10, .total = 50, .end = 0.5, .power = 2 };
    assert_close(sq__schedule_rate(&s, 30), 1.5 * 0.25 + 0.5, 1e-15);
    assert_close(sq__schedule_rate(&s, 51), 0.5, 0);
    s = (sq_schedule){ .kind = SQ_SCHEDULE_INVERSE_SQRT, .rate = 2, .warmup = 10 };
    assert_close(sq__schedule_rate(&s, 40), 1, 1e-15);
    s.timescale = 15;
    assert_close(sq__schedule_rate(&s, 55), 1, 1e-15);
}

static void without_the_common_warm_up(void **state)
{
    (void)state;
    sq_schedule s = { .kind = SQ_SCHEDULE_NOAM, .rate = 3, .warmup = 16, .width = 64 };
    assert_close(sq__schedule_rate(&s, 0), sq__schedule_rate(&s, 1), 0);
    assert_close(sq__schedule_rate(&s, 8), 3.0 / 8 * 8 / 64, 1e-15);
    assert_close(sq__schedule_rate(&s, 64), 3.0 / 8 / 8, 1e-15);
    s = (sq_schedule){ .kind = SQ_SCHEDULE_INVERSE_SQRT_FAIRSEQ, .rate = 2, .warmup = 16, .initial = 0.4 };
    assert_close(sq__schedule_rate(&s, 4), 0.8, 1e-15);
    assert_close(sq__schedule_rate(&s, 64), 1, 1e-15);
    s.initial = -1;
    assert_close(sq__schedule_rate(&s, 4), 0.5, 1e-15);

    s = (sq_schedule){ .kind = SQ_SCHEDULE_COSINE_ANNEALING, .rate = 0.1, .total = 30, .end = 0.001 };
    double rate = 0.1;
    for (int step = 1; step < 75; step++) {   /* as torch steps: from the last rate, special where that formula divides by 0 */
        if ((step - 1 - 30) % 60 == 0) rate += (0.1 - 0.001) * (1 - cos(pi / 30)) / 2;
        else rate = (1 + cos(pi * step / 30)) / (1 + cos(pi * (step - 1) / 30)) * (rate - 0.001) + 0.001;
        assert_close(sq__schedule_rate(&s, step), rate, 1e-12);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(warm_up), cmocka_unit_test(after_warm_up), cmocka_unit_test(without_the_common_warm_up) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
