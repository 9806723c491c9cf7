/* Metrics against brute force over all pairs, with ties. */
#include "support/check.h"

#include "base/memory.h"
#include "base/random.h"
#include "train/metrics.h"

enum { MOST = 200 };
static float logits[MOST * 5];
static int32_t labels[MOST];

static void draw(uint64_t seed, int n, int C, bool ties)
{
    sq_random r = sq__random_stream(seed, "metrics", 0);
    for (int i = 0; i < n; i++) {
        labels[i] = (int32_t)sq__random_below(&r, (uint64_t)(1000 + i), (uint64_t)C);
        for (int c = 0; c < C; c++) {
            double x = sq__random_normal(&r, (uint64_t)(i * 10 + c)) + (c == labels[i]);
            logits[i * C + c] = (float)(ties ? round(2 * x) : x);
        }
    }
}

static double probability(int i, int c, int C)
{
    double sum = 0;
    for (int k = 0; k < C; k++) sum += exp((double)logits[i * C + k] - logits[i * C + c]);
    return 1 / sum;
}

static double pairs_auc(int n, int C, int class)
{
    double won = 0, all = 0;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            if (labels[i] != class || labels[j] == class) continue;
            double a[5], b[5];   /* ties are those of the probabilities as computed: their rounding depends on the order of the classes */
            sq__softmax_row(logits + i * C, C, a);
            sq__softmax_row(logits + j * C, C, b);
            assert_close(a[class], probability(i, class, C), 1e-14);
            all++;
            won += a[class] == b[class] ? 0.5 : a[class] > b[class];
        }
    return won / all;
}

static double plain_f1(int n, int C, int class)
{
    double hit = 0, predicted = 0, labelled = 0;
    for (int i = 0; i < n; i++) {
        int best = 0;
        for (int c = 0; c < C; c++)
            if (logits[i * C + c] > logits[i * C + best]) best = c;
        hit += best == class && labels[i] == class;
        predicted += best == class;
        labelled += labels[i] == class;
    }
    if (hit == 0) return 0;
    double precision = hit / predicted, recall = hit / labelled;
    return 2 * precision * recall / (precision + recall);
}

static void against_brute_force(void **state)
{
    (void)state;
    for (int C = 2; C <= 5; C++)
        for (int ties = 0; ties < 2; ties++)
            for (int n = 20; n <= MOST; n += 45) {
                int64_t confusion[25], total = 0;
                sq_quality q;
                sq_error error;
                draw((uint64_t)(C * 10 + n), n, C, ties);
                assert_ok(sq__metrics(logits, labels, n, C, &q, confusion, &error), &error);
                double loss = 0, hits = 0, auc = 0, f1 = 0;
                for (int i = 0; i < n; i++) loss -= log(probability(i, labels[i], C)) / n;
                for (int c = C == 2; c < C; c++) {
                    auc += pairs_auc(n, C, c) / (C == 2 ? 1 : C);
                    f1 += plain_f1(n, C, c) / (C == 2 ? 1 : C);
                }
                for (int c = 0; c < C * C; c++) total += confusion[c];
                for (int c = 0; c < C; c++) hits += (double)confusion[c * C + c] / n;
                assert_int_equal(total, n);
                assert_close(q.log_loss, loss, 1e-12);
                assert_close(q.accuracy, hits, 1e-12);
                assert_close(q.auc, auc, 1e-12);
                assert_close(q.f1, f1, 1e-12);
            }
}

static void known_values(void **state)
{
    (void)state;
    static const double scores[] = { 0.1, 0.4, 0.35, 0.8 };
    static const uint8_t positive[] = { 0, 0, 1, 1 };
    int64_t order[4];
    assert_close(sq__roc_auc(scores, positive, 4, order), 0.75, 0);
    static const double same[] = { 1, 1, 1, 1 };
    assert_close(sq__roc_auc(same, positive, 4, order), 0.5, 0);
    static const double unknown[] = { 1, NAN, 1, 1 };
    assert_true(isnan(sq__roc_auc(unknown, positive, 4, order)));
    static const uint8_t none[4] = { 0 };
    assert_true(isnan(sq__roc_auc(scores, none, 4, order)));
}

static void edges(void **state)
{
    (void)state;
    sq_quality q;
    int64_t confusion[9];
    assert_int_equal(sq__metrics(NULL, NULL, 0, 3, &q, confusion, NULL), SQ_OK);
    assert_true(isnan(q.accuracy) && isnan(q.auc) && isnan(q.f1) && isnan(q.log_loss));
    static const float far[] = { 0, 1000, 0, -1000 };   /* no overflow; certainty costs exactly the distance */
    static const int32_t wrong[] = { 0, 0 };
    assert_int_equal(sq__metrics(far, wrong, 2, 2, &q, NULL, NULL), SQ_OK);
    assert_close(q.log_loss, 500, 1e-12);
    assert_true(isnan(q.auc));
    assert_close(q.f1, 0, 0);
    static const float three[] = { 2, 1, 0, 1, 2, 0 };   /* class 2 neither labelled nor predicted: not in the means */
    static const int32_t two[] = { 0, 1 };
    assert_int_equal(sq__metrics(three, two, 2, 3, &q, NULL, NULL), SQ_OK);
    assert_close(q.f1, 1, 0);
    assert_close(q.auc, 1, 0);
    sq__alloc_fail_after(1);
    assert_int_equal(sq__metrics(three, two, 2, 3, &q, NULL, NULL), SQ_NO_MEMORY);
    sq__alloc_fail_after(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(against_brute_force), cmocka_unit_test(known_values), cmocka_unit_test(edges) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
