/* One family of reference vectors per file: it reads what it needs, drives the library, compares. The rows are in verify.c.
 *
 * To add a family: write family_NAME.c after the folder's README (variants and constants come from the metadata, sizes from the tensors,
 * no mathematics of its own), declare it here, add its row with the README's tolerance, its small copies in tests/golden/. */
#ifndef SQ_VERIFY_FAMILIES_H
#define SQ_VERIFY_FAMILIES_H

#include "verify/golden.h"

typedef void sq_family_fn(sq_golden *golden);
sq_family_fn sq__family_fastformer;
sq_family_fn sq__family_transformer_xl, sq__family_compressive;
sq_family_fn sq__family_memory_compressed, sq__family_perceiver, sq__family_luna, sq__family_memorizing;
sq_family_fn sq__family_sinkhorn;
sq_family_fn sq__family_routing;
sq_family_fn sq__family_reversible, sq__family_feed_forward;
sq_family_fn sq__family_ntm, sq__family_memory_network;
sq_family_fn sq__family_aft, sq__family_synthesizer, sq__family_set_transformer, sq__family_long_short;
sq_family_fn sq__family_softmax, sq__family_mha, sq__family_linformer, sq__family_performer, sq__family_infinite_former, sq__family_block,
    sq__family_recurrent, sq__family_low_rank, sq__family_kronecker, sq__family_norm, sq__family_activation, sq__family_loss, sq__family_optimizer, sq__family_schedule, sq__family_clustered, sq__family_informer,
    sq__family_reformer;
extern sq_family_fn sq__family_linear, sq__family_rfa, sq__family_cosformer, sq__family_nystromformer;
sq_family_fn sq__family_local, sq__family_sparse_transformer, sq__family_longformer, sq__family_bigbird, sq__family_layouts;
extern sq_family_fn sq__family_linear, sq__family_rfa, sq__family_cosformer;
sq_family_fn sq__family_space_time, sq__family_axial, sq__family_pattern_2d, sq__family_longnet, sq__family_axial_position;

#endif
