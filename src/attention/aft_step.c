/* Streaming of the causal attention-free transformer: the state holds the sums of the far keys and the near keys themselves.
 *   keys seen (int64) of each batch entry [B], and whether each near key may be seen [B, near]; for each key head its sums [3,D], then near
 *   keys and values [near,D], oldest first; near = window - 1, 0 without biases; factors have biases of max_length - 1 keys back at most
 * A row at a time: keys from the state and from the piece are two runs of blocks. */
#include <math.h>
#include <string.h>

#include "attention/aft_tiles.h"
#include "base/integers.h"
#include "base/parallel.h"

typedef struct state {
    int64_t near, *seen;
    uint8_t *keep;
    sq_aft_sums sums;                  /* of key head 0; 3 D floats and 2 near D more to the next */
    float *k, *v;
    size_t head_floats, bytes;
} state;

static state cut_state(const sq_aft_config *config, const sq_problem *p, void *memory)
{
    const sq_aft_bias bias = sq__aft_bias(config, p);
    sq_cut cut = { memory, 0 };
    state s = { .near = bias.reach > 0 ? bias.reach : 0 };
    if (bias.form == SQ_AFT_FACTORS) s.near = sq__least(s.near, p->max_length - 1);
    s.seen = sq__cut(&cut, (size_t)p->B * sizeof *s.seen);
    s.keep = sq__cut(&cut, (size_t)(p->B * s.near));
    const size_t before = cut.used;
    sq__aft_sums_cut(&s.sums, p->D, &cut);
    s.k = sq__cut_floats(&cut, s.near * p->D);
    s.v = sq__cut_floats(&cut, s.near * p->D);
    s.head_floats = (cut.used - before) / sizeof(float);
    s.bytes = before + (cut.used - before) * (size_t)(p->B * p->Hk);
    return s;
}

static sq_aft_sums sums_of(const state *s, int64_t item)
{
    const size_t at = (size_t)item * s->head_floats;
    return (sq_aft_sums){ s->sums.top + at, s->sums.num + at, s->sums.den + at };
}

size_t sq__aft_state_bytes(const void *config, const sq_problem *p)
{
    return ((const sq_aft_config *)config)->variant == SQ_AFT_FULL ? 0 : cut_state(config, p, NULL).bytes;
}

void sq__aft_state_reset(const void *config, const sq_problem *p, void *memory)
{
    const state s = cut_state(config, p, memory);
    memset(memory, 0, s.bytes);        /* also what is not yet seen: equal states have equal bytes */
    for (int64_t item = 0; item < p->B * p->Hk; item++) {
        const sq_aft_sums sums = sums_of(&s, item);
        sq__aft_sums_clear(&sums, p->D);
    }
}

/* ---- a piece, for one key head ---- */

typedef struct piece {
    sq_aft_tiles tiles;
    const state *s;
    sq_head held, given;               /* keys of the state; of the call */
    int64_t first, seen, end;          /* positions: of the oldest held key, of the first given one, behind the last that exists */
    sq_aft_sums far;
} piece;

/* Keys of the block come from the state or from the call; positions shift so that biases have a row. */
static void use(piece *p, bool held, int64_t shift)
{
    p->tiles.block.head = held ? &p->held : &p->given;
    p->tiles.block.origin = (held ? p->first : p->seen) - shift;
}

static void absorb(piece *p, int64_t position)
{
    if (position < p->first || position >= p->end) return;
    use(p, position < p->seen, 0);
    sq__aft_absorb_keys(&p->tiles.block, position, position + 1, &p->far);
}

/* Near keys [from, to) of the row at position t. */
static void meet(piece *p, int64_t t, int64_t from, int64_t to, bool held, const sq_aft_sums *row)
{
    const int64_t last = p->tiles.p->max_length - 1, shift = p->tiles.bias.form == SQ_AFT_FILTER || t <= last ? 0 : t - last;
    use(p, held, shift);
    for (int64_t s0 = from; s0 < to; s0 += SQ_AFT_KEYS)
        if (sq__aft_load(&p->tiles.block, &p->tiles.bias, t - shift, 1, s0 - shift, sq__least(SQ_AFT_KEYS, to - s0)))
            sq__aft_forward_block(&p->tiles.block, row);
}

static void run_row(piece *p, const sq_head *head, int64_t i)
{
    const int64_t t = p->seen + i, from = t - p->s->near > p->first ? t - p->s->near : p->first;
    const sq_aft_sums *row = &p->tiles.rows;
    sq__aft_sums_clear(row, p->tiles.p->D);
    meet(p, t, from, p->seen, true, row);
    meet(p, t, from > p->seen ? from : p->seen, sq__least(t + 1, p->end), false, row);
    if (p->far.top[0] > -INFINITY) sq__aft_sums_add(&p->tiles.block, row, p->far.top, 0, p->far.num, p->far.den);
    p->tiles.head = head;
    sq__aft_finish_row(&p->tiles, i, row);
}

/* Far keys go on for rows behind the last key, but the state keeps those that are far from the next key. */
static void leave_far(piece *p)
{
    const size_t bytes = (size_t)p->tiles.p->D * sizeof(float);
    const sq_aft_sums copy = p->tiles.before;
    memcpy(copy.top, p->far.top, bytes), memcpy(copy.num, p->far.num, bytes), memcpy(copy.den, p->far.den, bytes);
    p->far = copy;
}

/* The last `near` keys of what was held and what was given. */
static void hold(const piece *p)
{
    const int64_t D = p->tiles.p->D, N = p->given.N, near = p->s->near, held = p->seen - p->first;
    const int64_t gone = held + N > near ? held + N - near : 0, stay = held > gone ? held - gone : 0;
    float *k = (float *)(uintptr_t)p->held.k, *v = (float *)(uintptr_t)p->held.v;
    memmove(k, k + (held - stay) * D, (size_t)(stay * D) * sizeof *k);
    memmove(v, v + (held - stay) * D, (size_t)(stay * D) * sizeof *v);
    for (int64_t j = stay, i = gone + stay - held; i < N; i++, j++) {
        memcpy(k + j * D, p->given.k + i * p->given.k_row, (size_t)D * sizeof *k);
        memcpy(v + j * D, p->given.v + i * p->given.v_row, (size_t)D * sizeof *v);
    }
}

typedef struct step { const sq_run *run; state s; size_t per_thread; } step;

static void run_item(void *context, int64_t item, int thread)
{
    const step *all = context;
    const sq_problem *problem = all->run->problem;
    const int64_t group = problem->H / problem->Hk, b = item / problem->Hk, h0 = item % problem->Hk * group, at = item * (int64_t)all->s.head_floats;
    char *workspace = (char *)all->run->call->workspace + (size_t)thread * all->per_thread;
    piece p = { .s = &all->s, .given = sq__head(all->run, b, h0), .seen = all->s.seen[b], .far = sums_of(&all->s, item) };
    p.held = (sq_head){ .k = all->s.k + at, .v = all->s.v + at, .k_row = problem->D, .v_row = problem->D, .key_keep = all->s.keep + b * all->s.near };
    p.first = p.seen - sq__least(p.seen, all->s.near);
    p.end = p.seen + p.given.N;
    p.tiles = sq__aft_begin(all->run, &p.given, SQ_FORWARD, workspace);
    for (int64_t i = 0; i < problem->T; i++) {
        if (i == p.given.N) leave_far(&p);
        for (int64_t h = h0; h < h0 + group; h++) {
            const sq_head head = sq__head(all->run, b, h);
            if (i >= head.T) continue;
            p.tiles = sq__aft_begin(all->run, &head, SQ_FORWARD, workspace);   /* biases of this head */
            run_row(&p, &head, i);
        }
        absorb(&p, p.seen + i - all->s.near);   /* far from the next row on */
    }
    for (int64_t h = h0; h < h0 + group; h++) {
        const sq_head head = sq__head(all->run, b, h);
        sq__zero_rows(head.out, head.out_row, head.T, problem->T, problem->D);
    }
    hold(&p);
}

/* Whether the keys that stay may be seen; an entry shorter than the call goes on where it ended. */
static void hold_marks(const step *all)
{
    const sq_problem *p = all->run->problem;
    const int64_t near = all->s.near;
    for (int64_t b = 0; b < p->B; b++) {
        const sq_head head = sq__head(all->run, b, 0);
        const int64_t held = sq__least(all->s.seen[b], near), gone = held + head.N > near ? held + head.N - near : 0;
        const int64_t stay = held > gone ? held - gone : 0;
        uint8_t *keep = all->s.keep + b * near;
        memmove(keep, keep + held - stay, (size_t)stay);
        for (int64_t j = stay, i = gone + stay - held; i < head.N; i++, j++) keep[j] = !(head.key_keep && !head.key_keep[i]);
        all->s.seen[b] += head.N;
    }
}

void sq__aft_step(const sq_run *run, void *memory)
{
    const sq_problem *p = run->problem;
    const step all = { run, cut_state(run->config, p, memory), sq__aft_per_thread(run->config, p, SQ_FORWARD) };
    sq__aft_make_filters(run, SQ_FORWARD);
    sq__parallel(p->threads, p->B * p->Hk, run_item, (void *)(uintptr_t)&all);
    hold_marks(&all);
}
