/* The baseline's parts: the minimiser on functions with known minima, aggregates and scores against plain loops, and the optimum's law. */
#include "train/run_support.h"

#include "io/safetensors.h"
#include "train/aggregate.h"
#include "train/lbfgs.h"
#include "train/logistic.h"

/* sum_i (i + 1) (x_i - i)^2 / 2 + (x_i - i)^4 */
static sq_status bowl(void *context, const double *x, double *gradient, double *out, sq_error *error)
{
    (void)error;
    ++*(int *)context;
    *out = 0;
    for (int i = 0; i < 30; i++) {
        const double d = x[i] - i;
        *out += (i + 1) * d * d / 2 + d * d * d * d;
        gradient[i] = (i + 1) * d + 4 * d * d * d;
    }
    return SQ_OK;
}

static sq_status rosenbrock(void *context, const double *x, double *gradient, double *out, sq_error *error)
{
    (void)error;
    ++*(int *)context;
    const double a = 1 - x[0], b = x[1] - x[0] * x[0];
    *out = a * a + 100 * b * b;
    gradient[0] = -2 * a - 400 * x[0] * b;
    gradient[1] = 200 * b;
    return SQ_OK;
}

static sq_status failing(void *context, const double *x, double *gradient, double *out, sq_error *error)
{
    (void)x;
    gradient[0] = *out = 1;
    return ++*(int *)context == 3 ? sq__fail(error, SQ_INTERRUPTED, "enough") : SQ_OK;
}

static void minima(void **state)
{
    (void)state;
    double x[30] = { 0 }, least;
    int calls = 0;
    sq_lbfgs problem = { 30, bowl, &calls, 200, 1e-9 };
    assert_int_equal(sq__lbfgs_minimise(&problem, x, &least, NULL), SQ_OK);
    for (int i = 0; i < 30; i++) assert_close(x[i], i, 1e-9);
    assert_close(least, 0, 1e-15);
    assert_true(calls < 120);
    double y[2] = { -1.2, 1 };
    calls = 0;
    problem = (sq_lbfgs){ 2, rosenbrock, &calls, 200, 1e-9 };
    assert_int_equal(sq__lbfgs_minimise(&problem, y, &least, NULL), SQ_OK);
    assert_close(y[0], 1, 1e-7);
    assert_close(y[1], 1, 1e-7);
    calls = 0;
    problem = (sq_lbfgs){ 1, failing, &calls, 200, 1e-9 };
    assert_int_equal(sq__lbfgs_minimise(&problem, y, &least, NULL), SQ_INTERRUPTED);
}

static void aggregates(void **state)
{
    (void)state;
    sq_dataset *data = synthetic(20, 1, 15, 1);
    const int64_t F = sq__aggregate_features(data->schema), ids = SYNTHETIC_WORDS + 1;
    assert_int_equal(F, 2 * ids + 5 + 2);
    data->categories[0][0] = 0;                       /* out of vocabulary */
    data->categories[0][1] = SYNTHETIC_WORDS + 40;    /* beyond what the schema knows: counted with it */
    sq_aggregator *aggregator = sq__aggregator_create(data->schema);
    int32_t index[64];
    float value[64], row[64];
    for (int64_t i = 0; i < data->examples; i++) {
        const int64_t start = data->start[i], n = data->length[i];
        const int64_t entries = sq__aggregate(aggregator, data, i, index, value);
        assert_true(entries <= sq__aggregate_most(data->schema, n));
        memset(row, 0, sizeof row);
        for (int64_t e = 0; e < entries; e++) {
            assert_true(row[index[e]] == 0 && index[e] < F);
            row[index[e]] = value[e];
        }
        double sum = 0, least = INFINITY, most = -INFINITY, square = 0;
        for (int64_t e = start; e < start + n; e++) {
            const double x = data->numbers[0][e];
            sum += x;
            least = fmin(least, x);
            most = fmax(most, x);
        }
        for (int64_t e = start; e < start + n; e++) square += pow(data->numbers[0][e] - sum / (double)n, 2);
        for (int64_t id = 0; id < ids; id++) {
            int count = 0;
            for (int64_t e = start; e < start + n; e++) count += data->categories[0][e] == id || (id == 0 && data->categories[0][e] > SYNTHETIC_WORDS);
            assert_close(row[2 * id], log(1 + count), 1e-6);
            assert_close(row[2 * id + 1], (double)count / (double)n, 1e-6);
        }
        const double expected[7] = { sum / (double)n, sqrt(square / (double)n), least, most, sum, (double)n, log(1 + (double)n) };
        for (int k = 0; k < 7; k++) assert_close(row[2 * ids + k], expected[k], 1e-5);
    }
    sq__aggregator_destroy(aggregator);
    sq__dataset_destroy(&data);
    assert_int_equal(sq_memory_current(), 0);
}

/* At the minimum the residuals of each class sum to 0 over the training clients, whatever the penalty (the biases bear none). */
static void the_optimum(void **state)
{
    (void)state;
    sq_dataset *data = synthetic(200, 3, 20, 2);
    sq_train_job job = small_job(data, "logistic", in_root("run"));
    sq_run_result result;
    sq_error error;
    sq_safetensors *file;
    sq_logistic model;
    assert_ok(sq__train_run(&job, &result, &error), &error);
    assert_ok(sq__safetensors_open(&file, in_root("run/model.safetensors"), &error), &error);
    assert_ok(sq__logistic_read(&model, file, "model", data->schema, &error), &error);
    sq__safetensors_close(&file);
    const int64_t n = data->split_size[SQ_SPLIT_TRAIN], F = model.F;
    float *logits = sq__alloc_array((size_t)n * 2, sizeof *logits), value[64];
    int32_t index[64];
    assert_ok(sq__logistic_score(&model, data, SQ_SPLIT_TRAIN, 2, NULL, logits, &error), &error);
    sq_aggregator *aggregator = sq__aggregator_create(data->schema);
    double residual = 0;
    for (int64_t i = 0; i < n; i++) {
        const int64_t example = data->split[SQ_SPLIT_TRAIN][i], entries = sq__aggregate(aggregator, data, example, index, value);
        for (int c = 0; c < 2; c++) {
            double sum = model.bias[c];
            for (int64_t f = 0; f < F; f++) {
                double x = 0;
                for (int64_t e = 0; e < entries; e++)
                    if (index[e] == f) x = value[e];
                sum += model.weight[c * F + f] * (x - model.mean[f]) / model.deviation[f];
            }
            assert_close(logits[2 * i + c], sum, 2e-5 * (1 + fabs(sum)));
        }
        residual += 1 / (1 + exp((double)logits[2 * i] - logits[2 * i + 1])) - data->label[example];
    }
    assert_close(residual / (double)n, 0, 2e-5);   /* where the search stops, and float rounding of the model */
    sq__aggregator_destroy(aggregator);
    sq__free(logits);
    sq__logistic_clear(&model);
    sq_run_result_clear(&result);
    sq__dataset_destroy(&data);
    assert_int_equal(sq_memory_current(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(minima), cmocka_unit_test(aggregates),
                                        cmocka_unit_test_setup_teardown(the_optimum, make_root, remove_root) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
