#include "train/lbfgs.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"

enum { HISTORY = 8, MOST_HALVINGS = 30 };

typedef struct search {
    const sq_lbfgs *problem;
    double *x, *gradient, *direction, *next, *next_gradient;   /* [n] */
    double *s[HISTORY], *y[HISTORY], rho[HISTORY];             /* steps, gradient differences, 1 / s.y; a ring */
    int count, oldest;
    double value;
} search;

static double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static void axpy(double *y, double a, const double *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) y[i] += a * x[i];
}

static double largest(const double *x, int64_t n)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs(x[i]));
    return most;
}

/* direction = -H gradient by the two loops over the history. */
static void find_direction(search *f)
{
    const int64_t n = f->problem->n;
    double alpha[HISTORY];
    for (int64_t i = 0; i < n; i++) f->direction[i] = -f->gradient[i];
    for (int k = f->count; k-- > 0;) {
        const int at = (f->oldest + k) % HISTORY;
        alpha[k] = f->rho[at] * dot(f->s[at], f->direction, n);
        axpy(f->direction, -alpha[k], f->y[at], n);
    }
    if (f->count == 0) return;
    const int newest = (f->oldest + f->count - 1) % HISTORY;
    const double scale = 1 / (f->rho[newest] * dot(f->y[newest], f->y[newest], n));
    for (int64_t i = 0; i < n; i++) f->direction[i] *= scale;
    for (int k = 0; k < f->count; k++) {
        const int at = (f->oldest + k) % HISTORY;
        axpy(f->direction, alpha[k] - f->rho[at] * dot(f->y[at], f->direction, n), f->s[at], n);
    }
}

static void remember(search *f)
{
    const int64_t n = f->problem->n;
    const int at = (f->oldest + f->count) % HISTORY;
    for (int64_t i = 0; i < n; i++) {
        f->s[at][i] = f->next[i] - f->x[i];
        f->y[at][i] = f->next_gradient[i] - f->gradient[i];
    }
    const double curvature = dot(f->s[at], f->y[at], n);
    if (!(curvature > 1e-12 * dot(f->y[at], f->y[at], n))) {   /* no use: forget the oldest, whose place was overwritten */
        if (f->count == HISTORY) {
            f->oldest = (f->oldest + 1) % HISTORY;
            f->count = HISTORY - 1;
        }
        return;
    }
    f->rho[at] = 1 / curvature;
    if (f->count < HISTORY) f->count++;
    else f->oldest = (f->oldest + 1) % HISTORY;
}

/* Backtracking until the value falls enough (Armijo). *found false: no step does, the search is over. */
static sq_status line_search(search *f, double slope, double step, bool *found, sq_error *error)
{
    const sq_lbfgs *problem = f->problem;
    *found = false;
    for (int k = 0; k < MOST_HALVINGS; k++, step /= 2) {
        double value;
        memcpy(f->next, f->x, (size_t)problem->n * sizeof *f->next);
        axpy(f->next, step, f->direction, problem->n);
        SQ_TRY(problem->value(problem->context, f->next, f->next_gradient, &value, error));
        if (!(value <= f->value + 1e-4 * step * slope)) continue;
        *found = true;
        f->value = value;
        return SQ_OK;
    }
    return SQ_OK;
}

static void swap(double **a, double **b)
{
    double *old = *a;
    *a = *b;
    *b = old;
}

static sq_status minimise(search *f, sq_error *error)
{
    const sq_lbfgs *problem = f->problem;
    SQ_TRY(problem->value(problem->context, f->x, f->gradient, &f->value, error));
    for (int i = 0; i < problem->most_iterations && largest(f->gradient, problem->n) > problem->tolerance; i++) {
        bool found;
        find_direction(f);
        const double slope = dot(f->gradient, f->direction, problem->n);
        const double first = f->count ? 1 : fmin(1, 1 / sqrt(dot(f->gradient, f->gradient, problem->n)));
        SQ_TRY(line_search(f, slope, first, &found, error));
        if (!found) break;
        remember(f);
        swap(&f->x, &f->next);
        swap(&f->gradient, &f->next_gradient);
    }
    return SQ_OK;
}

sq_status sq__lbfgs_minimise(const sq_lbfgs *problem, double *x, double *least, sq_error *error)
{
    const size_t n = (size_t)problem->n;
    search f = { .problem = problem };
    double *memory = sq__alloc_array(n, (5 + 2 * HISTORY) * sizeof(double)), *at = memory;
    if (!memory) return sq__no_memory(error);
    double **parts[] = { &f.x, &f.gradient, &f.direction, &f.next, &f.next_gradient };
    for (int k = 0; k < 5; k++, at += n) *parts[k] = at;
    for (int k = 0; k < HISTORY; k++, at += 2 * n) {
        f.s[k] = at;
        f.y[k] = at + n;
    }
    memcpy(f.x, x, n * sizeof *x);
    sq_status status = minimise(&f, error);
    if (status == SQ_OK) memcpy(x, f.x, n * sizeof *x);
    *least = f.value;
    sq__free(memory);
    return status;
}
