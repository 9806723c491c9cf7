/* informer: ProbSparse attention and the layer around it; how it maps onto the mechanism is said in attention/probsparse.c. The measure and
 * the chosen queries are compared, too. */
#include <string.h>

#include "attention/probsparse.h"
#include "verify/families.h"
#include "verify/heads.h"

typedef struct sampled { int64_t B, H, T, N, D, samples; const float *table; } sampled;   /* table [N, samples] */

/* Rows of a query each, as the mechanism's tensor has a row for each position that a key may have. */
static void read_samples(sq_golden *golden, sampled *s)
{
    const sq_st_tensor *tensor = sq__golden_tensor(golden, "index_sample", SQ_SHAPE(s->T, SQ_ANY));
    const int32_t *keys = tensor ? sq__golden_ints(golden, "index_sample", SQ_SHAPE(s->T, SQ_ANY)) : NULL;
    if (!keys) return;
    if (s->T > s->N) sq__golden_skip(golden, "samples for more queries than keys are unknown to this build");
    s->samples = tensor->shape[1];
    float *table = sq__golden_room(golden, s->N * s->samples);
    for (int64_t i = 0; table && i < s->T * s->samples; i++) {
        if (keys[i] < 0 || keys[i] >= s->N) sq__golden_fail(golden, "index_sample holds %d; expected 0 to %lld", keys[i], (long long)(s->N - 1));
        table[i] = (float)keys[i];
    }
    s->table = table;
}

/* q and k of head (b, h): at(b, h) and rows apart. */
typedef struct rows { const float *at; int64_t batch, head, row; } rows;

static void check_choice(sq_golden *golden, const sampled *s, const rows *q, const rows *k)
{
    const sq_st_tensor *chosen = sq__golden_tensor(golden, "top_index_sorted", SQ_SHAPE(s->B, s->H, SQ_ANY));
    const int32_t *theirs = chosen ? sq__golden_ints(golden, "top_index_sorted", SQ_SHAPE(s->B, s->H, SQ_ANY)) : NULL;
    float *measure = sq__golden_room(golden, s->B * s->H * s->T), *value = chosen ? sq__golden_room(golden, chosen->shape[2]) : NULL;
    void *workspace = sq__golden_memory(golden, (int64_t)sq__probsparse_workspace(s->T, s->N, s->D, s->samples), 1);
    int32_t *ours = chosen ? sq__golden_memory(golden, chosen->shape[2], sizeof *ours) : NULL;
    for (int64_t head = 0; sq__golden_going(golden) && head < s->B * s->H; head++) {
        const sq_probsparse_measure m = {
            .T = s->T, .N = s->N, .D = s->D, .samples = s->samples, .scale = 1, .convention = SQ_PROBSPARSE_INFORMER,
            .q = q->at + head / s->H * q->batch + head % s->H * q->head, .k = k->at + head / s->H * k->batch + head % s->H * k->head,
            .q_row = q->row, .k_row = k->row, .table = s->table, .rows = s->N, .columns = s->samples,
        };
        sq_largest largest = { chosen->shape[2], 0, value, ours };
        sq__probsparse_measure(&m, sq__kernels(), measure + head * s->T, workspace);
        sq__largest_offer(&largest, measure + head * s->T, s->T, 0);
        sq__largest_sort(&largest);
        for (int64_t i = 0; i < chosen->shape[2]; i++)
            if (i >= largest.count || ours[i] != theirs[head * chosen->shape[2] + i])
                sq__golden_fail(golden, "top_index_sorted of head %lld differs from this build's choice at number %lld", (long long)head, (long long)i);
    }
    sq__golden_compare(golden, "M", measure, s->B * s->H * s->T);
}

static void run_core(sq_golden *golden)
{
    const sq_st_tensor *q = sq__golden_tensor(golden, "q", SQ_SHAPE(SQ_ANY, SQ_ANY, SQ_ANY, SQ_ANY));
    const sq_st_tensor *k = q ? sq__golden_tensor(golden, "k", SQ_SHAPE(q->shape[0], q->shape[1], SQ_ANY, q->shape[3])) : NULL;
    if (!k) return;
    sampled s = { .B = q->shape[0], .H = q->shape[1], .T = q->shape[2], .N = k->shape[2], .D = q->shape[3] };
    read_samples(golden, &s);
    const rows queries = { sq__golden_floats(golden, "q", q->rank, q->shape), s.H * s.T * s.D, s.T * s.D, s.D };
    const rows keys = { sq__golden_floats(golden, "k", k->rank, k->shape), s.H * s.N * s.D, s.N * s.D, s.D };
    sq_core core = { .desc = { .mechanism = "probsparse", .max_length = s.N }, .tensor_count = 1 };
    core.tensors[0] = (sq_core_tensor){ s.table, s.N * s.samples, NULL };
    sq__core_option(&core, "convention", "informer");
    sq__core_option(&core, "resample", "false");
    sq__core_option(&core, "factor", sq__golden_digits(golden, sq__golden_count(golden, "factor", -1)));
    sq__core_option(&core, "pseudo_causal", sq__golden_flag(golden, "causal", false) ? "true" : "false");
    if (sq__golden_going(golden)) check_choice(golden, &s, &queries, &keys);
    if (sq__golden_going(golden)) sq__core_run(golden, &core);
}

/* [B,T,H*M] -> [B,H,T,M] in the memory of [B,T,H*M]: the reference mixes heads into the sequence. */
static sq_var *mix(sq_heads *h, sq_var *y)
{
    sq_tape *tape = h->module.tape;
    const int64_t B = h->desc.B, T = h->desc.T, H = h->desc.H, M = h->desc.M;
    if (y) y = sq__transpose(tape, y);
    if (y) y = sq__reshape(tape, y, 3, (const int64_t[]){ T, B * H, M });
    if (y) y = sq__transpose(tape, y);
    return y ? sq__reshape(tape, y, 3, (const int64_t[]){ B, T, H * M }) : NULL;
}

static void run_layer(sq_golden *golden, bool mixed)
{
    sq_heads h;
    if (sq__heads_open(&h, golden, "probsparse") && sq__heads_read(&h, true, true)) {
        sampled s = { .B = h.desc.B, .H = h.desc.H, .T = h.desc.T, .N = h.desc.N, .D = h.desc.D };
        read_samples(golden, &s);
        h.desc.max_length = s.N;
        sq__heads_option(&h, "convention", "informer");
        sq__heads_option(&h, "resample", "false");
        sq__heads_option(&h, "factor", sq__golden_digits(golden, sq__golden_count(golden, "factor", -1)));
        sq__heads_option(&h, "pseudo_causal", sq__golden_flag(golden, "causal", false) ? "true" : "false");
        h.tensors[h.tensor_count++] = sq__module_values(&h.module, SQ_SHAPE(s.N, s.samples), s.table, false);
        const rows queries = { h.q->value, s.T * s.H * s.D, s.D, s.H * s.D }, keys = { h.k->value, s.N * s.H * s.D, s.D, s.H * s.D };
        if (sq__golden_going(golden)) check_choice(golden, &s, &queries, &keys);
        sq_var *y = sq__heads_attend(&h);
        sq__heads_finish(&h, mixed ? mix(&h, y) : y);
    }
    sq__heads_close(&h);
}

void sq__family_informer(sq_golden *golden)
{
    const char *variant = sq__golden_text(golden, "variant", NULL);
    if (sq__golden_starts(variant, "large_")) variant += strlen("large_");
    if (sq__golden_variant(variant, "masked_") || sq__golden_variant(variant, "unmasked_")) run_core(golden);
    else if (sq__golden_variant(variant, "layer_mix_")) run_layer(golden, true);
    else if (sq__golden_variant(variant, "layer_")) run_layer(golden, false);
    else sq__golden_skip(golden, "variant '%.80s' is unknown to this build", variant);
}
