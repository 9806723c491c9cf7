/* The generator of sample clients: background events with realistic marginals, planted structure, label probabilities.
 * A client is a pure function of (seed, client number): draws come from its own stream. Depends on base. */
#ifndef SQ_DATA_GENERATE_H
#define SQ_DATA_GENERATE_H

#include <stdio.h>

#include "base/random.h"
#include "subquad/tools.h"

/* Draws in order from one stream. */
typedef struct sq_draws { sq_random stream; uint64_t next; } sq_draws;
static inline double sq__draw(sq_draws *draws) { return sq__random_uniform(&draws->stream, draws->next++); }
static inline double sq__draw_normal(sq_draws *draws) { return sq__random_normal(&draws->stream, draws->next++); }
static inline int64_t sq__draw_below(sq_draws *draws, int64_t bound)
{
    return (int64_t)sq__random_below(&draws->stream, draws->next++, (uint64_t)bound);
}

#define SQ_CLIENT_DAYS 457

typedef struct sq_event {
    int32_t second;                    /* since day 0 */
    int32_t code;                      /* merchant category code */
    int32_t type;
    int32_t terminal;                  /* 0: none */
    int64_t cents;                     /* negative: spending */
} sq_event;

/* ---- generate_background.c ---- */

/* What one client likes: cumulative weights of the background codes in each quarter of the day. */
#define SQ_CODE_COUNT 64
#define SQ_DAY_PARTS 4
typedef struct sq_taste { double cumulative[SQ_DAY_PARTS][SQ_CODE_COUNT]; uint32_t home; } sq_taste;

void sq__taste_draw(sq_taste *taste, sq_draws *draws);
/* n moments in rising order, in the rhythm of days and weeks; scratch free. */
void sq__moments_draw(sq_event *events, int64_t n, sq_draws *draws);
int32_t sq__code_draw(const sq_taste *taste, int32_t second, sq_draws *draws);
/* Type, amount and terminal of an event by its code alone: they travel with the code wherever it is put. */
void sq__event_fill(sq_event *event, const sq_taste *taste, sq_draws *draws);

/* ---- generate_planted.c ---- */

/* Observable factors of one history; the label probability is a function of them alone. */
typedef struct sq_factors {
    double share;                      /* aggregate: clamp((share of the three codes - 0.12) / 0.08, -1, 1) */
    int order;                         /* sign(pairs doctor-pharmacy minus pairs pharmacy-doctor) */
    int recency;                       /* sign(fuel minus public transport among the last SQ_RECENT events) */
    int distant;                       /* +1 marker U far before marker V, -1 V far before U */
} sq_factors;

#define SQ_RECENT 24

typedef enum sq_client_mode { SQ_CLIENTS_MIXED, SQ_CLIENTS_LONG_RANGE } sq_client_mode;

/* Codes of the planted structure; none of them is in the background. */
enum {
    SQ_CODE_SHARE_0 = 5977, SQ_CODE_SHARE_1 = 5661, SQ_CODE_SHARE_2 = 5621,
    SQ_CODE_DOCTOR = 8099, SQ_CODE_PHARMACY = 5912,
    SQ_CODE_FUEL = 5541, SQ_CODE_TRANSPORT = 4111,
    SQ_CODE_U = 5211, SQ_CODE_V = 4722,
};

/* Marker events of each kind in a long-range history of n events. */
int64_t sq__long_range_markers(int64_t n);
/* Overwrite codes of a background history. taken: n bytes, zeroed by the caller. */
void sq__plant_mixed(sq_event *events, int64_t n, uint8_t *taken, sq_draws *draws);
void sq__plant_long_range(sq_event *events, int64_t n, uint8_t *taken, bool u_first, sq_draws *draws);
/* Reads the factors off the events, however they came about. */
sq_factors sq__factors_read(const sq_event *events, int64_t n);
/* P(label 1) before noise. */
double sq__mixed_probability(const sq_factors *factors);

/* ---- generate_text.c ---- */

typedef struct sq_clients_text {
    const sq_clients_options *options; /* resolved: nothing left at "default" */
    const sq_clients_result *result;
    sq_client_mode mode;
    double positive_share;
} sq_clients_text;

#define SQ_CLIENTS_MARK "# Written by `subquad data clients`"   /* first line of task.yaml: this folder may be written again */
void sq__clients_task(FILE *out, const sq_clients_text *text);
void sq__clients_readme(FILE *out, const sq_clients_text *text);

#endif
