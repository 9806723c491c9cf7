#include "nn/search.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"

/* A place in a source's beam: empty (sum -INFINITY), live, or over. */
typedef struct place {
    double sum;                        /* of logarithms */
    int32_t row, token;                /* the row it goes on from, and by what */
    int32_t count, spoken;             /* tokens so far, with and without the end */
    bool live;
} place;

typedef struct state {
    const sq_search *search;
    place *now, *next;                 /* [B*beam] */
    int32_t *history, *earlier;        /* [B*beam, longest] */
    int32_t *tokens, *parents;         /* [B*beam]: of the next step */
    double *logs;                      /* [words] of one row */
} state;

static double score_of(const sq_search *s, const place *p)
{
    return p->sum > -INFINITY ? p->sum / pow((5 + (double)p->count) / 6, s->length_penalty) : -INFINITY;
}

static void log_softmax(const float *logits, int64_t words, double *logs)
{
    double most = -INFINITY, sum = 0;
    for (int64_t w = 0; w < words; w++) most = fmax(most, logits[w]);
    for (int64_t w = 0; w < words; w++) sum += exp(logits[w] - most);
    for (int64_t w = 0; w < words; w++) logs[w] = logits[w] - most - log(sum);
}

/* Into the best `room`, by falling sum; equal ones in the order they come. */
static void insert(place *best, int64_t *count, int64_t room, const place *candidate)
{
    int64_t at = *count;
    if (!room || !(candidate->sum > -INFINITY) || (at == room && !(candidate->sum > best[room - 1].sum))) return;
    if (at < room) (*count)++;
    else at--;
    for (; at > 0 && candidate->sum > best[at - 1].sum; at--) best[at] = best[at - 1];
    best[at] = *candidate;
}

static place continued(const sq_search *s, int64_t b, int64_t row, const place *from, int64_t word, double log_p)
{
    const bool end = s->end >= 0 && word == s->end;
    const int64_t longest = s->lengths ? s->lengths[b] : s->longest;
    return (place){ from->sum + log_p, (int32_t)row, (int32_t)word, from->count + 1, from->spoken + !end, !end && from->count + 1 < longest };
}

/* One source: live places give way to the best of their continuations; those that are over stay, behind them. */
static void advance(state *st, int64_t b, const float *logits)
{
    const sq_search *s = st->search;
    const int64_t first = b * s->beam, end = first + s->beam;
    place *next = st->next + first;
    int64_t over = 0, found = 0;
    for (int64_t row = first; row < end; row++) over += !st->now[row].live && st->now[row].sum > -INFINITY;
    for (int64_t row = first; row < end; row++) {
        if (!st->now[row].live) continue;
        log_softmax(logits + row * s->words, s->words, st->logs);
        for (int64_t w = 0; w < s->words; w++) {
            const place candidate = continued(s, b, row, &st->now[row], w, st->logs[w]);
            insert(next, &found, s->beam - over, &candidate);
        }
    }
    for (int64_t row = first; row < end; row++) {
        if (st->now[row].live || !(st->now[row].sum > -INFINITY)) continue;
        next[found] = st->now[row];
        next[found].row = (int32_t)row;
        next[found++].token = -1;
    }
    for (; found < s->beam; found++) next[found] = (place){ .sum = -INFINITY, .row = (int32_t)first, .token = -1 };
}

/* The chosen become the present ones: histories follow, the next step's tokens are theirs. Whether any is live. */
static bool move_on(state *st)
{
    const sq_search *s = st->search;
    bool any = false;
    int32_t *histories = st->earlier;
    place *places = st->now;
    for (int64_t row = 0; row < s->B * s->beam; row++) {
        const place *p = &st->next[row];
        int32_t *to = histories + row * s->longest;
        memcpy(to, st->history + p->row * s->longest, (size_t)s->longest * sizeof *to);
        if (p->token >= 0 && p->token != s->end) to[p->spoken - 1] = p->token;
        st->tokens[row] = p->live ? p->token : s->begin;   /* rows that are not live are computed, and not read */
        st->parents[row] = p->row;
        any |= p->live;
    }
    st->earlier = st->history;
    st->history = histories;
    st->now = st->next;
    st->next = places;
    return any;
}

static bool begin(state *st)
{
    const sq_search *s = st->search;
    bool any = false;
    for (int64_t row = 0; row < s->B * s->beam; row++) {
        const bool asked = (s->lengths ? s->lengths[row / s->beam] : s->longest) > 0, first = row % s->beam == 0;
        st->now[row] = (place){ .sum = first ? 0 : -INFINITY, .live = first && asked };
        st->tokens[row] = s->begin;
        any |= st->now[row].live;
    }
    return any;
}

static void read_out(const state *st, int32_t *tokens, int32_t *counts, double *scores)
{
    const sq_search *s = st->search;
    for (int64_t b = 0; b < s->B; b++) {
        int64_t best = b * s->beam;
        for (int64_t row = best + 1; row < (b + 1) * s->beam; row++)
            if (score_of(s, &st->now[row]) > score_of(s, &st->now[best])) best = row;
        memcpy(tokens + b * s->longest, st->history + best * s->longest, (size_t)s->longest * sizeof *tokens);
        counts[b] = st->now[best].spoken;
        if (scores) scores[b] = score_of(s, &st->now[best]);
    }
}

static sq_status run(state *st, sq_error *error)
{
    const sq_search *s = st->search;
    bool going = begin(st);
    for (int64_t t = 0; going; t++) {
        const float *logits;
        SQ_TRY(s->step(s->context, st->tokens, t ? st->parents : NULL, &logits, error));
        for (int64_t b = 0; b < s->B; b++) advance(st, b, logits);
        going = move_on(st);
    }
    return SQ_OK;
}

sq_status sq__search(const sq_search *search, int32_t *tokens, int32_t *counts, double *scores, sq_error *error)
{
    const size_t rows = (size_t)(search->B * search->beam), all = rows * (size_t)search->longest;
    state st = { .search = search };
    place *places = sq__alloc_array(2 * rows, sizeof *places);
    int32_t *histories = sq__alloc_array(2 * all + 2 * rows, sizeof *histories);
    st.logs = sq__alloc_array((size_t)search->words, sizeof *st.logs);
    sq_status status = places && histories && st.logs ? SQ_OK : sq__no_memory(error);
    if (status == SQ_OK) {
        st.now = places, st.next = places + rows;
        st.history = histories, st.earlier = histories + all;
        st.tokens = histories + 2 * all, st.parents = st.tokens + rows;
        status = run(&st, error);
    }
    if (status == SQ_OK) read_out(&st, tokens, counts, scores);
    sq__free(places);
    sq__free(histories);
    sq__free(st.logs);
    return status;
}
