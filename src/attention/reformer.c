/* Reformer (arXiv:2001.04451): attention inside buckets of a locality-sensitive hash, query and key being one vector.
 *   k_j = q_j / |q_j|;  h_t(i) = argmax [q_i R_t, -q_i R_t];  out_i = sum_j exp(s_ij - z_i) v_j over the union of the rounds' targets,
 *   s_ij = scale q_i . k_j, -1e5 where j = i (a row attends to itself only when it has no other target: then exactly, out = v)
 *   targets of i in round t: j with h_t(j) = h_t(i) in i's chunk of `block` places in the order by (bucket, row) or those beside it
 * q [T,D] (keys are its rows: k is ignored), v [T,M]; rotations [H or 1, D, rounds, columns]. One softmax over all rounds is the
 * paper's combination by log-sum-exp; a pair met in N rounds counts once (its score less log N).
 * O(rounds n block (D + M)) time and O(rounds n) memory beside the rows: hashing more than 128 buckets takes two factors.
 *
 * Departures from the paper: sequences no longer than one chunk are attended exactly; hidden keys (lengths, masks) keep their places
 * in the order, and rows whose only key is hidden give zeros. Which earlier keys a causal row meets depends on how later rows
 * hash, since they move the chunks: no value of theirs enters, in any known implementation likewise. Hashes are constants of the gradient.
 *
 *   reference              options beside convention
 *   huggingface  hf_       across_buckets=true duplicates=true, scale 1 (its unit keys are not scaled again); hidden rows in a last bucket of
 *                          their own; |q|^2 + 1e-6 D in the length of keys; chunks are neighbours around the ends and from round to round
 *   lucidrains   luci_     across_buckets=true (attend_across_buckets), duplicates=true (allow_duplicate_attention); buckets and block as
 *                          the file says; neighbours as above; a short sequence is hashed, too; -5e4 for oneself; pairs that meet only
 *                          from one round to the next count 1e-9 times where duplicates are corrected; rows hidden by a mask see themselves
 */
#include "attention/reformer.h"

#include <string.h>

#include "attention/engine/normalise.h"
#include "base/random.h"

/* ---- options ---- */

static const char *const conventions[] = { "paper", "huggingface", "lucidrains", NULL };

static const sq_field reformer_fields[] = {
    SQ_INT(sq_reformer_config, rounds, "4", 1, SQ_REFORMER_ROUNDS, "hash rounds"),
    SQ_INT(sq_reformer_config, block, "64", 1, 1048576, "places of a chunk"),
    SQ_INT(sq_reformer_config, buckets, "0", 0, 65536, "buckets of a round, even; 0: two per chunk, as two factors above 128"),
    SQ_INT(sq_reformer_config, buckets2, "0", 0, 65536, "even: a second hash, whose buckets multiply the first's; 0: none"),
    SQ_INT(sq_reformer_config, before, "1", 0, 64, "chunks met before one's own"),
    SQ_INT(sq_reformer_config, after, "0", 0, 64, "chunks met after one's own"),
    SQ_BOOL(sq_reformer_config, across_buckets, "false", "meet the whole of a chunk, not one's bucket alone"),
    SQ_BOOL(sq_reformer_config, duplicates, "false", "a pair met in several rounds counts as often"),
    SQ_BOOL(sq_reformer_config, per_head, "true", "rotations for each head"),
    SQ_CHOICE(sq_reformer_config, convention, "paper", conventions, "the paper's rules, or a public implementation's"),
    SQ_FIELDS_END
};

/* ---- validate ---- */

static sq_status reformer_validate(const void *data, const sq_problem *p, sq_error *error)
{
    const sq_reformer_config *config = data;
    const int64_t second = config->buckets2 ? config->buckets2 : 1;
    if (config->buckets % 2 || config->buckets2 % 2 || (config->buckets2 && !config->buckets))
        return sq__fail(error, SQ_INVALID, "reformer: buckets %lld and buckets2 %lld; expected even numbers, the second only with the first",
                        (long long)config->buckets, (long long)config->buckets2);
    if (config->buckets * second > 1 << 24 || p->T > INT32_MAX / config->rounds)
        return sq__fail(error, SQ_UNSUPPORTED, "reformer: %lld buckets, %lld rounds of %lld rows; expected at most 16777216 and 2147483647 in all",
                        (long long)(config->buckets * second), (long long)config->rounds, (long long)p->T);
    if (config->convention == SQ_REFORMER_LUCIDRAINS && (config->before != 1 || config->after != 0))
        return sq__fail(error, SQ_UNSUPPORTED, "reformer: convention lucidrains looks one chunk back; expected before 1 and after 0");
    return SQ_OK;
}

static unsigned reformer_ignores(const void *data)
{
    (void)data;
    return SQ_READS_KEY;
}

/* ---- tensors ---- */

static int reformer_tensors(const void *data, const sq_problem *p, sq_attention_tensor *infos)
{
    const sq_reformer_config *config = data;
    if (infos)
        infos[0] = (sq_attention_tensor){ "rotations", 4, { config->per_head ? p->H : 1, p->D, config->rounds,
                                                          sq__reformer_columns(config, p->max_length) }, false };
    return 1;
}

static sq_status reformer_tensor_init(const void *data, const sq_problem *p, int index, uint64_t seed, uint64_t draw, float *out)
{
    sq_attention_tensor info;
    reformer_tensors(data, p, &info);
    const sq_random random = sq__random_stream(seed, "reformer.rotations", draw);
    (void)index;
    sq__random_normal_fill(&random, out, info.shape[0] * info.shape[1] * info.shape[2] * info.shape[3], 1);
    return SQ_OK;
}

/* ---- one head ---- */

typedef struct layout {
    sq_reformer_chunks chunks;
    float *keys, *dkeys, *scratch;     /* [T,D] twice, [D]; the last two in backward */
    float *dout;                       /* [T,M] without the rows that see themselves alone; in backward of lucidrains */
    uint8_t *keep;                     /* [T] */
    void *hash, *engine;
} layout;

static size_t cut(const sq_reformer_config *config, const sq_problem *p, sq_pass pass, void *workspace, layout *l)
{
    sq_cut piece = { workspace, 0 };
    *l = (layout){ .chunks = sq__reformer_chunks(config, p, p->T) };
    const sq_sparse_pattern pattern = sq__reformer_pattern(&l->chunks);
    sq__reformer_cut(&l->chunks, p, &piece);
    l->keys = sq__cut_floats(&piece, p->T * p->D);
    if (pass == SQ_BACKWARD) {
        l->dkeys = sq__cut_floats(&piece, p->T * p->D);
        l->scratch = sq__cut_floats(&piece, p->D);
        l->dout = config->convention == SQ_REFORMER_LUCIDRAINS ? sq__cut_floats(&piece, p->T * p->M) : NULL;
    }
    l->keep = sq__cut(&piece, (size_t)p->T);
    l->hash = sq__cut(&piece, sq__reformer_hash_workspace(config, p));
    l->engine = sq__cut(&piece, sq__sparse_workspace(p->T, p->T, p->D, p->M, &pattern, SQ_SPARSE_MERGE, pass));
    return piece.used;
}

static size_t stats_floats(const sq_reformer_config *config, const sq_problem *p)
{
    const sq_reformer_chunks chunks = sq__reformer_chunks(config, p, p->T);
    const sq_sparse_pattern pattern = sq__reformer_pattern(&chunks);
    return sq__sparse_stats_floats(p->T, &pattern, SQ_SPARSE_MERGE);
}

static sq_normalise unit_keys(const sq_reformer_config *config, int64_t D)
{
    return (sq_normalise){ .D = D, .length = 1, .add = config->convention == SQ_REFORMER_HUGGINGFACE ? 1e-6f * (float)D : 0 };
}

/* Keys, hashes and the pattern; then the engine's call. */
static sq_sparse prepare(const sq_run *run, const sq_head *head, layout *l, sq_sparse_pattern *pattern)
{
    const sq_reformer_config *config = run->config;
    const sq_problem *p = run->problem;
    const int64_t n = head->T, index = head->b * p->H + head->h;
    const sq_normalise form = unit_keys(config, p->D);
    sq_attention_tensor info;
    reformer_tensors(config, p, &info);
    const float *rotations = run->call->tensors[0] + (config->per_head ? head->h * info.shape[1] * info.shape[2] * info.shape[3] : 0);
    const bool hides = head->key_keep || head->N < n;
    sq_reformer_chunks chunks = sq__reformer_chunks(config, p, n);
    chunks.bucket = l->chunks.bucket, chunks.order = l->chunks.order, chunks.start = l->chunks.start, chunks.chunk = l->chunks.chunk;
    l->chunks = chunks;
    for (int64_t i = 0; hides && i < n; i++) l->keep[i] = i < head->N && (!head->key_keep || head->key_keep[i]);
    sq__normalise(&form, head->q, head->q_row, n, l->keys, run->kernels);
    sq__reformer_sort(&l->chunks, rotations, head->q, head->q_row, hides ? l->keep : NULL, l->hash);
    *pattern = sq__reformer_pattern(&l->chunks);
    return (sq_sparse){
        .T = n, .N = n, .D = p->D, .M = p->M, .scale = p->scale, .mode = SQ_SPARSE_MERGE, .pattern = pattern,
        .q = head->q, .k = l->keys, .v = head->v, .q_row = head->q_row, .k_row = p->D, .v_row = head->v_row,
        .key_keep = hides ? l->keep : NULL, .pair_keep = head->pair_keep, .pair_row = p->N,
        .has_self_score = true, .self_score = config->convention == SQ_REFORMER_LUCIDRAINS ? -5e4f : -1e5f,
        .out = head->out, .out_row = head->out_row,
        .stats = run->call->saved ? (float *)run->call->saved + (size_t)index * stats_floats(config, p) : NULL,
    };
}

/* lucidrains: a row that a mask hides attends to itself, so long as the entry has a visible key. */
static bool alone(const sq_run *run, const sq_head *head, int64_t row)
{
    const sq_reformer_config *config = run->config;
    return config->convention == SQ_REFORMER_LUCIDRAINS && head->key_keep && row < head->N && !head->key_keep[row];
}

static bool sees_any(const sq_head *head)
{
    for (int64_t j = 0; j < head->N && j < head->T; j++)
        if (!head->key_keep || head->key_keep[j]) return true;
    return false;
}

/* ---- sizes ---- */

static void reformer_sizes(const void *data, const sq_problem *p, sq_sizes *sizes)
{
    layout l;
    sizes->forward_workspace = cut(data, p, SQ_FORWARD, NULL, &l) * (size_t)p->threads;
    sizes->backward_workspace = cut(data, p, SQ_BACKWARD, NULL, &l) * (size_t)p->threads;
    sizes->saved = (size_t)(p->B * p->H) * stats_floats(data, p) * sizeof(float);
}

static double reformer_flops(const void *data, const sq_problem *p, sq_pass pass)
{
    const sq_reformer_config *config = data;
    const sq_reformer_chunks c = sq__reformer_chunks(config, p, p->T);
    const double n = (double)p->T, D = (double)p->D, M = (double)p->M;
    const double met = (double)((config->before + 1 + config->after) * config->block), hash = c.buckets == 1 ? 0 : n * D * (double)sq__rotation_columns(&c.hash);
    return 2 * (double)(p->B * p->H * c.rounds) * (hash + n * (met < n ? met : n) * (pass == SQ_FORWARD ? D + M : 3 * D + 2 * M));
}

/* ---- forward ---- */

static void forward_head(const sq_run *run, const sq_head *head)
{
    layout l;
    sq_sparse_pattern pattern;
    if (head->T == 0) return;
    cut(run->config, run->problem, SQ_FORWARD, head->workspace, &l);
    const sq_sparse sparse = prepare(run, head, &l, &pattern);
    sq__sparse_forward(&sparse, run->kernels, l.engine);
    for (int64_t i = 0; sees_any(head) && i < head->T; i++)
        if (alone(run, head, i)) memcpy(head->out + i * head->out_row, head->v + i * head->v_row, (size_t)run->problem->M * sizeof(float));
}

static void reformer_forward(const sq_run *run)
{
    layout l;
    sq__for_heads(run, cut(run->config, run->problem, SQ_FORWARD, NULL, &l), forward_head);
}

/* ---- backward ---- */

static void backward_head(const sq_run *run, const sq_head *head)
{
    const sq_problem *p = run->problem;
    layout l;
    sq_sparse_pattern pattern;
    if (head->dk && !head->accumulate) sq__zero_rows(head->dk, head->dk_row, 0, head->N, p->D);
    if (!head->accumulate) sq__zero_rows(head->dv, head->dv_row, head->T, head->N, p->M);
    if (head->T == 0) return;
    cut(run->config, p, SQ_BACKWARD, head->workspace, &l);
    const sq_sparse sparse = prepare(run, head, &l, &pattern);
    const sq_normalise form = unit_keys(run->config, p->D);
    const bool apart = l.dout && head->key_keep && sees_any(head);
    for (int64_t i = 0; apart && i < head->T; i++)
        for (int64_t m = 0; m < p->M; m++) l.dout[i * p->M + m] = alone(run, head, i) ? 0 : head->dout[i * head->dout_row + m];
    const sq_dense_gradients gradients = { .dout = apart ? l.dout : head->dout, .dout_row = apart ? p->M : head->dout_row, .dq = head->dq, .dk = l.dkeys, .dv = head->dv,
                                           .dq_row = head->dq_row, .dk_row = p->D, .dv_row = head->dv_row, .accumulate_kv = head->accumulate };
    if (head->accumulate) sq__zero_rows(l.dkeys, p->D, 0, head->T, p->D);   /* only dv holds an earlier head's */
    sq__sparse_backward(&sparse, &gradients, run->kernels, l.engine);
    for (int64_t i = 0; apart && i < head->T; i++)
        if (alone(run, head, i)) run->kernels->axpy(head->dv + i * head->dv_row, 1, head->dout + i * head->dout_row, p->M);
    sq__normalise_backward(&form, head->q, head->q_row, head->T, l.dkeys, head->dq, head->dq_row, l.scratch, run->kernels);
}

static void reformer_backward(const sq_run *run)
{
    layout l;
    sq__for_heads(run, cut(run->config, run->problem, SQ_BACKWARD, NULL, &l), backward_head);
}

const sq_attention_kind sq__attention_reformer = {
    .name = "reformer", .title = "LSH attention", .paper = "arXiv:2001.04451", .cost = "O(rounds n block (D + M)) time, O(rounds n) memory",
    .can = SQ_CAN_CAUSAL | SQ_CAN_LENGTHS | SQ_CAN_KEY_MASK | SQ_CAN_MASK | SQ_CAN_GROUPED,
    .fields = reformer_fields, .config_size = sizeof(sq_reformer_config),
    .validate = reformer_validate, .ignores = reformer_ignores, .tensors = reformer_tensors, .tensor_init = reformer_tensor_init,
    .sizes = reformer_sizes, .flops = reformer_flops, .forward = reformer_forward, .backward = reformer_backward,
};
