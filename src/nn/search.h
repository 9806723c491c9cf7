/* Decoding of sequences, token after token, over any function that gives logits of the next token: greedy (beam 1) and beam search.
 *   score(y) = sum_t log p(y_t | y_<t) / ((5 + |y|) / 6)^length_penalty     (arXiv:1609.08144, without coverage); |y| with its end
 * A hypothesis that ends keeps its place in the beam; the search of a source is over when all places are ended, or full length is reached.
 * With a beam as large as the number of prefixes it is exhaustive. Ties go to the older hypothesis and the smaller token.
 * O(beam words) time a token and source beside the function. Depends on base. */
#ifndef SQ_NN_SEARCH_H
#define SQ_NN_SEARCH_H

#include <stdint.h>

#include "base/status.h"

typedef struct sq_search {
    int64_t B, beam, words, longest;   /* sources; hypotheses of each; words that can come; tokens at most */
    int32_t begin, end;                /* before the first token; -1: no token ends a sequence */
    const int32_t *lengths;            /* [B] tokens at most of each source, 0 to longest; NULL: longest */
    double length_penalty;             /* 0: the sum of logarithms */
    /* Logits [B*beam, words] of what follows tokens [B*beam], which row i adds to what row parents[i] was before (NULL: to nothing). */
    sq_status (*step)(void *context, const int32_t *tokens, const int32_t *parents, const float **logits, sq_error *error);
    void *context;
} sq_search;

/* tokens [B, longest]: the best of each source without its end, counts [B] of them; scores [B] (NULL allowed). */
sq_status sq__search(const sq_search *search, int32_t *tokens, int32_t *counts, double *scores, sq_error *error);

#endif
