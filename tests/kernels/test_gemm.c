/* Matrix products against double precision: transposes, odd shapes, row distances, factors, threads. */
#include "base/memory.h"
#include "base/random.h"
#include "kernels/kernels.h"
#include "support/check.h"
#include "support/each_isa.h"

enum { PAD = 5 };   /* floats behind each row that must stay as they are */

static const int64_t shapes[][3] = {
    { 1, 1, 1 }, { 1, 17, 3 }, { 2, 3, 63 }, { 3, 2, 129 }, { 4, 65, 128 }, { 5, 1, 300 }, { 15, 16, 17 }, { 63, 65, 31 }, { 64, 64, 64 },
    { 65, 63, 127 }, { 127, 129, 130 }, { 128, 64, 16 }, { 130, 300, 70 }, { 16, 257, 145 }, { 300, 33, 257 }, { 1000, 20, 48 }, { 2100, 70, 33 },
    { 70, 48, 1000 },   { 200, 290, 600 },
};

static float *draw(int64_t count, const char *name)
{
    const sq_random stream = sq__random_stream(3, name, (uint64_t)count);
    float *x = sq__alloc(sizeof *x * (size_t)count);
    sq__random_normal_fill(&stream, x, count, 1);
    return x;
}

typedef struct product {
    bool ta, tb;
    int64_t m, n, k, lda, ldb, ldc;
    float alpha, beta;
    const float *a, *b, *before;
} product;

/* c against the sum in double. A float32 sum of k products in any order stays far below k u sum |a b|; ours are blocked, and
 * stay below (8 + sqrt k) u sum |a b|. */
static void check(const product *p, const float *c)
{
    const double u = ldexp(1, -24);
    for (int64_t i = 0; i < p->m; i++) {
        for (int64_t j = 0; j < p->n; j++) {
            const double was = p->beta == 0 ? 0 : (double)p->beta * p->before[i * p->ldc + j];
            double total = 0, size = 0;
            for (int64_t x = 0; x < p->k; x++) {
                const double term = (double)(p->ta ? p->a[x * p->lda + i] : p->a[i * p->lda + x]) * (p->tb ? p->b[j * p->ldb + x] : p->b[x * p->ldb + j]);
                total += term;
                size += fabs(term);
            }
            const double bound = (8 + sqrt((double)p->k)) * u * fabs((double)p->alpha) * size + 2 * u * fabs(was);
            const double error = fabs(c[i * p->ldc + j] - (p->alpha * total + was));
            if (!(error <= bound))
                fail_msg("ta=%d tb=%d %ldx%ldx%ld alpha=%g beta=%g at %ld,%ld: error %.3g > %.3g", p->ta, p->tb, (long)p->m, (long)p->n, (long)p->k,
                         p->alpha, p->beta, (long)i, (long)j, error, bound);
        }
        for (int64_t j = p->n; j < p->ldc && i + 1 < p->m; j++) assert_true(c[i * p->ldc + j] == p->before[i * p->ldc + j]);
    }
}

static void run_product(const product *p)
{
    const size_t bytes = sizeof(float) * (size_t)(p->m * p->ldc);
    float *c = sq__alloc(bytes), *first = sq__alloc(bytes);
    memcpy(c, p->before, bytes);
    for (int64_t i = 0; p->beta == 0 && i < p->m; i++)
        for (int64_t j = 0; j < p->n; j++) c[i * p->ldc + j] = NAN;   /* beta 0 does not read C */
    memcpy(first, c, bytes);
    sq__gemm(p->ta, p->tb, p->m, p->n, p->k, p->alpha, p->a, p->lda, p->b, p->ldb, p->beta, c, p->ldc);
    check(p, c);
    float *start = sq__alloc(bytes);
    memcpy(start, first, bytes);
    sq__gemm_parallel(1, p->ta, p->tb, p->m, p->n, p->k, p->alpha, p->a, p->lda, p->b, p->ldb, p->beta, first, p->ldc);
    check(p, first);
    for (int threads = 2; threads <= 3; threads++) {
        memcpy(c, start, bytes);
        sq__gemm_parallel(threads, p->ta, p->tb, p->m, p->n, p->k, p->alpha, p->a, p->lda, p->b, p->ldb, p->beta, c, p->ldc);
        assert_memory_equal(c, first, bytes);
    }
    sq__free(c);
    sq__free(first);
    sq__free(start);
}

static void products_agree_with_double(void **state)
{
    static const float factors[][2] = { { 1, 0 }, { 1, 1 }, { -0.5f, 0.75f } };
    (void)state;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        const int64_t m = shapes[s][0], n = shapes[s][1], k = shapes[s][2];
        float *a = draw((m + PAD) * (k + PAD), "a"), *b = draw((k + PAD) * (n + PAD), "b"), *c = draw(m * (n + PAD), "c");
        for (int variant = 0; variant < 12; variant++) {
            const bool ta = variant & 1, tb = variant & 2;
            product p = { ta, tb, m, n, k, (ta ? m : k) + PAD, (tb ? k : n) + PAD, n + PAD, factors[variant / 4][0], factors[variant / 4][1], a, b, c };
            run_product(&p);
        }
        sq__free(a);
        sq__free(b);
        sq__free(c);
    }
}

static void nothing_to_sum(void **state)
{
    float c[4] = { 1, 2, 3, 4 }, x[1] = { 0 };
    (void)state;
    sq__gemm(false, false, 2, 2, 0, 1, x, 1, x, 2, 0.5f, c, 2);
    assert_true(c[0] == 0.5f && c[3] == 2);
    sq__gemm(false, false, 0, 2, 3, 1, x, 1, x, 2, 0, c, 2);
    sq__gemm(false, false, 2, 0, 3, 1, x, 1, x, 2, 0, c, 2);
    assert_true(c[0] == 0.5f && c[3] == 2);
    c[1] = NAN;
    sq__gemm(true, true, 2, 2, 0, 1, x, 2, x, 1, 0, c, 2);
    assert_true(c[0] == 0 && c[1] == 0);
}

static void blocks_agree_with_products(void **state)
{
    (void)state;
    for (int64_t k = 1; k <= 256; k += k < 16 ? 5 : 48)
        for (int64_t m = 16; m <= 80; m += 32)
            for (int variant = 0; variant < 4; variant++) {
                const bool ta = variant & 1, accumulate = variant & 2;
                const int64_t n = 48, lda = (ta ? m : k) + PAD;
                float *a = draw((m + PAD) * (k + PAD), "a"), *b = draw(k * n, "b"), *c = draw(m * n, "c"), *before = draw(m * n, "c");
                const product p = { ta, false, m, n, k, lda, n, n, 1, accumulate ? 1 : 0, a, b, before };
                const sq_block block = sq__block(ta, m, n, k, lda, n, n, accumulate);
                if (!accumulate)
                    for (int64_t i = 0; i < m * n; i++) c[i] = NAN;
                sq__block_run(&block, a, b, c);
                check(&p, c);
                sq__free(a);
                sq__free(b);
                sq__free(c);
                sq__free(before);
            }
}

/* Packed once or read where it lies, few rows or many, long sums, over C or onto it. */
static void packed_products_agree_with_double(void **state)
{
    (void)state;
    static const int64_t sizes[][3] = { { 1, 1, 1 }, { 3, 33, 129 }, { 16, 64, 256 }, { 70, 31, 5 }, { 65, 40, 513 }, { 5, 100, 1300 } };
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int variant = 0; variant < 8; variant++) {
            const int64_t m = sizes[s][0], n = sizes[s][1], k = sizes[s][2];
            const bool tb = variant & 1, accumulate = variant & 2;
            float *a = draw(m * (k + PAD), "a"), *b = draw((k + PAD) * (n + PAD), "b"), *before = draw(m * (n + PAD), "c"), *room = draw(k * n, "room");
            float *c = sq__alloc(sizeof *c * (size_t)(m * (n + PAD)));
            const product p = { false, tb, m, n, k, k + PAD, (tb ? k : n) + PAD, n + PAD, 1, accumulate ? 1 : 0, a, b, before };
            sq_packed packed = sq__pack(room, tb, k, n, b, p.ldb);
            if (variant & 4) packed.panels = NULL;
            memcpy(c, before, sizeof *c * (size_t)(m * (n + PAD)));
            for (int64_t i = 0; !accumulate && i < m; i++)
                for (int64_t j = 0; j < n; j++) c[i * p.ldc + j] = NAN;
            sq__gemm_packed(m, &packed, a, p.lda, accumulate, c, p.ldc);
            check(&p, c);
            sq__free(a);
            sq__free(b);
            sq__free(before);
            sq__free(room);
            sq__free(c);
        }
}

static void peak_is_plausible(void **state)
{
    (void)state;
    const double peak = sq__gemm_peak_gflops();
    assert_true(peak > 0.01 && peak < 1e5);
    assert_true(peak == sq__gemm_peak_gflops());
    print_message("%s, peak %.1f GFLOP/s\n", sq__gemm_backend(), peak);
}

static int run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_agree_with_double), cmocka_unit_test(nothing_to_sum), cmocka_unit_test(blocks_agree_with_products),
        cmocka_unit_test(packed_products_agree_with_double),         cmocka_unit_test(peak_is_plausible),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) { return run_under_each_isa(run); }
