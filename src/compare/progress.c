#include <math.h>

#include "base/cpu.h"
#include "compare/comparing.h"

bool sq__compare_stopped(const sq_comparing *c)
{
    return c->options->stop && *c->options->stop;
}

void sq__compare_report(const sq_comparing *c, const char *stage, const char *mechanism, int64_t done, int64_t total, double left, const char *message)
{
    if (!c->options->progress) return;
    const sq_progress progress = { .stage = stage, .mechanism = mechanism, .done = done, .total = total, .loss = NAN, .validation = NAN,
                                   .seconds = sq__clock() - c->begin, .seconds_left = left, .message = message };
    c->options->progress(c->options->user, &progress);
}
