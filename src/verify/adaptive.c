#include "verify/adaptive.h"

#include <math.h>

static int cluster_of(const sq_adaptive *a, int32_t word)
{
    int cluster = 0;
    while (word >= a->ends[cluster + 1]) cluster++;
    return cluster;
}

/* Output projections of the later clusters are the embedding's (tied); that of the shortlist is its own. */
static bool read_cluster(sq_module *m, sq_adaptive *a, int i, bool projected)
{
    sq_golden *golden = m->golden;
    const int64_t words = a->ends[i + 1] - a->ends[i];
    a->table[i] = sq__module_input(m, sq__golden_numbered(golden, "param.word_emb.emb_layers.%d.weight", i), SQ_SHAPE(words, SQ_ANY));
    a->bias[i] = sq__module_input(m, sq__golden_numbered(golden, "param.crit.out_layers.%d.bias", i), SQ_SHAPE(words));
    if (!a->table[i] || !projected) return a->table[i] && a->bias[i];
    a->in[i] = sq__module_input(m, sq__golden_numbered(golden, "param.word_emb.emb_projs.%d", i), SQ_SHAPE(a->width, a->table[i]->shape[1]));
    a->out[i] = i ? a->in[i] : sq__module_input(m, "param.crit.out_projs.0", SQ_SHAPE(a->width, a->table[0]->shape[1]));
    return sq__module_going(m);
}

bool sq__adaptive_read(sq_module *m, sq_adaptive *a, int64_t width)
{
    sq_golden *golden = m->golden;
    const int64_t vocabulary = sq__golden_count(golden, "vocab", -1), division = sq__golden_count(golden, "div_val", 1);
    *a = (sq_adaptive){ .count = 1, .width = width };
    for (double end; a->count < ADAPTIVE_CLUSTERS; a->count++) {
        char key[24];
        snprintf(key, sizeof key, "cutoffs[%d]", a->count - 1);
        end = sq__golden_number(golden, key, -1);
        if (end < 0) break;
        a->ends[a->count] = (int64_t)end;
    }
    a->ends[a->count] = vocabulary;
    for (int i = 0; i < a->count; i++)
        if (a->ends[i] >= a->ends[i + 1]) sq__golden_fail(golden, "cutoffs do not rise to the size of the vocabulary, %lld", (long long)vocabulary);
    bool read = sq__golden_going(golden);
    for (int i = 0; read && i < a->count; i++) read = read_cluster(m, a, i, division > 1);
    if (!read || a->count == 1) return read;
    a->cluster_weight = sq__module_input(m, "param.crit.cluster_weight", SQ_SHAPE(a->count - 1, a->table[0]->shape[1]));
    a->cluster_bias = sq__module_input(m, "param.crit.cluster_bias", SQ_SHAPE(a->count - 1));
    return sq__module_going(m);
}

sq_var *sq__adaptive_embed(sq_module *m, const sq_adaptive *a, const int32_t *ids, int64_t T, int64_t B)
{
    sq_var *sum = NULL;
    for (int64_t r = 0; r < T * B; r++)
        if (ids[r] < 0 || ids[r] >= a->ends[a->count]) {
            sq__golden_fail(m->golden, "a word is %d; expected 0 to %lld", ids[r], (long long)a->ends[a->count] - 1);
            return NULL;
        }
    for (int i = 0; i < a->count; i++) {
        int32_t *own = sq__golden_memory(m->golden, T * B, sizeof *own);
        for (int64_t r = 0; own && r < T * B; r++) own[r] = cluster_of(a, ids[r]) == i ? ids[r] - (int32_t)a->ends[i] : -1;
        if (!own) return NULL;
        sq_var *rows = sq__embedding(m->tape, a->table[i], own, 2, (const int64_t[]){ T, B });
        if (a->in[i]) rows = sq__linear(m->tape, rows, a->in[i], NULL);
        sum = sum ? sq__add(m->tape, sum, rows) : rows;
    }
    return sq__scale(m->tape, sum, sqrtf((float)a->width));
}

static sq_var *logits(sq_module *m, const sq_adaptive *a, sq_var *hidden, int i)
{
    if (a->out[i]) hidden = sq__matmul(m->tape, hidden, a->out[i]);
    sq_var *own = sq__linear(m->tape, hidden, a->table[i], a->bias[i]);
    if (i || a->count == 1) return own;
    return sq__concatenate(m->tape, (sq_var *[]){ own, sq__linear(m->tape, hidden, a->cluster_weight, a->cluster_bias) }, 2);
}

sq_var *sq__adaptive_loss(sq_module *m, const sq_adaptive *a, sq_var *hidden, const int32_t *targets, const float *g, float *nll)
{
    sq_golden *golden = m->golden;
    sq_var *loss = NULL, *log_p[ADAPTIVE_CLUSTERS];
    float *weights[ADAPTIVE_CLUSTERS];     /* of each log-probability in the loss */
    const int64_t rows = hidden ? hidden->shape[0] : 0;
    for (int i = 0; i < a->count; i++) {
        log_p[i] = sq__log_softmax(m->tape, logits(m, a, hidden, i));
        weights[i] = log_p[i] ? sq__golden_room(golden, log_p[i]->count) : NULL;
        if (!weights[i]) return NULL;
    }
    int64_t at = 0;                        /* in the files, words of cluster 0 come first, then those of cluster 1, ... */
    for (int i = 0; i < a->count; i++)
        for (int64_t r = 0; r < rows; r++) {
            if (targets[r] < 0 || targets[r] >= a->ends[a->count]) sq__golden_fail(golden, "a target is %d", targets[r]);
            if (!sq__golden_going(golden)) return NULL;
            if (cluster_of(a, targets[r]) != i) continue;
            const int64_t head = log_p[0]->shape[1], tail = r * log_p[i]->shape[1] + targets[r] - a->ends[i];
            nll[at] = -log_p[i]->value[tail];
            weights[i][tail] -= g[at];
            if (i) {
                nll[at] -= log_p[0]->value[(r + 1) * head - i];   /* clusters are counted from the end */
                weights[0][(r + 1) * head - i] -= g[at];
            }
            at++;
        }
    for (int i = 0; i < a->count; i++) {
        sq_var *part = sq__sum(m->tape, sq__multiply(m->tape, log_p[i], sq__module_values(m, 2, log_p[i]->shape, weights[i], false)));
        loss = loss ? sq__add(m->tape, loss, part) : part;
    }
    return loss;
}
