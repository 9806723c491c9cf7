/* End-to-end memory networks (Sukhbaatar et al., arXiv:1503.08895): a question reads a memory of sentences several times.
 *
 *   m_i = sum_p l_p * A x_ip + T_A(i)      c_i = sum_p l_p * C x_ip + T_C(i)      u_0 = sum_p l_p * B q_p
 *   a hop: p = softmax_i(u . m_i)   o = sum_i p_i c_i   u <- u + o, layer-wise H u + o; then ReLU if asked
 * l: position encoding over the J words of a sentence (bag of words: 1). i counts back from the question, so T says how old a sentence is.
 * Adjacent: A of hop k + 1 is C of hop k, and B is A of the first hop. Layer-wise: one A and one C for all hops, B of its own.
 *
 * Departures: events come embedded (a sum over columns), so A, B, C are maps of width E to width d, which is an embedding matrix of
 * rank E; the answer's matrix is the model's head, not tied to C. Without the paper's linear start. While training, empty memories come
 * in between at random (`noise`; the paper: one for ten), so that ages are not learned by heart.
 * What training needs of supporting facts (Weston et al., arXiv:1410.3916) is not here: these are trained end to end.
 * O(hops S d) for S sentences. Depends on parameters.h, plans.h. */
#ifndef SQ_NN_MEMORY_NETWORK_H
#define SQ_NN_MEMORY_NETWORK_H

#include "nn/parameters.h"
#include "nn/plans.h"

enum { SQ_MEMORY_HOPS = 16 };

/* PAPER: (1 - j/J) - (k/d)(1 - 2 j/J), j and k counted from 1; AUTHORS, as their code and its descendants have it:
 * 1 + 4 (k - (d+1)/2)(j - (J+1)/2)/(d J). */
typedef enum sq_memory_encoding { SQ_MEMORY_BAG, SQ_MEMORY_PAPER, SQ_MEMORY_AUTHORS } sq_memory_encoding;
void sq__memory_positions(float *l, sq_memory_encoding encoding, int64_t J, int64_t d);   /* [J, d] */

/* ---- the parts, for any embedding of words ---- */

sq_status sq__memory_reader(sq_plans *plans, int64_t width, int64_t values, int64_t memories, int threads, sq_error *error);
/* u [B,d], keys [B,S,d], values [B,S,M], lengths [B] or NULL (all S) -> [B,M]; no sentence at all gives zeros */
sq_var *sq__memory_read(sq_plans *reader, sq_tape *tape, sq_var *u, sq_var *keys, sq_var *values, const int32_t *lengths);
sq_var *sq__memory_answer(sq_tape *tape, sq_var *u, sq_var *read, sq_var *map, bool relu);   /* the next u; map [d,d] or NULL */
/* words [B,S,J,d], l [J,d] or NULL -> [B,S,d] */
sq_var *sq__memory_sentences(sq_tape *tape, sq_var *words, sq_var *l);

/* ---- over events ---- */

typedef struct sq_memory_config {
    int64_t input, width;              /* E, d */
    int64_t memories;                  /* S at most: the latest */
    int64_t sentence;                  /* J: events of one */
    int hops;
    bool layerwise, relu;
    bool learned_question;             /* u_0 is trained; else it is the last sentence, which is then no memory */
    bool time;
    sq_memory_encoding encoding;
    float noise;                       /* share of empty memories while training */
    int threads;
} sq_memory_config;

/* PREFIX.map.K.weight [d, E]: adjacent A_1 = B, C_1, C_2, ...; layer-wise A, C, B. PREFIX.time.K [S, d] of the first of them alike.
 * PREFIX.hop.weight [d, d] (layer-wise), PREFIX.question [d] (learned). */
typedef struct sq_memory_network {
    sq_parameters *set;
    sq_memory_config config;
    sq_plans *reader;
    int maps[SQ_MEMORY_HOPS + 1], times[SQ_MEMORY_HOPS + 1], map_count, hop, question, positions;
} sq_memory_network;

sq_status sq__memory_network_create(sq_memory_network *network, sq_parameters *set, const char *prefix, const sq_memory_config *config, sq_error *error);
void sq__memory_network_clear(sq_memory_network *network);
/* x [B,T,E] -> [B,d]; lengths [B] or NULL */
sq_var *sq__memory_network_run(const sq_memory_network *network, sq_tape *tape, sq_var *x, const int32_t *lengths);

#endif
