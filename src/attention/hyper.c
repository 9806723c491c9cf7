/* HyperAttention (arXiv:2310.05869): pairs that hashing brings together exactly, the others by a sample.
 *   out_i = sum_j w_ij exp(s_ij) v_j / sum_j w_ij exp(s_ij),  s_ij = scale q_i . k_j
 *   w_ij = 1 for keys of i's block, n / m for the m keys sampled of all n, outside of the block, else 0
 * q [T,D]; k [N,D]; v [N,M]. O(n (block + samples) (D + M)) time, O(n) memory; causal: times log(n / block). Saves two numbers of each row.
 *
 * Blocks: rows are hashed by `bits` hyperplanes and sorted by their codes in the order of Gray, where neighbours differ in one bit (the
 * paper's Hamming-sorted LSH); the keys are cut into blocks of at most `block`, as even as can be, and query block i meets key block i.
 * The m keys are drawn without repetition from (seed, step, entry, head), so with samples >= n the result is exact attention.
 * What is hashed, sorted and sampled is constant for the gradient. The planes are drawn once and kept with the model.
 *
 * Causal: the paper's halving. Rows meet those before them in their leaf of `block` rows exactly, and for every level the even piece of
 * block 2^level rows before their odd one as above, all in one softmax. Here a query takes the block around its own bucket's keys: its place
 * among the queries would depend on later ones. The pieces do not depend on the length, so a row depends on nothing after it.
 *
 * Departures from the paper: the sample is uniform for values as for the denominator (as in the authors' code), not by the norms of v. From
 * that code: sampling without repetition; blocks of any length; causal as said. Rows that see no key listed give zeros. */
#include "attention/hyper.h"

#include "attention/engine/hash.h"

static const sq_field fields[] = {
    SQ_INT(sq_hyper_config, bits, "7", 1, 16, "hyperplanes that hash queries and keys"),
    SQ_INT(sq_hyper_config, block, "256", 1, 1 << 30, "most keys that a query meets exactly"),
    SQ_INT(sq_hyper_config, samples, "256", 0, 1 << 30, "keys sampled for all others"),
    SQ_BOOL(sq_hyper_config, resample, "true", "sample keys anew at every step of training"),
    SQ_FIELDS_END
};

static int tensors(const void *data, const sq_problem *p, sq_attention_tensor *infos)
{
    const sq_hyper_config *config = data;
    if (infos) infos[0] = (sq_attention_tensor){ "planes", 2, { config->bits, p->D }, false };
    return 1;
}

static sq_status tensor_init(const void *data, const sq_problem *p, int index, uint64_t seed, uint64_t draw, float *out)
{
    const sq_hyper_config *config = data;
    const sq_random random = sq__random_stream(seed, "hyper.planes", draw);
    (void)index;
    sq__random_normal_fill(&random, out, config->bits * p->D, 1);
    return SQ_OK;
}

/* ---- the pattern ---- */

typedef struct scratch {
    sq_sparse_run runs[2];
    int32_t low[SQ_SPARSE_QUERIES], high[SQ_SPARSE_QUERIES];
} scratch;

/* After it: rows of the sampled keys, and what is added to their scores. */
static size_t scratch_bytes(const sq_hyper_config *config, int64_t N)
{
    const int64_t samples = config->samples < N ? config->samples : N;
    return sq__align_up(sizeof(scratch)) + sq__align_up((size_t)samples * sizeof(int32_t)) + (size_t)(samples * SQ_SPARSE_QUERIES) * sizeof(float);
}

/* Rows of a leaf: all keys before the tile, then those up to each row. */
static void leaf_tile(const sq_hyper_pairs *s, const sq_hyper_tile *t, scratch *to, sq_sparse_tile *tile)
{
    const int64_t first = t->query_first < s->N ? t->query_first : s->N, end = first + t->query_count < s->N ? first + t->query_count : s->N;
    for (int32_t c = 0; c < t->query_count; c++) to->low[c] = 0, to->high[c] = t->query_first + c + 1;
    to->runs[0] = (sq_sparse_run){ .keys = { .count = first > t->key_first ? first - t->key_first : 0, .first = t->key_first, .step = 1 } };
    to->runs[1] = (sq_sparse_run){ .keys = { .count = end - first, .first = first, .step = 1 }, .low = to->low, .high = to->high };
    *tile = (sq_sparse_tile){ .queries = { .count = t->query_count, .first = t->query_first, .step = 1 }, .run_count = 2, .runs = to->runs };
}

static void node_tile(const sq_hyper_pairs *s, const sq_hyper_tile *t, scratch *to, sq_sparse_tile *tile)
{
    const sq_hyper_node *node = &s->nodes[t->node];
    sq_cut piece = { (char *)to + sq__align_up(sizeof *to), 0 };
    int32_t *rows = sq__cut(&piece, (size_t)(s->config->samples < s->N ? s->config->samples : s->N) * sizeof *rows);
    float *add = (float *)(piece.base + piece.used);
    int64_t count = 0;
    for (int32_t x = 0; x < node->sample_count; x++) {
        const int32_t place = s->samples[node->sample_first + x];
        if (place < t->key_first || place >= t->key_first + t->key_count) rows[count++] = s->keys[place];
    }
    for (int64_t x = 0; node->weight != 0 && x < count * SQ_SPARSE_QUERIES; x++) add[x] = node->weight;
    to->runs[0] = (sq_sparse_run){ .keys = { .count = t->key_count, .rows = s->keys + t->key_first } };
    to->runs[1] = (sq_sparse_run){ .keys = { .count = count, .rows = rows }, .add = node->weight != 0 ? add : NULL };
    *tile = (sq_sparse_tile){ .queries = { .count = t->query_count, .rows = s->queries + t->query_first }, .run_count = 2, .runs = to->runs };
}

static void fill_tile(const void *context, int64_t index, void *memory, sq_sparse_tile *tile)
{
    const sq_hyper_pairs *s = context;
    const sq_hyper_tile *t = &s->tiles[index];
    if (t->node < 0) leaf_tile(s, t, memory, tile);
    else node_tile(s, t, memory, tile);
}

static size_t make(const sq_pattern_at *at, void *memory, sq_sparse_pattern *pattern)
{
    const sq_hyper_config *config = at->config;
    const int64_t T = at->T, N = at->N, block = config->block < (T > N ? T : N) ? config->block : T > N ? T : N;
    sq_cut piece = { memory, 0 };
    sq_hyper_pairs *kept = sq__cut(&piece, sizeof *kept);
    sq_hyper_pairs pairs = sq__hyper_cut(&piece, config, T, N, at->problem->D, at->problem->causal);
    if (memory) {
        const sq_head head = sq__head(at->run, at->b, at->h);
        sq__hyper_build(&pairs, at->run, &head);
        *kept = pairs;
    }
    *pattern = (sq_sparse_pattern){ .context = kept, .tiles = pairs.tile_count, .tile = fill_tile, .scratch_bytes = scratch_bytes(config, N),
                                    .most_keys = block + (config->samples < N ? config->samples : N), .once = !at->problem->causal };
    return piece.used;
}

/* ---- running ---- */

static void sizes(const void *config, const sq_problem *p, sq_sizes *out) { sq__pattern_sizes(make, config, p, out); }

/* As if every tile were full: the pairs depend on the data. */
static double flops(const void *data, const sq_problem *p, sq_pass pass)
{
    const sq_hyper_config *config = data;
    const double T = (double)p->T, N = (double)p->N, block = (double)(config->block < p->N ? config->block : p->N);
    const double samples = (double)(config->samples < p->N - (int64_t)block ? config->samples : p->N - (int64_t)block);
    double pairs = T * (block + samples);
    if (p->causal) {
        pairs = T * (block + 1) / 2;
        for (int64_t size = config->block; size < p->T; size *= 2)
            pairs += T / 2 * (block + (samples < (double)size - block ? samples : (double)size - block));
    }
    const double hashing = 2 * (T + N) * (double)(p->D * config->bits), products = pass == SQ_FORWARD ? p->D + p->M : 3 * p->D + 2 * p->M;
    return (double)(p->B * p->H) * (2 * pairs * products + hashing);
}

static void forward(const sq_run *run) { sq__pattern_forward_heads(make, run); }
static void backward(const sq_run *run) { sq__pattern_backward_heads(make, run); }

const sq_attention_kind sq__attention_hyper = {
    .name = "hyper", .title = "HyperAttention: hashed blocks and a sample", .paper = "arXiv:2310.05869",
    .cost = "O(n) time (causal: O(n log n)), O(n) memory",
    .can = SQ_CAN_CAUSAL | SQ_CAN_CROSS | SQ_CAN_LENGTHS | SQ_CAN_MASK | SQ_CAN_KEY_MASK | SQ_CAN_GROUPED | SQ_CAN_BIAS | SQ_CAN_ROTARY,
    .fields = fields, .config_size = sizeof(sq_hyper_config), .tensors = tensors, .tensor_init = tensor_init, .sizes = sizes, .flops = flops,
    .forward = forward, .backward = backward,
};
