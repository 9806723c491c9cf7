/* lr-schedule: the rate of each step. Arguments of Hugging Face's schedules stand as [[positional], {by name}]. */
#include <math.h>
#include <string.h>

#include "train/schedule.h"
#include "verify/families.h"

/* Argument of a schedule by its place (from 0, after the optimiser), or by its name. */
static double argument(sq_golden *golden, int place, const char *name, double otherwise)
{
    char key[64];
    snprintf(key, sizeof key, "arguments[0][%d]", place);
    double value = sq__golden_number(golden, key, INFINITY);
    if (isfinite(value)) return value;
    snprintf(key, sizeof key, "arguments[1].%s", name);
    return sq__golden_number(golden, key, otherwise);
}

static bool hugging_face(sq_golden *golden, const char *file, sq_schedule *s)
{
    static const struct { const char *name; sq_schedule_kind kind; } kinds[] = {
        { "get_linear_schedule_with_warmup", SQ_SCHEDULE_LINEAR }, { "get_cosine_schedule_with_warmup", SQ_SCHEDULE_COSINE },
        { "get_cosine_with_hard_restarts_schedule_with_warmup", SQ_SCHEDULE_COSINE_RESTARTS },
        { "get_polynomial_decay_schedule_with_warmup", SQ_SCHEDULE_POLYNOMIAL }, { "get_inverse_sqrt_schedule", SQ_SCHEDULE_INVERSE_SQRT },
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!strstr(file, kinds[i].name)) continue;
        *s = (sq_schedule){ .kind = kinds[i].kind, .rate = sq__golden_number(golden, "base_lr", NAN),
                            .warmup = argument(golden, 0, "num_warmup_steps", NAN) };
        if (s->kind == SQ_SCHEDULE_INVERSE_SQRT) {
            s->timescale = argument(golden, 1, "timescale", 0);
            return true;
        }
        s->total = argument(golden, 1, "num_training_steps", NAN);
        if (s->kind == SQ_SCHEDULE_COSINE) s->cycles = argument(golden, 2, "num_cycles", 0.5);
        if (s->kind == SQ_SCHEDULE_COSINE_RESTARTS) s->cycles = argument(golden, 2, "num_cycles", 1);
        if (s->kind == SQ_SCHEDULE_POLYNOMIAL) {
            s->end = argument(golden, 2, "lr_end", 1e-7);
            s->power = argument(golden, 3, "power", 1);
        }
        return true;
    }
    return false;
}

static bool read_schedule(sq_golden *golden, sq_schedule *s)
{
    const char *file = sq__golden_text(golden, "file", NULL);
    if (hugging_face(golden, file, s)) return true;
    if (strstr(file, "annotated_transformer"))
        *s = (sq_schedule){ .kind = SQ_SCHEDULE_NOAM, .rate = sq__golden_number(golden, "factor", 1),
                            .width = sq__golden_number(golden, "model_size", NAN),
                            .warmup = sq__golden_number(golden, "warmup", NAN) };
    else if (strstr(file, "inverse_square_root_schedule"))
        *s = (sq_schedule){ .kind = SQ_SCHEDULE_INVERSE_SQRT_FAIRSEQ, .rate = sq__golden_number(golden, "lr", NAN),
                            .initial = fmax(sq__golden_number(golden, "warmup_init_lr", -1), 0),
                            .warmup = sq__golden_number(golden, "warmup_updates", NAN) };
    else if (strstr(file, "CosineAnnealingLR"))
        *s = (sq_schedule){ .kind = SQ_SCHEDULE_COSINE_ANNEALING, .rate = sq__golden_number(golden, "lr", NAN),
                            .total = sq__golden_number(golden, "T_max", NAN),
                            .end = sq__golden_number(golden, "eta_min", 0) };
    else
        sq__golden_skip(golden, "schedule '%.60s' is unknown to this build", file);
    return sq__golden_going(golden);
}

void sq__family_schedule(sq_golden *golden)
{
    sq_schedule schedule;
    if (!read_schedule(golden, &schedule)) return;
    const sq_st_tensor *tensor = sq__golden_tensor(golden, "step", SQ_SHAPE(SQ_ANY));
    const int32_t *step = tensor ? sq__golden_ints(golden, "step", SQ_SHAPE(SQ_ANY)) : NULL;
    double *rates = step ? sq__golden_memory(golden, tensor->count, sizeof *rates) : NULL;
    for (int64_t i = 0; rates && i < tensor->count; i++) rates[i] = sq__schedule_rate(&schedule, step[i]);
    sq__golden_compare_doubles(golden, "lr", rates, tensor ? tensor->count : 0);
}
