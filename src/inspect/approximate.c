/* Error against cost: every mechanism on the given queries, keys and values, its budget varied. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "inspect/matrix.h"

/* Options that buy accuracy with operations, the most telling first. */
static const char *const budgets[] = { "distance", "window", "features", "rank", "landmarks", "clusters", "samples", "sample_factor", "topk", "basis", "bucket",
                                       "chunk", "block", "latents", "points", "stride", "segment" };

typedef struct approximations { sq_approximation *rows; int count, room; } approximations;

static sq_approximation *add(approximations *all)
{
    if (all->count == all->room) {
        const int room = all->room ? 2 * all->room : 64;
        sq_approximation *rows = sq__alloc_zero((size_t)room * sizeof *rows);
        if (!rows) return NULL;
        if (all->count) memcpy(rows, all->rows, (size_t)all->count * sizeof *rows);
        sq__free(all->rows);
        all->rows = rows;
        all->room = room;
    }
    return &all->rows[all->count++];
}

/* The integer option of that name; false: the mechanism has none. */
static bool budget_of(int mechanism, const char *name, sq_option_info *info)
{
    for (int i = 0; sq_mechanism_option(mechanism, i, info) == SQ_OK; i++)
        if (info->type == SQ_OPTION_INT && strcmp(info->name, name) == 0) return true;
    return false;
}

typedef struct compared { const sq_qkv_set *set; float **exact; uint64_t seed; int threads; sq_stop_flag *stop; } compared;

static sq_attention_desc desc_of(const compared *c, const char *mechanism, const sq_option *option, int options)
{
    return (sq_attention_desc){ .mechanism = mechanism, .options = option, .option_count = options, .causal = c->set->causal, .seed = c->seed,
                                .threads = c->threads };
}

/* Over all sequences; SQ_UNSUPPORTED and SQ_INVALID are the mechanism's own. */
static sq_status measure(const compared *c, const sq_attention_desc *desc, sq_approximation *row, sq_error *error)
{
    double wrong = 0, whole = 0;
    for (int s = 0; s < c->set->count; s++) {
        const sq_qkv *item = &c->set->items[s];
        const int64_t count = item->T * item->H * item->M;
        sq_probe probe;
        if (c->stop && *c->stop) return sq__fail(error, SQ_INTERRUPTED, "interrupted");
        SQ_TRY(sq__probe_open(&probe, desc, item, item->M, NULL, NULL, error));
        sq__probe_run(&probe, item->v);
        for (int64_t i = 0; i < count; i++) {
            wrong += pow((double)probe.out[i] - c->exact[s][i], 2);
            whole += pow(c->exact[s][i], 2);
        }
        row->flops += sq_attention_flops(probe.plan, SQ_FORWARD) / c->set->count;
        row->drawn = probe.trainable;
        sq__probe_close(&probe);
    }
    row->error = whole > 0 ? sqrt(wrong / whole) : 0;
    return SQ_OK;
}

static sq_status try_mechanism(const compared *c, const char *mechanism, const sq_option *option, approximations *all, bool keep_refusal, sq_error *error)
{
    const sq_attention_desc desc = desc_of(c, mechanism, option, option != NULL);
    sq_approximation row = { .flops = 0 };
    sq_error why = { .message = "" };
    snprintf(row.mechanism, sizeof row.mechanism, "%s", mechanism);
    if (option) snprintf(row.option, sizeof row.option, "%s=%s", option->key, option->value);
    const sq_status status = measure(c, &desc, &row, &why);
    if (status == SQ_UNSUPPORTED || status == SQ_INVALID) {
        if (!keep_refusal) return SQ_OK;
        snprintf(row.refusal, sizeof row.refusal, "%.255s", why.message);
    } else if (status != SQ_OK) {
        if (error) *error = why;
        return status;
    }
    sq_approximation *place = add(all);
    if (!place) return sq__no_memory(error);
    *place = row;
    return SQ_OK;
}

/* A quarter to four times the default, or times 64 where it is 0 (chosen by length or width). Values that change nothing are left out. */
static sq_status vary(const compared *c, const char *mechanism, const sq_option_info *budget, approximations *all, sq_error *error)
{
    static const double factors[] = { 0.25, 0.5, 1, 2, 4 }, rounding = 1e-6;
    const double given = strtod(budget->default_text, NULL), usual = given >= 1 ? given : 64;
    const int before = all->count;
    for (size_t f = 0; f < sizeof factors / sizeof *factors; f++) {
        const double value = floor(usual * factors[f]);
        char text[32];
        if (value < budget->minimum || value < 1 || value > budget->maximum) continue;
        snprintf(text, sizeof text, "%.0f", value);
        SQ_TRY(try_mechanism(c, mechanism, &(sq_option){ budget->name, text }, all, false, error));
        if (all->count > before + 1 && fabs(all->rows[all->count - 2].error - all->rows[all->count - 1].error) < rounding) all->count--;
    }
    return SQ_OK;
}

/* By the first option that changes anything as the others stand: many belong to one variant of a mechanism. */
static sq_status try_budgets(const compared *c, int index, approximations *all, sq_error *error)
{
    const int before = all->count;
    sq_mechanism_info info;
    if (sq_mechanism_get(index, &info) != SQ_OK) return SQ_OK;
    for (size_t b = 0; b < sizeof budgets / sizeof *budgets; b++) {
        sq_option_info budget;
        if (!budget_of(index, budgets[b], &budget)) continue;
        SQ_TRY(vary(c, info.name, &budget, all, error));
        if (all->count > before + 1) return SQ_OK;
        all->count = before;
    }
    return try_mechanism(c, info.name, NULL, all, true, error);
}

static sq_status run_exact(const compared *c, const char *to, sq_error *error)
{
    const sq_attention_desc desc = desc_of(c, to, NULL, 0);
    for (int s = 0; s < c->set->count; s++) {
        const sq_qkv *item = &c->set->items[s];
        const size_t count = (size_t)(item->T * item->H * item->M);
        sq_probe probe;
        SQ_TRY(sq__probe_open(&probe, &desc, item, item->M, NULL, NULL, error));
        sq__probe_run(&probe, item->v);
        c->exact[s] = sq__alloc_array(count, sizeof(float));
        if (c->exact[s]) memcpy(c->exact[s], probe.out, count * sizeof(float));
        sq__probe_close(&probe);
        if (!c->exact[s]) return sq__no_memory(error);
    }
    return SQ_OK;
}

sq_status sq_approximate(const sq_qkv_set *set, const char *to, uint64_t seed, int threads, sq_stop_flag *stop, sq_approximation **rows, int *count,
                         sq_error *error)
{
    approximations all = { .count = 0 };
    compared c = { set, sq__alloc_zero((size_t)(set->count + 1) * sizeof(float *)), seed, threads, stop };
    *rows = NULL;
    *count = 0;
    sq_status status = c.exact ? run_exact(&c, to, error) : sq__no_memory(error);
    for (int i = 0; i < sq_mechanism_count() && status == SQ_OK; i++) status = try_budgets(&c, i, &all, error);
    for (int s = 0; c.exact && s < set->count; s++) sq__free(c.exact[s]);
    sq__free(c.exact);
    if (status != SQ_OK) {
        sq__free(all.rows);
        return status;
    }
    *rows = all.rows;
    *count = all.count;
    return SQ_OK;
}

void sq_approximations_clear(sq_approximation **rows)
{
    if (!rows) return;
    sq__free(*rows);
    *rows = NULL;
}
