/* Blocks of the Set Transformer, arXiv:1810.00825.
 *   MAB(x, y) = norm(h + act(h Wo' + bo)),  h = norm(q + softmax(scale q k') v by heads),  q = x Wq' + bq,  k, v of y
 *   ISAB(x) = MAB1(x, MAB0(I, x)) with m learned points I      PMA(x) = MAB(S, x) with learned seeds S: a set becomes a few rows
 * As in the authors' code, the residual is the projected query and the feed-forward part one layer; norms are optional.
 *
 * Parameters below PREFIX: query.* key.* value.* output.* {weight,bias}, attention_norm.*, output_norm.*;
 * ISAB: points [1, m, width], first.*, second.*; PMA: seeds [1, seeds, width], block.*. Depends on layers.h, plans.h. */
#ifndef SQ_NN_SET_TRANSFORMER_H
#define SQ_NN_SET_TRANSFORMER_H

#include "nn/layers.h"
#include "nn/plans.h"

typedef struct sq_mab_config {
    int64_t query_width, key_width, width, heads;   /* of x, of y, of the result */
    int64_t max_queries, max_keys;                  /* longest x and y that will come */
    bool norm, lengths;                             /* lengths: y may have some */
    sq_activation activation;                       /* the authors' code: SQ_RELU */
    float scale;                                    /* 0: 1/sqrt(width of a head), the paper's; the authors' code: 1/sqrt(width) */
    int threads;
} sq_mab_config;

typedef struct sq_mab {
    sq_mab_config config;
    sq_linear query, key, value, output;
    sq_norm attention_norm, output_norm;
    sq_plans *plans;
} sq_mab;

sq_status sq__mab_create(sq_mab *mab, sq_parameters *set, const char *prefix, const sq_mab_config *config, sq_error *error);
void sq__mab_clear(sq_mab *mab);
/* x [B,T,query_width], y [B,N,key_width] -> [B,T,width]; lengths are of y, query_lengths of x; NULL allowed. */
sq_var *sq__mab_run(const sq_mab *mab, sq_tape *tape, sq_var *x, sq_var *y, const int32_t *lengths, const int32_t *query_lengths);

/* config: of x as queries (max_queries, query_width); keys are filled in. */
typedef struct sq_isab { sq_parameters *set; int points; sq_mab first, second; } sq_isab;
sq_status sq__isab_create(sq_isab *isab, sq_parameters *set, const char *prefix, int64_t points, const sq_mab_config *config, sq_error *error);
void sq__isab_clear(sq_isab *isab);
sq_var *sq__isab_run(const sq_isab *isab, sq_tape *tape, sq_var *x, const int32_t *lengths);   /* [B,T,width] */

/* config: of x as keys (max_keys, key_width); queries are filled in. */
typedef struct sq_pma { sq_parameters *set; int seeds; sq_mab block; } sq_pma;
sq_status sq__pma_create(sq_pma *pma, sq_parameters *set, const char *prefix, int64_t seeds, const sq_mab_config *config, sq_error *error);
void sq__pma_clear(sq_pma *pma);
sq_var *sq__pma_run(const sq_pma *pma, sq_tape *tape, sq_var *x, const int32_t *lengths);      /* [B,seeds,width] */

#endif
