/* The rows of the registry, one per mechanism file. Only registry.c includes this. */
#ifndef SQ_ATTENTION_REGISTRY_H
#define SQ_ATTENTION_REGISTRY_H

#include "attention/kind.h"

extern const sq_attention_kind sq__attention_softmax;
extern const sq_attention_kind sq__attention_linformer;
extern const sq_attention_kind sq__attention_performer;
extern const sq_attention_kind sq__attention_linear;
extern const sq_attention_kind sq__attention_rfa;
extern const sq_attention_kind sq__attention_cosformer;
extern const sq_attention_kind sq__attention_nystromformer;
extern const sq_attention_kind sq__attention_infinite_former;
extern const sq_attention_kind sq__attention_sinkhorn;
extern const sq_attention_kind sq__attention_routing;
extern const sq_attention_kind sq__attention_reformer;
extern const sq_attention_kind sq__attention_sliding_window;
extern const sq_attention_kind sq__attention_longformer;
extern const sq_attention_kind sq__attention_sparse_transformer;
extern const sq_attention_kind sq__attention_aft;
extern const sq_attention_kind sq__attention_synthesizer;
extern const sq_attention_kind sq__attention_set_transformer;
extern const sq_attention_kind sq__attention_long_short;
extern const sq_attention_kind sq__attention_bigbird;
extern const sq_attention_kind sq__attention_clustered;
extern const sq_attention_kind sq__attention_improved_clustered;
extern const sq_attention_kind sq__attention_probsparse;
extern const sq_attention_kind sq__attention_hyper;
extern const sq_attention_kind sq__attention_space_time;
extern const sq_attention_kind sq__attention_axial;
extern const sq_attention_kind sq__attention_local_2d;
extern const sq_attention_kind sq__attention_longnet;
extern const sq_attention_kind sq__attention_fastformer;
extern const sq_attention_kind sq__attention_memory_compressed;
extern const sq_attention_kind sq__attention_retnet;
extern const sq_attention_kind sq__attention_gla;
extern const sq_attention_kind sq__attention_deltanet;
extern const sq_attention_kind sq__attention_gated_deltanet;
extern const sq_attention_kind sq__attention_mamba_2;
extern const sq_attention_kind sq__attention_rwkv;

#endif
