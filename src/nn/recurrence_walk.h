/* What the files of recurrence share: one run at one piece. Only recurrence*.c include this. */
#ifndef SQ_NN_RECURRENCE_WALK_H
#define SQ_NN_RECURRENCE_WALK_H

#include "nn/recurrence.h"
#include "nn/segment_walk.h"

typedef struct sq_recurrence_walk {
    const sq_recurrence *s;
    sq_segment_walk at;
    sq_tape *tape;
    sq_carry *carry;
    int64_t places;                    /* of positions */
    int64_t past, blocks;              /* rows of memory and of compressed memory before the piece's own */
    sq_relative_span *spans;           /* [B] */
    sq_var **positions;                /* [layers] */
    bool learns, records;              /* the compression's loss is wanted; something will run backward */
    sq_var *loss;                      /* sum so far of the compression's errors or of the densities' divergences, over loss_count numbers */
    int64_t loss_count;
    /* continuous memory */
    int64_t *readers;                  /* [B] queries of the piece that find one */
    double *received;                  /* [B,SQ_MEMORY_BINS], with sticky */
    float *scratch;
    sq_var **written;                  /* [layers] coefficients with a gradient; NULL: those of the carry */
} sq_recurrence_walk;

/* Constant rows [B,rows,E] out of a carried tensor, entries `stride` rows apart. */
sq_var *sq__recurrence_rows(const sq_recurrence_walk *w, const float *at, int64_t rows, int64_t stride);
void sq__recurrence_add_loss(sq_recurrence_walk *w, sq_var *part);

/* At the end of a segment: what leaves the memory, its first rows, is compressed. q: the piece's queries. */
void sq__recurrence_compress(sq_recurrence_walk *w, const sq_recurrent_layer *layer, const sq_var *q);

bool sq__recurrence_continuous_begin(sq_recurrence_walk *w);
bool sq__recurrence_continuous_piece(sq_recurrence_walk *w);
/* sq_relative_attention_inputs.beside, for layer i of the walk. */
typedef struct sq_recurrence_reader { sq_recurrence_walk *walk; int layer; } sq_recurrence_reader;
sq_var *sq__recurrence_read(void *reader, sq_tape *tape, sq_var *q, sq_var *residual);
/* Where segments end in the piece, they are written; x [B,rows,E] is what the layer was given, already in its memory. */
void sq__recurrence_write(sq_recurrence_walk *w, int layer, sq_var *x);

#endif
