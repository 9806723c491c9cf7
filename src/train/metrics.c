#include "train/metrics.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "report/metric.h"

double sq__softmax_row(const float *logits, int C, double *probabilities)
{
    double most = logits[0], sum = 0;
    for (int c = 1; c < C; c++) most = fmax(most, logits[c]);
    for (int c = 0; c < C; c++) sum += probabilities[c] = exp(logits[c] - most);
    for (int c = 0; c < C; c++) probabilities[c] /= sum;
    return most + log(sum);
}

/* Heap sort of order by scores: no recursion and no extra memory, and qsort cannot take the scores along. */
static void sink(const double *scores, int64_t *order, int64_t from, int64_t n)
{
    int64_t moving = order[from], child;
    for (; (child = 2 * from + 1) < n; from = child) {
        if (child + 1 < n && scores[order[child + 1]] > scores[order[child]]) child++;
        if (scores[order[child]] <= scores[moving]) break;
        order[from] = order[child];
    }
    order[from] = moving;
}

static void sort_by_score(const double *scores, int64_t *order, int64_t n)
{
    for (int64_t i = 0; i < n; i++) order[i] = i;
    for (int64_t i = n / 2; i-- > 0;) sink(scores, order, i, n);
    for (int64_t end = n; end-- > 1;) {
        int64_t largest = order[0];
        order[0] = order[end];
        order[end] = largest;
        sink(scores, order, 0, end);
    }
}

/* Mann-Whitney: (sum of the positives' middle ranks - P(P+1)/2) / (P N). */
double sq__roc_auc(const double *scores, const uint8_t *positive, int64_t n, int64_t *order)
{
    double positives = 0, ranks = 0;
    for (int64_t i = 0; i < n; i++) {
        if (isnan(scores[i])) return NAN;
        positives += positive[i] != 0;
    }
    if (positives == 0 || positives == (double)n) return NAN;
    sort_by_score(scores, order, n);
    for (int64_t i = 0, next; i < n; i = next) {
        int64_t tied = 0;
        for (next = i; next < n && scores[order[next]] == scores[order[i]]; next++) tied += positive[order[next]] != 0;
        ranks += (double)tied * ((double)(i + next + 1) / 2);   /* ranks i+1 .. next, their mean */
    }
    return (ranks - positives * (positives + 1) / 2) / (positives * ((double)n - positives));
}

static double f1_of(const int64_t *confusion, int C, int class)
{
    int64_t hit = confusion[class * C + class], labelled = 0, predicted = 0;
    for (int c = 0; c < C; c++) {
        labelled += confusion[class * C + c];
        predicted += confusion[c * C + class];
    }
    return labelled + predicted == 0 ? NAN : 2.0 * (double)hit / (double)(labelled + predicted);
}

static double f1(const int64_t *confusion, int C)
{
    if (C == 2) {
        double one = f1_of(confusion, C, 1);
        return isnan(one) ? 0 : one;
    }
    double sum = 0;
    int kinds = 0;
    for (int c = 0; c < C; c++) {
        double one = f1_of(confusion, C, c);
        if (isnan(one)) continue;
        sum += one;
        kinds++;
    }
    return sum / kinds;
}

typedef struct scratch { double *probabilities, *scores; uint8_t *positive; int64_t *order, *confusion; } scratch;

static double auc(const scratch *s, const int32_t *labels, int64_t n, int C)
{
    double sum = 0;
    int kinds = 0;
    for (int c = C == 2 ? 1 : 0; c < C; c++) {
        for (int64_t i = 0; i < n; i++) {
            s->scores[i] = s->probabilities[i * C + c];
            s->positive[i] = labels[i] == c;
        }
        double one = sq__roc_auc(s->scores, s->positive, n, s->order);
        if (isnan(one)) continue;
        sum += one;
        kinds++;
    }
    return kinds ? sum / kinds : NAN;
}

static sq_quality measure(const scratch *s, const float *logits, const int32_t *labels, int64_t n, int C)
{
    int64_t hits = 0;
    double loss = 0;
    for (int64_t i = 0; i < n; i++) {
        const float *row = logits + i * C;
        int best = 0;
        for (int c = 1; c < C; c++)
            if (row[c] > row[best]) best = c;
        loss += sq__softmax_row(row, C, s->probabilities + i * C) - row[labels[i]];
        hits += best == labels[i];
        s->confusion[labels[i] * C + best]++;
    }
    sq_quality quality = sq__quality_unknown;
    quality.accuracy = (double)hits / (double)n;
    quality.log_loss = loss / (double)n;
    quality.f1 = f1(s->confusion, C);
    quality.auc = auc(s, labels, n, C);
    return quality;
}

sq_status sq__metrics(const float *logits, const int32_t *labels, int64_t n, int C, sq_quality *quality, int64_t *confusion, sq_error *error)
{
    *quality = sq__quality_unknown;
    if (confusion) memset(confusion, 0, (size_t)C * (size_t)C * sizeof *confusion);
    if (n == 0) return SQ_OK;
    sq_cut cut = { NULL, 0 };
    scratch s;
    char *memory = NULL;
    for (int pass = 0; pass < 2; pass++) {   /* measure, then cut */
        s.probabilities = sq__cut(&cut, (size_t)n * (size_t)C * sizeof(double));
        s.scores = sq__cut(&cut, (size_t)n * sizeof(double));
        s.positive = sq__cut(&cut, (size_t)n);
        s.order = sq__cut(&cut, (size_t)n * sizeof(int64_t));
        s.confusion = sq__cut(&cut, (size_t)C * (size_t)C * sizeof(int64_t));
        if (pass == 1) break;
        memory = sq__alloc_zero(cut.used);
        if (!memory) return sq__no_memory(error);
        cut = (sq_cut){ memory, 0 };
    }
    *quality = measure(&s, logits, labels, n, C);
    if (confusion) memcpy(confusion, s.confusion, (size_t)C * (size_t)C * sizeof *confusion);
    sq__free(memory);
    return SQ_OK;
}
