/* The structure planted into generated histories, and the label probability it gives.
 *
 * mixed: factors at several ranges; long-range: only the order of two kinds of marker events, every event of one kind more than
 * 1,000 events away from every event of the other. Markers come equally often whichever comes first, and type, amount and
 * terminal go with the code, so that nothing counted over a history tells which came first. */
#include "data/generate.h"

#include <math.h>

#define FAR 1000   /* markers lie more than this many events apart */

static double clamp(double x, double low, double high) { return x < low ? low : x > high ? high : x; }
static int64_t at_least(int64_t x, int64_t low) { return x < low ? low : x; }

static int64_t free_places(const uint8_t *taken, int64_t start, int64_t length)
{
    int64_t count = 0;
    for (int64_t i = start; i < start + length; i++) count += !taken[i];
    return count;
}

/* Put `count` events of a code on free places in [start, start + length). */
static void scatter(sq_event *events, uint8_t *taken, int64_t start, int64_t length, int64_t count, int32_t code, sq_draws *draws)
{
    int64_t unused = free_places(taken, start, length);
    /* selection sampling: each free place is taken with probability wanted/left */
    for (int64_t i = start; i < start + length && count > 0; i++) {
        if (taken[i]) continue;
        if (sq__draw(draws) * (double)unused < (double)count) {
            taken[i] = 1;
            events[i].code = code;
            count--;
        }
        unused--;
    }
}

/* Two kinds of markers, equally many: one kind in a zone at the front, the other in a zone at the back, `gap` events between them. */
static void plant_far(sq_event *events, uint8_t *taken, int64_t n, int64_t count, int64_t gap, bool u_first, sq_draws *draws)
{
    int64_t room = n - gap, zone = at_least(2 * count, 8);
    if (2 * zone > room) zone = room / 2;
    int64_t front = zone + sq__draw_below(draws, room - 2 * zone + 1), back = room - front;
    int64_t front_free = free_places(taken, 0, front), back_free = free_places(taken, front + gap, back);
    if (count > front_free) count = front_free;
    if (count > back_free) count = back_free;
    scatter(events, taken, 0, front, count, u_first ? SQ_CODE_U : SQ_CODE_V, draws);
    scatter(events, taken, front + gap, back, count, u_first ? SQ_CODE_V : SQ_CODE_U, draws);
}

/* ---- long-range ---- */

int64_t sq__long_range_markers(int64_t n) { return n / 25; }

void sq__plant_long_range(sq_event *events, int64_t n, uint8_t *taken, bool u_first, sq_draws *draws)
{
    plant_far(events, taken, n, sq__long_range_markers(n), FAR, u_first, draws);
}

/* ---- mixed ---- */

/* Pairs of a doctor and a pharmacy, one straight after the other and within minutes. */
static void plant_pairs(sq_event *events, uint8_t *taken, int64_t n, sq_draws *draws)
{
    int64_t pairs = at_least(n / 24, 2), block = n / pairs;
    double doctor_first = sq__draw(draws) < 0.5 ? 0.9 : 0.1;
    for (int64_t i = 0; i < pairs; i++) {
        int64_t at = i * block + 1 + sq__draw_below(draws, block - 3);   /* a free event on both sides: pairs never touch */
        bool doctor = sq__draw(draws) < doctor_first;
        int32_t soon = events[at].second + 60 + (int32_t)sq__draw_below(draws, 600), next = events[at + 2].second;
        events[at].code = doctor ? SQ_CODE_DOCTOR : SQ_CODE_PHARMACY;
        events[at + 1].code = doctor ? SQ_CODE_PHARMACY : SQ_CODE_DOCTOR;
        if (soon < events[at + 1].second) events[at + 1].second = soon < next ? soon : next;
        taken[at] = taken[at + 1] = 1;
    }
}

/* As many journeys by car as by public transport; only one of the two among the last events. */
static void plant_recency(sq_event *events, uint8_t *taken, int64_t n, sq_draws *draws)
{
    int64_t window = n / 4 < SQ_RECENT ? n / 4 : SQ_RECENT, start = n - SQ_RECENT < 0 ? 0 : n - SQ_RECENT;
    int64_t each = at_least(n / 40, 8), late = at_least(window / 3, 2);
    bool fuel = sq__draw(draws) < 0.5;
    int32_t code = fuel ? SQ_CODE_FUEL : SQ_CODE_TRANSPORT, other = fuel ? SQ_CODE_TRANSPORT : SQ_CODE_FUEL;
    int64_t late_free = free_places(taken, n - window, window), early_free = free_places(taken, 0, start);
    if (late > late_free) late = late_free;
    if (each > early_free / 2) each = early_free / 2;
    if (late > each) late = each;
    scatter(events, taken, n - window, window, late, code, draws);
    scatter(events, taken, 0, start, each - late, code, draws);
    scatter(events, taken, 0, start, each, other, draws);
}

void sq__plant_mixed(sq_event *events, int64_t n, uint8_t *taken, sq_draws *draws)
{
    static const int32_t shared[3] = { SQ_CODE_SHARE_0, SQ_CODE_SHARE_1, SQ_CODE_SHARE_2 };
    plant_pairs(events, taken, n, draws);
    plant_recency(events, taken, n, draws);
    int64_t gap = n >= FAR + 200 ? FAR : n / 2;
    plant_far(events, taken, n, at_least(n / 25, 1), gap, sq__draw(draws) < 0.5, draws);
    double share = 0.02 + 0.20 * sq__draw(draws);
    for (int64_t i = 0; i < n; i++)
        if (!taken[i] && sq__draw(draws) < share) events[i].code = shared[sq__draw_below(draws, 3)];
}

sq_factors sq__factors_read(const sq_event *events, int64_t n)
{
    int64_t shared = 0, pairs = 0, recent = 0, u_last = -1, v_last = -1, u_first = n, v_first = n;
    sq_factors factors = { 0 };
    for (int64_t i = 0; i < n; i++) {
        int32_t code = events[i].code, next = i + 1 < n ? events[i + 1].code : 0;
        shared += code == SQ_CODE_SHARE_0 || code == SQ_CODE_SHARE_1 || code == SQ_CODE_SHARE_2;
        pairs += code == SQ_CODE_DOCTOR && next == SQ_CODE_PHARMACY;
        pairs -= code == SQ_CODE_PHARMACY && next == SQ_CODE_DOCTOR;
        if (i >= n - SQ_RECENT) recent += (code == SQ_CODE_FUEL) - (code == SQ_CODE_TRANSPORT);
        if (code == SQ_CODE_U) { u_last = i; if (u_first == n) u_first = i; }
        if (code == SQ_CODE_V) { v_last = i; if (v_first == n) v_first = i; }
    }
    factors.share = clamp(((double)shared / (double)n - 0.12) / 0.08, -1, 1);
    factors.order = (pairs > 0) - (pairs < 0);
    factors.recency = (recent > 0) - (recent < 0);
    if (u_last >= 0 && v_last >= 0) factors.distant = u_last < v_first ? 1 : v_last < u_first ? -1 : 0;
    return factors;
}

double sq__mixed_probability(const sq_factors *factors)
{
    double logit = 2.0 * factors->share + 1.4 * factors->order + 1.4 * factors->recency + 1.4 * factors->distant;
    return 1 / (1 + exp(-logit));
}
