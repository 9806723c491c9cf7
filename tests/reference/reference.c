#include "reference/reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const reference_row *const rows[] = {
    &reference_softmax_row,
    &reference_linformer,
    &reference_performer,
    &reference_linear,
    &reference_rfa,
    &reference_cosformer,
    &reference_nystromformer,
    &reference_infinite_former,
    &reference_sinkhorn,
    &reference_routing,
    &reference_reformer,
    &reference_sliding_window,
    &reference_longformer,
    &reference_sparse_transformer,
    &reference_aft,
    &reference_synthesizer,
    &reference_set_transformer,
    &reference_long_short,
    &reference_bigbird,
    &reference_clustered,
    &reference_improved_clustered,
    &reference_probsparse,
    &reference_hyper,
    &reference_space_time,
    &reference_axial,
    &reference_local_2d,
    &reference_longnet,
    &reference_fastformer,
    &reference_memory_compressed,
    &reference_retention,
    &reference_gated_linear,
    &reference_delta_rule,
    &reference_gated_delta_rule,
    &reference_ssd,
    &reference_wkv,
};

const reference_row *reference_find(const char *mechanism)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(rows[i]->mechanism, mechanism) == 0) return rows[i];
    return NULL;
}

const char *reference_option(const reference_case *at, const char *name)
{
    const int mechanism = sq_mechanism_find(at->mechanism);
    sq_option_info info;
    for (int i = at->option_count - 1; i >= 0; i--)
        if (strcmp(at->options[i].key, name) == 0) return at->options[i].value;
    for (int i = 0; sq_mechanism_option(mechanism, i, &info) == SQ_OK; i++)
        if (strcmp(info.name, name) == 0) return info.default_text;
    return "";
}

double reference_number(const reference_case *at, const char *name)
{
    return strtod(reference_option(at, name), NULL);
}

bool reference_is(const reference_case *at, const char *name, const char *value)
{
    return strcmp(reference_option(at, name), value) == 0;
}

static int64_t most(const int32_t *lengths, int64_t b, int64_t all)
{
    return lengths && lengths[b] < all ? lengths[b] : all;
}

int64_t reference_rows(const reference_case *at, int64_t b)
{
    return most(at->query_lengths, b, at->T);
}

int64_t reference_keys(const reference_case *at, int64_t b)
{
    return most(at->lengths, b, at->N);
}

bool reference_sees(const reference_case *at, int64_t b, int64_t i, int64_t j)
{
    if (i >= reference_rows(at, b) || j >= reference_keys(at, b) || (at->causal && j > i)) return false;
    return !(at->key_keep && !at->key_keep[b * at->N + j]) && !(at->pair_keep && !at->pair_keep[i * at->N + j]);
}

bool reference_is_global(const reference_case *at, int64_t b, int64_t i)
{
    return at->global_tokens && i < reference_keys(at, b) && at->global_tokens[b * at->N + i];
}

double reference_bias(const reference_case *at, int64_t i, int64_t j, int64_t h)
{
    const int64_t most_ = at->bias_distance, away = j - i;
    if (at->bias == SQ_BIAS_ALIBI) return -pow(2, -8.0 * (double)(h + 1) / (double)at->H) * fabs((double)away);
    if (at->bias == SQ_BIAS_RELATIVE) return at->bias_table[h * (2 * most_ + 1) + most_ + (away < -most_ ? -most_ : away > most_ ? most_ : away)];
    return 0;
}

static const double *row(const double *data, int64_t b, int64_t rows_, int64_t i, int64_t heads, int64_t h, int64_t width)
{
    return data + ((b * rows_ + i) * heads + h) * width;
}

const double *reference_q(const reference_case *at, int64_t b, int64_t i, int64_t h)
{
    return row(at->q, b, at->T, i, at->H, h, at->D);
}

const double *reference_k(const reference_case *at, int64_t b, int64_t j, int64_t h)
{
    return row(at->k, b, at->N, j, at->Hk, h / (at->H / at->Hk), at->D);
}

const double *reference_v(const reference_case *at, int64_t b, int64_t j, int64_t h)
{
    return row(at->v, b, at->N, j, at->Hk, h / (at->H / at->Hk), at->M);
}

double *reference_out(const reference_case *at, int64_t b, int64_t i, int64_t h)
{
    return (double *)(uintptr_t)row(at->out, b, at->T, i, at->H, h, at->M);
}

const double *reference_input(const reference_case *at, int index, int64_t b, int64_t rows_, int64_t i, int64_t h, int64_t width)
{
    return row(at->inputs[index], b, rows_, i, at->H, h, width);
}
