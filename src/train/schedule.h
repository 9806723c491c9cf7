/* Learning-rate schedules: the rate of the update whose counter is `step`. Pure. Depends on nothing.
 * Sources: Hugging Face transformers, The Annotated Transformer (noam), fairseq, torch.optim. */
#ifndef SQ_TRAIN_SCHEDULE_H
#define SQ_TRAIN_SCHEDULE_H

typedef enum sq_schedule_kind {
    SQ_SCHEDULE_COSINE,                /* warm-up from 0, then half a cosine (cycles 0.5) to 0 at `total`; rises again after it */
    SQ_SCHEDULE_CONSTANT,              /* warm-up from 0, then rate */
    SQ_SCHEDULE_LINEAR,                /* warm-up from 0, then a line to 0 at `total` */
    SQ_SCHEDULE_COSINE_RESTARTS,       /* `cycles` falling half cosines */
    SQ_SCHEDULE_POLYNOMIAL,            /* to `end` with `power` */
    SQ_SCHEDULE_INVERSE_SQRT,          /* rate / sqrt((s + timescale - warmup) / timescale); timescale 0: warmup */
    SQ_SCHEDULE_NOAM,                  /* rate * width^-1/2 * min(s^-1/2, s warmup^-3/2); step 0 counts as 1 */
    SQ_SCHEDULE_INVERSE_SQRT_FAIRSEQ,  /* warm-up from `initial`, then rate sqrt(warmup / s) */
    SQ_SCHEDULE_COSINE_ANNEALING       /* end + (rate - end)(1 + cos(pi s / total)) / 2, no warm-up */
} sq_schedule_kind;

typedef struct sq_schedule {
    sq_schedule_kind kind;
    double rate, warmup, total;        /* warmup and total in steps */
    double cycles, end, power, timescale, width, initial;   /* only where named above */
} sq_schedule;

double sq__schedule_rate(const sq_schedule *schedule, double step);

#endif
