/* What the two files of improved clustered attention share. */
#ifndef SQ_ATTENTION_IMPROVED_CLUSTERED_H
#define SQ_ATTENTION_IMPROVED_CLUSTERED_H

#include "attention/clustered.h"
#include "attention/engine/dense.h"

enum { SQ_IMPROVED_PAPER, SQ_IMPROVED_IDIAP };   /* convention */

size_t sq__improved_thread_bytes(const sq_clustered_config *config, const sq_problem *problem, sq_pass pass);
size_t sq__improved_saved_bytes(const sq_clustered_config *config, const sq_problem *problem);   /* of one head */
void sq__improved_forward(const sq_run *run);
void sq__improved_backward(const sq_run *run);

#endif
