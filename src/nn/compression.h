/* Rows of a memory compressed `rate` to one (Compressive Transformer, arXiv:1911.05507, 3.1-3.2), and the loss that teaches it.
 *   conv: y_i = W [x_(i rate); ...; x_(i rate + rate - 1)] + b      mean, max: over the same rows, without parameters
 * Parameters below PREFIX, conv alone: weight [width, rate*width] (columns: row after row), bias [width]. A remainder of rows is dropped.
 * Depends on layers.h, autograd/relative.h. */
#ifndef SQ_NN_COMPRESSION_H
#define SQ_NN_COMPRESSION_H

#include "autograd/relative.h"
#include "nn/layers.h"

typedef enum sq_compression_kind { SQ_COMPRESSION_CONV, SQ_COMPRESSION_MEAN, SQ_COMPRESSION_MAX } sq_compression_kind;

typedef struct sq_compression { sq_compression_kind kind; int64_t rate; sq_linear conv; } sq_compression;

sq_status sq__compression_create(sq_compression *compression, sq_parameters *set, const char *prefix, sq_compression_kind kind, int64_t width, int64_t rate,
                                 sq_error *error);
sq_var *sq__compression_run(const sq_compression *compression, sq_tape *tape, sq_var *rows);   /* [B,N,width] -> [B, N / rate, width] */

/* Attention reconstruction (3.2): sum of the squared differences between what queries read from rows and what they read from the rows'
 * compressed form, by content alone. Queries, rows and projections are taken as constants: only the compression learns from it. */
typedef struct sq_reconstruction {
    const sq_var *q;                   /* [B,T,H*D]; its values are copied */
    sq_var *rows, *compressed;         /* [B,N,width], as keys and values are made from them */
    const sq_parameter *key_value;     /* weight [2*H*D,width] */
    int64_t heads;
    const sq_relative_span *of_rows, *of_compressed;   /* borrowed until reset */
    int64_t span_count;
} sq_reconstruction;
sq_var *sq__reconstruction(sq_tape *tape, const sq_reconstruction *r);   /* [1] */

#endif
