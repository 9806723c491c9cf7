#include "train/schedule.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

static double at_least(double x, double least) { return x > least ? x : least; }

static double falling(const sq_schedule *s, double step)
{
    const double done = (step - s->warmup) / at_least(s->total - s->warmup, 1);
    switch (s->kind) {
    case SQ_SCHEDULE_CONSTANT: return s->rate;
    case SQ_SCHEDULE_LINEAR: return s->rate * at_least((s->total - step) / at_least(s->total - s->warmup, 1), 0);
    case SQ_SCHEDULE_COSINE: return s->rate * at_least((1 + cos(pi * 2 * s->cycles * done)) / 2, 0);
    case SQ_SCHEDULE_COSINE_RESTARTS:
        return done >= 1 ? 0 : s->rate * at_least((1 + cos(pi * fmod(s->cycles * done, 1))) / 2, 0);
    case SQ_SCHEDULE_POLYNOMIAL:
        if (step > s->total) return s->end;
        return (s->rate - s->end) * pow(1 - (step - s->warmup) / (s->total - s->warmup), s->power) + s->end;
    default: {   /* SQ_SCHEDULE_INVERSE_SQRT */
        const double timescale = s->timescale > 0 ? s->timescale : s->warmup;
        return s->rate / sqrt((step + timescale - s->warmup) / timescale);
    }
    }
}

double sq__schedule_rate(const sq_schedule *s, double step)
{
    switch (s->kind) {
    case SQ_SCHEDULE_NOAM: {
        const double t = at_least(step, 1);
        return s->rate * pow(s->width, -0.5) * fmin(pow(t, -0.5), t * pow(s->warmup, -1.5));
    }
    case SQ_SCHEDULE_INVERSE_SQRT_FAIRSEQ: {
        const double initial = at_least(s->initial, 0);
        return step < s->warmup ? initial + step * (s->rate - initial) / s->warmup : s->rate * sqrt(s->warmup) / sqrt(step);
    }
    case SQ_SCHEDULE_COSINE_ANNEALING: return s->end + (s->rate - s->end) * (1 + cos(pi * step / s->total)) / 2;
    default: return step < s->warmup ? s->rate * step / at_least(s->warmup, 1) : falling(s, step);
    }
}
