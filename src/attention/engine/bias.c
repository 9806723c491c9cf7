#include "attention/engine/bias.h"

#include <math.h>
#include <stdlib.h>

static const float log2_e = 1.44269504088896340736f;

bool sq__head_bias(const sq_run *run, const sq_head *head, sq_bias *bias)
{
    const sq_problem *p = run->problem;
    const int64_t width = 2 * p->bias_distance + 1;
    *bias = (sq_bias){ .distance = p->bias_distance };
    if (p->bias == SQ_BIAS_ALIBI) bias->slope = (float)exp2(-8.0 * (double)(head->h + 1) / (double)p->H);
    if (p->bias == SQ_BIAS_RELATIVE) {
        bias->table = run->call->tensors[run->bias_tensor] + head->h * width;
        bias->dtable = run->bias_sums ? run->bias_sums + (head->b * p->H + head->h) * width : NULL;
    }
    return p->bias != SQ_BIAS_NONE;
}

static int64_t place(const sq_places *places, int64_t i)
{
    return places->rows ? places->rows[i] : places->first + i * places->step;
}

static int64_t clip(int64_t x, int64_t most)
{
    return x < -most ? -most : x > most ? most : x;
}

void sq__bias_add(const sq_bias *bias, float *s, int64_t row, const sq_places *queries, const sq_places *keys)
{
    const float slope = bias->slope * log2_e;
    for (int64_t j = 0; j < keys->count; j++, s += row) {
        const int64_t key = place(keys, j);
        if (bias->table)
            for (int64_t i = 0; i < queries->count; i++) s[i] += log2_e * bias->table[bias->distance + clip(key - place(queries, i), bias->distance)];
        else if (queries->rows)
            for (int64_t i = 0; i < queries->count; i++) s[i] -= slope * (float)llabs(key - queries->rows[i]);
        else
            for (int64_t i = 0; i < queries->count; i++) s[i] -= slope * fabsf((float)(key - queries->first - i * queries->step));
    }
}

void sq__bias_gradient(const sq_bias *bias, const float *ds, int64_t row, float factor, const sq_places *queries, const sq_places *keys)
{
    if (!bias->dtable) return;
    for (int64_t j = 0; j < keys->count; j++, ds += row) {
        const int64_t key = place(keys, j);
        for (int64_t i = 0; i < queries->count; i++)
            bias->dtable[bias->distance + clip(key - place(queries, i), bias->distance)] += (double)(factor * ds[i]);
    }
}
