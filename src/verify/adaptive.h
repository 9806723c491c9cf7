/* The ends of a language model in files of Transformer-XL: embedding and loss, whole or by clusters of words of falling frequency (adaptive). */
#ifndef SQ_VERIFY_ADAPTIVE_H
#define SQ_VERIFY_ADAPTIVE_H

#include "verify/module.h"

enum { ADAPTIVE_CLUSTERS = 8 };

/* Cluster 0 is the shortlist; without cutoffs it is all. */
typedef struct sq_adaptive {
    int count;
    int64_t width, ends[ADAPTIVE_CLUSTERS + 1];
    sq_var *table[ADAPTIVE_CLUSTERS], *bias[ADAPTIVE_CLUSTERS];   /* [words, width of the cluster] [words]; in and out */
    sq_var *in[ADAPTIVE_CLUSTERS], *out[ADAPTIVE_CLUSTERS];       /* [width, width of the cluster]; NULL: none */
    sq_var *cluster_weight, *cluster_bias;                        /* [count - 1, ...] */
} sq_adaptive;

bool sq__adaptive_read(sq_module *m, sq_adaptive *adaptive, int64_t width);
sq_var *sq__adaptive_embed(sq_module *m, const sq_adaptive *adaptive, const int32_t *ids, int64_t T, int64_t B);   /* [T,B,width] */
/* sum(nll * g) as a scalar, nll [rows] for the rows of hidden [rows,width]; nll and g in the order of the clusters. */
sq_var *sq__adaptive_loss(sq_module *m, const sq_adaptive *adaptive, sq_var *hidden, const int32_t *targets, const float *g, float *nll);

#endif
