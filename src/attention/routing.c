/* Routing Transformer (arXiv:2003.05997): attention inside clusters of online k-means.
 *   q_i, k_j layer-normalised (no weights); each of C means takes the w queries and the w keys with the largest products mean . x
 *   out_i = average over the clusters that took i of softmax_j(scale q_i . k_j) v_j over the cluster's keys (causal: j <= i); none: 0
 *   in training: mean = decay mean + (1 - decay) length (sum of the rows nearest to it) / |sum|;  auxiliary = commitment mean (x - its mean)^2
 * q [T,D], k [N,D], v [N,M]; means [H,C,D]; causal and not shared: memory_key [H,C,m,D], memory_value [H,C,m,M], which every row of
 * the cluster sees. O(n C (D + w) ) time with C w about n, O(n) memory beside the rows: C about sqrt(n).
 *
 * shared: keys are the queries (the paper's causal form); each cluster then has one list. Lists are constants of the gradient. Which
 * earlier rows a causal row meets depends on how later rows score, as in all known implementations; no value of theirs enters.
 *
 * Departures from the paper: results of several clusters are averaged; the sums that move the means are brought to a row's length
 * (else means shrink); causal without shared has memory (0: such a row may see nothing and gives 0); commitment is 0 unless asked for.
 * Hidden keys are not chosen, nor do they move means. A window of at least 32 rows where none is given.
 *
 * convention = lucidrains: attention takes q and k as they are (shared: unit keys, -5e4 for oneself), only the choice their directions; the
 * average divides by the number of clusters + 1e-5; hidden rows are chosen and move means, too: keys among them are unseen, queries
 * (of a mask over T = N) give the average of all values in the cluster (memory: of these; shared: their own).
 */
#include "attention/routing.h"

#include "base/random.h"

/* ---- options ---- */

static const char *const conventions[] = { "paper", "lucidrains", NULL };

static const sq_field routing_fields[] = {
    SQ_INT(sq_routing_config, clusters, "0", 0, 65536, "means; 0: the root of the longest sequence"),
    SQ_INT(sq_routing_config, window, "0", 0, 1048576, "rows that a cluster takes; 0: n / clusters, at least 32"),
    SQ_BOOL(sq_routing_config, shared, "false", "keys are the queries"),
    SQ_INT(sq_routing_config, memory, "1", 0, 64, "keys of its own for each cluster (causal, not shared)"),
    SQ_FLOAT(sq_routing_config, decay, "0.999", 0, 1, "of the means in a step of training"),
    SQ_FLOAT(sq_routing_config, commitment, "0", 0, 1000, "weight of the loss that draws rows to their means"),
    SQ_CHOICE(sq_routing_config, convention, "paper", conventions, "the paper's rules, or a public implementation's"),
    SQ_FIELDS_END
};

/* ---- validate ---- */

static sq_status routing_validate(const void *data, const sq_problem *p, sq_error *error)
{
    const sq_routing_config *config = data;
    if (config->shared && p->T != p->N)
        return sq__fail(error, SQ_UNSUPPORTED, "routing: shared keys are the queries; expected as many, not T = %lld and N = %lld", (long long)p->T,
                        (long long)p->N);
    return SQ_OK;
}

static unsigned routing_ignores(const void *data)
{
    return ((const sq_routing_config *)data)->shared ? SQ_READS_KEY : 0;
}

/* ---- tensors ---- */

static int routing_tensors(const void *data, const sq_problem *p, sq_attention_tensor *infos)
{
    const sq_routing_shape s = sq__routing_shape(data, p);
    if (infos) infos[SQ_ROUTING_MEANS] = (sq_attention_tensor){ .name = "means", .rank = 3, .shape = { p->H, s.clusters, p->D } };
    if (infos && s.memory) {
        infos[SQ_ROUTING_MEMORY_KEY] = (sq_attention_tensor){ "memory_key", 4, { p->H, s.clusters, s.memory, p->D }, .trainable = true };
        infos[SQ_ROUTING_MEMORY_VALUE] = (sq_attention_tensor){ "memory_value", 4, { p->H, s.clusters, s.memory, p->M }, .trainable = true };
    }
    return s.memory ? 3 : 1;
}

static sq_status routing_tensor_init(const void *data, const sq_problem *p, int index, uint64_t seed, uint64_t draw, float *out)
{
    static const char *const streams[] = { "routing.means", "routing.memory_key", "routing.memory_value" };
    const sq_routing_shape s = sq__routing_shape(data, p);
    const sq_random random = sq__random_stream(seed, streams[index], draw);
    const sq_normalise form = sq__routing_form(&s, p->D);
    const int64_t rows = p->H * s.clusters * (index == SQ_ROUTING_MEANS ? 1 : s.memory), width = index == SQ_ROUTING_MEMORY_VALUE ? p->M : p->D;
    sq__random_normal_fill(&random, out, rows * width, 1);
    if (index == SQ_ROUTING_MEANS) sq__normalise(&form, out, width, rows, out, sq__kernels());
    return SQ_OK;
}

/* ---- sizes ---- */

static void routing_sizes(const void *data, const sq_problem *p, sq_sizes *sizes)
{
    const sq_routing_shape s = sq__routing_shape(data, p);
    const size_t heads = (size_t)(p->B * p->H), threads = (size_t)p->threads, memory = (size_t)(s.clusters * s.memory * (p->D + p->M));
    sizes->forward_workspace = sq__routing_thread_bytes(&s, p, SQ_FORWARD) * threads + heads * (sq__routing_lists_bytes(&s, p) + sizeof(double));
    sizes->backward_workspace = sq__routing_thread_bytes(&s, p, SQ_BACKWARD) * threads + (heads * memory + 1) * sizeof(float);
    sizes->saved = heads * sq__routing_saved_bytes(&s, p);
    if (((const sq_routing_config *)data)->commitment > 0) sizes->saved += (size_t)(p->H * s.clusters * p->D) * sizeof(float);
}

static double routing_flops(const void *data, const sq_problem *p, sq_pass pass)
{
    const sq_routing_shape s = sq__routing_shape(data, p);
    const double D = (double)p->D, M = (double)p->M, clusters = (double)s.clusters;
    const double scores = pass == SQ_FORWARD ? (double)(p->T + (s.shared ? 0 : p->N)) * clusters * D : 0;
    const double pairs = clusters * (double)s.queries * (double)(s.keys + s.memory);
    return 2 * (double)(p->B * p->H) * (scores + pairs * (pass == SQ_FORWARD ? D + M : 3 * D + 2 * M));
}

const sq_attention_kind sq__attention_routing = {
    .name = "routing", .title = "online k-means routing", .paper = "arXiv:2003.05997", .cost = "O(n sqrt(n) (D + M)) time, O(n) memory",
    .can = SQ_CAN_CAUSAL | SQ_CAN_CROSS | SQ_CAN_LENGTHS | SQ_CAN_KEY_MASK | SQ_CAN_GROUPED,
    .fields = routing_fields, .config_size = sizeof(sq_routing_config), .validate = routing_validate, .ignores = routing_ignores, .moves = 1 << SQ_ROUTING_MEANS,
    .tensors = routing_tensors, .tensor_init = routing_tensor_init, .sizes = routing_sizes, .flops = routing_flops,
    .forward = sq__routing_forward, .backward = sq__routing_backward,
};
