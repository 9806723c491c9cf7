/* routing_kmeans: choice of rows, attention in the clusters, the loss and the moved means of one public implementation. */
#include <string.h>

#include "attention/routing.h"
#include "verify/core.h"
#include "verify/families.h"

typedef struct sizes { int64_t B, H, T, N, D, clusters, window; bool shared; } sizes;

static sizes sizes_of(sq_golden *golden)
{
    const sq_st_tensor *q = sq__golden_tensor(golden, "q", SQ_SHAPE(SQ_ANY, SQ_ANY, SQ_ANY, SQ_ANY));
    const sq_st_tensor *k = sq__golden_tensor(golden, "k", SQ_SHAPE(SQ_ANY, SQ_ANY, SQ_ANY, SQ_ANY));
    sizes s = { .clusters = sq__golden_count(golden, "num_clusters", -1), .window = sq__golden_count(golden, "window_size", -1),
                .shared = strstr(sq__golden_text(golden, "variant", NULL), "shared") != NULL };
    if (!q || !k) return s;
    s.B = q->shape[0], s.H = q->shape[1], s.T = q->shape[2], s.N = k->shape[2], s.D = q->shape[3];
    if (s.shared && s.T != s.N) sq__golden_fail(golden, "shared queries and keys of different lengths");
    return s;
}

/* The file's list, sorted, holds the same rows as ours. */
static void check_list(sq_golden *golden, const char *name, const int32_t *file, int64_t count, const int32_t *ours, int32_t our_count, uint8_t *seen, int64_t n)
{
    memset(seen, 0, (size_t)n);
    for (int32_t i = 0; i < our_count; i++) seen[ours[i]] = 1;
    if (count != our_count) sq__golden_fail(golden, "'%s' lists %lld rows; ours %d", name, (long long)count, our_count);
    for (int64_t i = 0; i < count; i++)
        if (file[i] < 0 || file[i] >= n || !seen[file[i]]) sq__golden_fail(golden, "'%s' lists row %d in a cluster that does not take it here", name, file[i]);
}

static void check_choice(sq_golden *golden, const sizes *s, const uint8_t *keep)
{
    const sq_routing_config config = { .clusters = s->clusters, .window = s->window, .shared = s->shared, .convention = SQ_ROUTING_LUCIDRAINS };
    const sq_problem problem = { .T = s->T, .N = s->N, .D = s->D, .max_length = s->N };
    const sq_routing_shape shape = sq__routing_shape(&config, &problem);
    const sq_normalise form = sq__routing_form(&shape, s->D);
    const float *q = sq__golden_floats(golden, "q", SQ_SHAPE(s->B, s->H, s->T, s->D)), *k = sq__golden_floats(golden, "k", SQ_SHAPE(s->B, s->H, s->N, s->D));
    const float *means = sq__golden_floats(golden, "means", SQ_SHAPE(s->H, s->clusters, s->D));
    const int32_t *queries = sq__golden_ints(golden, "q_indices", SQ_SHAPE(s->B, s->H, s->clusters, shape.queries));
    const int32_t *keys = s->shared ? NULL : sq__golden_ints(golden, "k_indices", SQ_SHAPE(s->B, s->H, s->clusters, shape.keys));
    void *workspace = sq__golden_memory(golden, (int64_t)sq__routing_choose_workspace(&shape, &problem), 1);
    sq_cut cut = { sq__golden_memory(golden, (int64_t)sq__routing_lists_bytes(&shape, &problem), 1), 0 };
    float *unit_q = sq__golden_room(golden, s->T * s->D), *unit_k = sq__golden_room(golden, s->N * s->D);
    uint8_t *seen = sq__golden_memory(golden, s->T + s->N, 1);
    sq_routing_lists lists;
    if (!sq__golden_going(golden)) return;
    sq__routing_cut_lists(&shape, &problem, &cut, &lists);
    for (int64_t head = 0; head < s->B * s->H; head++) {
        sq__normalise(&form, q + head * s->T * s->D, s->D, s->T, unit_q, sq__kernels());
        sq__normalise(&form, k + head * s->N * s->D, s->D, s->N, unit_k, sq__kernels());
        sq__routing_choose(&(sq_routing_choice){ .config = &config, .shape = &shape, .means = means + head % s->H * s->clusters * s->D, .T = s->T, .N = s->N,
                                                 .D = s->D, .q = unit_q, .k = s->shared ? NULL : unit_k,
                                                 .keep = keep ? keep + head / s->H * s->N : NULL }, &lists, workspace);
        for (int64_t c = 0; c < s->clusters; c++) {
            const int64_t at = head * s->clusters + c;
            check_list(golden, "q_indices", queries + at * shape.queries, shape.queries, lists.queries + c * shape.queries, lists.query_count[c], seen, s->T);
            if (keys) check_list(golden, "k_indices", keys + at * shape.keys, shape.keys, lists.keys + c * shape.keys, lists.key_count[c], seen, s->N);
        }
    }
}

static void add_memory(sq_golden *golden, sq_core *core, const sizes *s, int64_t memory)
{
    const sq_st_tensor *v = sq__golden_tensor(golden, "v", SQ_SHAPE(SQ_ANY, SQ_ANY, SQ_ANY, SQ_ANY));
    if (!v) return;
    const int64_t M = v->shape[3], rows = s->H * s->clusters * memory;
    const bool backward = sq__golden_has(golden, "g");
    core->tensors[1] = (sq_core_tensor){ sq__golden_floats(golden, "mem_k", SQ_SHAPE(s->H, s->clusters, memory, s->D)), rows * s->D,
                                         backward ? "dmem_k" : NULL };
    core->tensors[2] = (sq_core_tensor){ sq__golden_floats(golden, "mem_v", SQ_SHAPE(s->H, s->clusters, memory, M)), rows * M, backward ? "dmem_v" : NULL };
    core->tensor_count = 3;
}

void sq__family_routing(sq_golden *golden)
{
    const sizes s = sizes_of(golden);
    sq_core core = { .desc = { .mechanism = "routing", .causal = sq__golden_flag(golden, "causal", false), .scale = sq__golden_scale(golden) },
                     .shared = s.shared, .auxiliary = "aux_loss", .moved = "means_after_ema", .tensor_count = 1 };
    const int64_t memory = core.desc.causal && !s.shared ? sq__golden_count(golden, "num_mem_kv", -1) : 0;
    core.tensors[0] = (sq_core_tensor){ sq__golden_floats(golden, "means", SQ_SHAPE(s.H, s.clusters, s.D)), s.H * s.clusters * s.D, NULL };
    if (memory) add_memory(golden, &core, &s, memory);
    if (sq__golden_has(golden, "mask")) core.key_keep = "mask";
    if (s.shared) {
        const float *q = sq__golden_floats(golden, "q", SQ_SHAPE(s.B, s.H, s.T, s.D)), *k = sq__golden_floats(golden, "k", SQ_SHAPE(s.B, s.H, s.T, s.D));
        if (q && k && memcmp(q, k, (size_t)(s.B * s.H * s.T * s.D) * sizeof *q) != 0) sq__golden_fail(golden, "shared, but q and k differ");
    }
    sq__core_option(&core, "convention", "lucidrains");
    sq__core_option(&core, "clusters", sq__golden_digits(golden, s.clusters));
    sq__core_option(&core, "window", sq__golden_digits(golden, s.window));
    sq__core_option(&core, "memory", sq__golden_digits(golden, memory));
    sq__core_option(&core, "shared", s.shared ? "true" : "false");
    sq__core_option(&core, "commitment", sq__golden_text(golden, "commitment", NULL));
    sq__core_option(&core, "decay", sq__golden_text(golden, "ema_decay", NULL));
    if (sq__golden_going(golden))
        check_choice(golden, &s, core.key_keep ? sq__golden_mask(golden, core.key_keep, SQ_SHAPE(s.B, s.N)) : NULL);
    if (sq__golden_going(golden)) sq__core_run(golden, &core);
    sq__core_option(&core, "decay", "0");
    core.moved = "means_new";
    core.only_moved = true;
    if (sq__golden_going(golden)) sq__core_run(golden, &core);
}
