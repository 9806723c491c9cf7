/* What a recurrent cell does with one row of one step. Depends on kernels, recurrent.h. */
#ifndef SQ_AUTOGRAD_RECURRENT_CELLS_H
#define SQ_AUTOGRAD_RECURRENT_CELLS_H

#include "autograd/recurrent.h"
#include "kernels/kernels.h"

/* gates: forward finds what the map gave (with bias) there and leaves what backward reads; backward leaves the gradient of what the
 * map gave. No pointer but h and result, dh and dresult overlaps another. */
typedef struct sq_cell_row {
    int64_t H;
    const float *parameters;
    float *gates;                      /* [blocks*H] */
    float *kept;                       /* [kept] of the cell's own, forward -> backward -> parameter gradients */
    float *made;                       /* [H] what the map within reads */
    /* forward */
    const float *input;                /* [blocks*H] projection of the input */
    float *h, *c;                      /* state; h and c are replaced */
    float *result;                     /* where the new h goes: h, or what the output projection reads */
    /* backward */
    const float *h_before, *c_before, *dresult;
    float *dinput;                     /* gradient of input, where it differs from gates (apart) */
    float *dh, *dc;                    /* dc: of the new c, then of the old one; dh: gets what does not go through the map (passes) */
    const float *dmade;
} sq_cell_row;

typedef struct sq_cell_kind {
    const char *name;
    int blocks, within;                /* within: first block whose map reads `made`; = blocks: none */
    bool has_c, is_complex;
    bool passes;                       /* h' depends on h directly, too */
    bool apart;                        /* backward writes dinput itself */
    int64_t (*kept)(int64_t H), (*parameters)(int64_t H);   /* NULL: 0 */
    void (*forward)(const sq_cell_row *row);
    void (*open)(const sq_cell_row *row);            /* before the map within: gates it needs, and made */
    void (*backward)(const sq_cell_row *row);
    void (*open_backward)(const sq_cell_row *row);
    /* d [parameters] is added to: rows of gates and kept as backward left them */
    void (*parameter_gradient)(float *d, const float *parameters, const float *gates, const float *kept, int64_t rows, int64_t H);
} sq_cell_kind;

extern const sq_cell_kind *const sq__cell_kinds[SQ_CELL_COUNT];
extern const sq_cell_kind sq__cell_rnn_tanh, sq__cell_rnn_relu, sq__cell_complex_tanh, sq__cell_modrelu, sq__cell_complex_modrelu;   /* recurrent_plain.c */
extern const sq_cell_kind sq__cell_lstm, sq__cell_gru, sq__cell_gru_before, sq__cell_ugrnn;   /* recurrent_gated.c */
extern const sq_cell_kind sq__cell_fastrnn, sq__cell_fastgrnn;                                /* recurrent_fast.c */

#endif
