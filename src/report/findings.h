/* What a comparison says, in words: which mechanism is best here, by how much against the spread, what it costs, from which length it is
 * faster than exact attention. Depends on comparison.h. */
#ifndef SQ_REPORT_FINDINGS_H
#define SQ_REPORT_FINDINGS_H

#include "report/comparison.h"

enum { SQ_FINDING_LINES = 6, SQ_FINDING_SIZE = 512 };

typedef struct sq_findings {
    int best, best_mechanism, best_baseline, exact;    /* indices into models; -1: none has a figure */
    int line_count;
    char lines[SQ_FINDING_LINES][SQ_FINDING_SIZE];     /* lines[0] is the headline */
    char crossovers[SQ_FINDING_SIZE];                  /* also among the lines; "" without a sweep */
} sq_findings;

void sq__findings(const sq_comparison *comparison, sq_findings *findings);

/* How far apart the means of two models are in the direction of "better", and the spread of that difference:
 * sqrt(sd_a^2 + sd_b^2), NaN with one seed. */
double sq__lead(const sq_comparison *comparison, int a, int b, double *spread);

/* on_front[count]: no other model is at least as good and at least as cheap; those without a figure are not. cost <= 0 or NaN: no figure. */
void sq__pareto(const sq_comparison *comparison, const double *cost, bool *on_front);

#endif
