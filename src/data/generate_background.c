/* Background of generated histories: merchant codes by a Zipf law with a taste per client, amounts log-normal by code,
 * a rhythm of day and week, terminals that a client comes back to. */
#include "data/generate.h"

#include <math.h>
#include <stdlib.h>

/* When a code is used: weights of night, morning, afternoon, evening. */
typedef enum rhythm { ANY, DAYTIME, MORNING, EVENING, NIGHT, RHYTHM_COUNT } rhythm;
static const double rhythm_weight[RHYTHM_COUNT][SQ_DAY_PARTS] = {
    [ANY] = { 1, 1, 1, 1 },
    [DAYTIME] = { 0.1, 1.2, 1.5, 0.6 },
    [MORNING] = { 0.3, 2.0, 0.8, 0.9 },
    [EVENING] = { 0.5, 0.4, 0.9, 2.0 },
    [NIGHT] = { 3.0, 0.3, 0.5, 1.6 },
};

enum { PURCHASE = 1110, OWN_PURCHASE = 1010, SERVICE = 1030, ABROAD = 1200, CASH_OUT = 2010, TRANSFER_OUT = 2370, CASH_IN = 7010,
       TRANSFER_IN = 7070 };

/* By falling popularity. log_mean: of the amount; codes and transaction types are those of the well-known card set. */
typedef struct code_row { int code, type; double log_mean, log_sd; bool income; rhythm when; } code_row;
static const code_row codes[SQ_CODE_COUNT] = {
    { 5411, PURCHASE, 8.4, 0.9, false, ANY },        { 6011, CASH_OUT, 10.6, 0.9, false, ANY },
    { 4814, SERVICE, 7.7, 0.6, false, ANY },         { 6010, CASH_IN, 11.0, 1.0, true, DAYTIME },
    { 4829, TRANSFER_OUT, 9.6, 1.2, false, ANY },    { 5814, PURCHASE, 7.9, 0.6, false, EVENING },
    { 5499, PURCHASE, 7.8, 0.8, false, ANY },        { 6012, TRANSFER_IN, 9.9, 1.2, true, DAYTIME },
    { 5331, PURCHASE, 8.2, 0.9, false, DAYTIME },    { 4121, OWN_PURCHASE, 7.9, 0.5, false, NIGHT },
    { 5812, PURCHASE, 9.0, 0.8, false, EVENING },    { 5999, PURCHASE, 8.5, 1.1, false, DAYTIME },
    { 4900, SERVICE, 9.3, 0.7, false, DAYTIME },     { 5311, PURCHASE, 9.0, 1.0, false, DAYTIME },
    { 5691, PURCHASE, 9.6, 0.8, false, DAYTIME },    { 5921, PURCHASE, 8.5, 0.7, false, EVENING },
    { 4899, SERVICE, 8.1, 0.5, false, ANY },         { 4131, PURCHASE, 6.2, 0.4, false, MORNING },
    { 5651, PURCHASE, 9.5, 0.8, false, DAYTIME },    { 5200, PURCHASE, 9.0, 1.1, false, DAYTIME },
    { 5732, PURCHASE, 9.8, 1.2, false, DAYTIME },    { 5813, PURCHASE, 9.0, 0.8, false, NIGHT },
    { 4816, SERVICE, 8.0, 0.6, false, ANY },         { 5462, PURCHASE, 7.0, 0.6, false, MORNING },
    { 5422, PURCHASE, 8.5, 0.7, false, DAYTIME },    { 5641, PURCHASE, 8.9, 0.8, false, DAYTIME },
    { 5945, PURCHASE, 8.8, 0.9, false, DAYTIME },    { 7230, PURCHASE, 8.7, 0.7, false, DAYTIME },
    { 5941, PURCHASE, 9.5, 0.9, false, DAYTIME },    { 4112, PURCHASE, 9.4, 0.8, false, MORNING },
    { 5992, PURCHASE, 9.0, 0.6, false, DAYTIME },    { 5533, PURCHASE, 9.2, 1.0, false, DAYTIME },
    { 7832, PURCHASE, 8.2, 0.4, false, EVENING },    { 5942, PURCHASE, 8.2, 0.8, false, DAYTIME },
    { 8011, PURCHASE, 9.1, 0.8, false, MORNING },    { 5399, PURCHASE, 8.7, 1.0, false, DAYTIME },
    { 6536, TRANSFER_IN, 9.4, 1.1, true, ANY },      { 5699, PURCHASE, 9.2, 0.9, false, DAYTIME },
    { 5722, PURCHASE, 9.9, 1.0, false, DAYTIME },    { 5995, PURCHASE, 8.4, 0.7, false, DAYTIME },
    { 5542, OWN_PURCHASE, 8.0, 0.5, false, ANY },{ 5816, PURCHASE, 7.3, 0.8, false, NIGHT },
    { 5712, PURCHASE, 10.2, 1.0, false, DAYTIME },   { 5441, PURCHASE, 7.6, 0.6, false, DAYTIME },
    { 5451, PURCHASE, 7.2, 0.6, false, MORNING },    { 7995, PURCHASE, 8.8, 1.1, false, NIGHT },
    { 5943, PURCHASE, 8.0, 0.7, false, MORNING },    { 8021, PURCHASE, 10.0, 0.8, false, MORNING },
    { 5631, PURCHASE, 8.7, 0.8, false, DAYTIME },    { 7011, PURCHASE, 10.2, 0.9, false, EVENING },
    { 3000, PURCHASE, 10.7, 0.6, false, ANY },       { 5944, PURCHASE, 10.0, 1.0, false, DAYTIME },
    { 8299, PURCHASE, 9.7, 0.8, false, DAYTIME },    { 5251, PURCHASE, 8.6, 1.0, false, DAYTIME },
    { 5948, PURCHASE, 9.2, 0.8, false, DAYTIME },    { 7538, PURCHASE, 10.0, 0.9, false, MORNING },
    { 5261, PURCHASE, 8.5, 0.9, false, MORNING },    { 7997, PURCHASE, 9.9, 0.8, false, EVENING },
    { 5309, ABROAD, 10.0, 0.7, false, ANY },         { 8062, PURCHASE, 9.6, 0.9, false, MORNING },
    { 742, PURCHASE, 8.9, 0.8, false, EVENING },     { 5993, PURCHASE, 7.2, 0.6, false, EVENING },
    { 7512, PURCHASE, 10.3, 0.7, false, DAYTIME },   { 9311, SERVICE, 9.2, 1.2, false, DAYTIME },
};

/* The planted codes, with amounts of their own. */
static const code_row planted[] = {
    { SQ_CODE_SHARE_0, PURCHASE, 8.5, 0.8, false, ANY }, { SQ_CODE_SHARE_1, PURCHASE, 9.4, 0.6, false, ANY },
    { SQ_CODE_SHARE_2, PURCHASE, 9.3, 0.8, false, ANY }, { SQ_CODE_DOCTOR, PURCHASE, 9.3, 0.7, false, ANY },
    { SQ_CODE_PHARMACY, PURCHASE, 8.1, 0.8, false, ANY }, { SQ_CODE_FUEL, PURCHASE, 8.9, 0.5, false, ANY },
    { SQ_CODE_TRANSPORT, PURCHASE, 6.0, 0.4, false, ANY }, { SQ_CODE_U, PURCHASE, 9.6, 1.1, false, ANY },
    { SQ_CODE_V, PURCHASE, 10.6, 0.7, false, ANY },
};

static const code_row *find_row(int32_t code)
{
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (codes[i].code == code) return &codes[i];
    for (size_t i = 0; i < sizeof planted / sizeof *planted; i++)
        if (planted[i].code == code) return &planted[i];
    return &codes[0];
}

void sq__taste_draw(sq_taste *taste, sq_draws *draws)
{
    double sum[SQ_DAY_PARTS] = { 0 };
    for (int i = 0; i < SQ_CODE_COUNT; i++) {
        double weight = pow(i + 2.7, -1.15) * exp(0.6 * sq__draw_normal(draws));
        for (int part = 0; part < SQ_DAY_PARTS; part++)
            taste->cumulative[part][i] = sum[part] += weight * rhythm_weight[codes[i].when][part];
    }
    taste->home = (uint32_t)sq__draw_below(draws, 1 << 20);
}

static int compare_moments(const void *left, const void *right)
{
    int32_t a = ((const sq_event *)left)->second, b = ((const sq_event *)right)->second;
    return (a > b) - (a < b);
}

void sq__moments_draw(sq_event *events, int64_t n, sq_draws *draws)
{
    /* relative activity by hour; the weekend is quieter before noon */
    static const double hourly[24] = { 0.5, 0.3, 0.2, 0.1, 0.1, 0.2, 0.5, 1.2, 2.2, 3.0, 3.6, 4.0,
                                       4.6, 4.4, 4.1, 4.0, 4.2, 4.8, 5.2, 4.9, 3.9, 2.8, 1.7, 0.9 };
    double cumulative[24], sum = 0;
    for (int hour = 0; hour < 24; hour++) cumulative[hour] = sum += hourly[hour];
    for (int64_t i = 0; i < n; i++) {
        double at = sq__draw(draws) * sum;
        int hour = 0;
        while (hour < 23 && at >= cumulative[hour]) hour++;
        int64_t day = sq__draw_below(draws, SQ_CLIENT_DAYS);
        if (day % 7 >= 5 && hour < 12 && sq__draw(draws) < 0.5) hour += 12;
        events[i].second = (int32_t)(day * 86400 + hour * 3600 + sq__draw_below(draws, 3600));
    }
    qsort(events, (size_t)n, sizeof *events, compare_moments);
}

int32_t sq__code_draw(const sq_taste *taste, int32_t second, sq_draws *draws)
{
    const double *cumulative = taste->cumulative[second % 86400 / 21600];
    double at = sq__draw(draws) * cumulative[SQ_CODE_COUNT - 1];
    int low = 0, high = SQ_CODE_COUNT - 1;
    while (low < high) {
        int middle = (low + high) / 2;
        if (at < cumulative[middle]) high = middle;
        else low = middle + 1;
    }
    return codes[low].code;
}

void sq__event_fill(sq_event *event, const sq_taste *taste, sq_draws *draws)
{
    const code_row *row = find_row(event->code);
    event->type = row->type;
    double amount = exp(row->log_mean + row->log_sd * sq__draw_normal(draws));
    event->cents = (int64_t)llround(fmin(amount, 1e9) * 100);
    if (event->cents == 0) event->cents = 1;
    if (!row->income) event->cents = -event->cents;
    /* card readers are known for about two purchases in three; two in three of those are the client's usual place for that code */
    double known = sq__draw(draws), usual = sq__draw(draws);
    int64_t strange = sq__draw_below(draws, 900000);
    event->terminal = 0;
    if (row->type < 2000 && known < 0.65)
        event->terminal = (int32_t)(100000 + (usual < 0.65 ? (taste->home * 31u + (uint32_t)row->code * 2654435761u) % 900000u
                                                           : (uint32_t)strange));
}
