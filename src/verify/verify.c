/* subquad verify: the table of families, and one file run through its row. */
#include <string.h>

#include "base/memory.h"
#include "verify/families.h"

typedef struct family { const char *mechanism; sq_family_fn *run; sq_golden_rule rule; } family;

static const family families[] = {
    { "softmax", sq__family_softmax, { true, 1e-5, 1e-5, 1e-6 } },
    { "mha", sq__family_mha, { true, 1e-5, 1e-5, 1e-6 } },
    { "linformer", sq__family_linformer, { true, 5e-5, 2e-5, 1e-6 } },
    { "performer", sq__family_performer, { true, 1e-5, 3e-5, 1e-6 } },
    { "linear_attention", sq__family_linear, { true, 7e-6, 5e-5, 1e-6 } },
    { "causal_linear", sq__family_linear, { .fixed = false } },
    { "rfa", sq__family_rfa, { true, 5e-6, 9e-6, 1e-6 } },
    { "cosformer", sq__family_cosformer, { true, 5e-6, 3e-5, 1e-6 } },
    { "aft", sq__family_aft, { true, 5e-6, 1e-5, 1e-6 } },
    { "synthesizer", sq__family_synthesizer, { true, 9e-6, 2e-5, 1e-6 } },
    { "long_short", sq__family_long_short, { .fixed = false } },
    { "fastformer", sq__family_fastformer, { .fixed = false } },
    { "memory-compressed", sq__family_memory_compressed, { .fixed = false } },
    { "perceiver", sq__family_perceiver, { .fixed = false } },
    { "luna", sq__family_luna, { .fixed = false } },
    { "memorizing", sq__family_memorizing, { .fixed = false } },
    { "set-transformer", sq__family_set_transformer, { .fixed = false } },
    { "nystromformer", sq__family_nystromformer, { true, 1e-5, 2e-5, 1e-6 } },
    { "infinite-former", sq__family_infinite_former, { .fixed = false } },
    { "reformer_lsh", sq__family_reformer, { true, 1e-5, 1e-5, 1e-6 } },
    { "routing_kmeans", sq__family_routing, { true, 1e-5, 1e-5, 1e-6 } },
    { "sinkhorn", sq__family_sinkhorn, { true, 1e-5, 1e-5, 1e-6 } },
    { "longformer", sq__family_longformer, { true, 1e-5, 1e-5, 1e-6 } },
    { "local_chunked", sq__family_local, { true, 1e-5, 1e-5, 1e-6 } },
    { "sparse_transformer", sq__family_sparse_transformer, { true, 1e-5, 1e-5, 1e-6 } },
    { "bigbird", sq__family_bigbird, { true, 1e-5, 1e-5, 1e-6 } },
    { "deepspeed_layouts", sq__family_layouts, { true, 1e-5, 1e-5, 1e-6 } },
    { "sstvos_grid", sq__family_space_time, { .fixed = false } },
    { "axial", sq__family_axial, { .fixed = false } },
    { "pattern_2d", sq__family_pattern_2d, { .fixed = false } },
    { "longnet_dilated", sq__family_longnet, { .fixed = false } },
    { "axial_position", sq__family_axial_position, { .fixed = false } },
    { "transformer-block", sq__family_block, { .fixed = false } },
    { "reversible", sq__family_reversible, { .fixed = false } },
    { "chunked_feed_forward", sq__family_feed_forward, { .fixed = false } },
    { "clustered", sq__family_clustered, { true, 6e-6, 6e-6, 1e-6 } },
    { "informer", sq__family_informer, { true, 7e-6, 6e-6, 1e-6 } },
    { "improved_clustered", sq__family_clustered, { true, 1e-5, 6e-6, 1e-6 } },
    { "rnn", sq__family_recurrent, { .fixed = false } },
    { "gru", sq__family_recurrent, { .fixed = false } },
    { "lstm", sq__family_recurrent, { .fixed = false } },
    { "low-rank-rnn", sq__family_low_rank, { .fixed = false } },
    { "kronecker-recurrent", sq__family_kronecker, { .fixed = false } },
    { "transformer-xl", sq__family_transformer_xl, { .fixed = false } },
    { "ntm", sq__family_ntm, { .fixed = false } },
    { "memory-network", sq__family_memory_network, { .fixed = false } },
    { "compressive-transformer", sq__family_compressive, { .fixed = false } },
    { "norm", sq__family_norm, { .fixed = false } },
    { "activation", sq__family_activation, { .fixed = false } },
    { "loss", sq__family_loss, { .fixed = false } },
    { "optimizer", sq__family_optimizer, { .fixed = false } },
    { "lr-schedule", sq__family_schedule, { .fixed = false } },
};
enum { FAMILY_COUNT = sizeof families / sizeof *families };

static const family *find_family(sq_golden *golden, const char *mechanism)
{
    const char *names[FAMILY_COUNT];
    char hint[128];
    for (int i = 0; i < FAMILY_COUNT; i++) {
        names[i] = families[i].mechanism;
        if (strcmp(names[i], mechanism) == 0) return &families[i];
    }
    sq__golden_skip(golden, "mechanism '%.60s' is unknown to this build%s", mechanism,
                    sq__did_you_mean(mechanism, names, FAMILY_COUNT, hint, sizeof hint));
    return NULL;
}

sq_status sq_verify_file(const char *path, sq_verify_result *result, sq_error *error)
{
    sq_golden *golden = NULL;
    *result = (sq_verify_result){ .outcome = SQ_VERIFY_FAILED };
    SQ_TRY(sq__golden_open(&golden, path, result, error));
    const char *mechanism = sq__golden_text(golden, "mechanism", NULL);
    snprintf(result->mechanism, sizeof result->mechanism, "%s", mechanism);
    snprintf(result->variant, sizeof result->variant, "%s", sq__golden_text(golden, "case", sq__golden_text(golden, "variant", "")));
    const family *found = sq__golden_going(golden) ? find_family(golden, mechanism) : NULL;
    if (found) {
        sq__golden_rule(golden, &found->rule);
        found->run(golden);
    }
    sq_status status = sq__golden_close(&golden, error);
    if (status != SQ_OK) sq_verify_result_clear(result);
    return status;
}

void sq_verify_result_clear(sq_verify_result *result)
{
    sq__free(result->tensors);
    *result = (sq_verify_result){ .outcome = SQ_VERIFY_FAILED };
}
