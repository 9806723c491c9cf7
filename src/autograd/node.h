/* Inside of the tape: what an operation is and what it may call. Depends on tape.h, pool.h, kernels. */
#ifndef SQ_AUTOGRAD_NODE_H
#define SQ_AUTOGRAD_NODE_H

#include <string.h>

#include "autograd/pool.h"
#include "autograd/tape.h"
#include "base/integers.h"
#include "base/parallel.h"
#include "base/random.h"
#include "kernels/kernels.h"

typedef struct sq_node sq_node;

typedef struct sq_shape { int rank; int64_t at[SQ_MAX_RANK]; } sq_shape;

/* One row of the table. A shape rule fills shapes[0] (and [1] when there are two outputs) or fails with a message that begins with
 * what it found; apply puts the operation's name before it. forward and vjp report failure by sq__out_of_memory. */
typedef struct sq_op {
    const char *name;
    unsigned reads;                    /* what vjp reads: SQ_READS_INPUT(i), SQ_READS_OUTPUT */
    bool shares;                       /* forward gives output 0 its input's buffer instead of filling a new one */
    sq_status (*shape)(const sq_node *node, sq_shape *shapes, sq_error *error);
    void (*forward)(sq_tape *tape, sq_node *node);
    void (*vjp)(sq_tape *tape, sq_node *node);
} sq_op;

#define SQ_READS_INPUT(i) (1u << (i))  /* i < 16 */
#define SQ_READS_INPUTS 0xffffu
#define SQ_READS_PARAMETERS (1u << 30) /* that are no inputs: recorded though no input may need a gradient */
#define SQ_READS_OUTPUT (1u << 31)
#define SQ_NODE_SAVED 3

struct sq_node {
    const sq_op *op;
    int input_count, output_count;
    sq_var **inputs;                   /* NULL entries: absent */
    sq_var *outputs[2];
    const void *attributes;            /* the operation's own struct */
    sq_buffer *saved[SQ_NODE_SAVED];   /* forward -> vjp */
    bool recorded;                     /* a vjp may follow: save what it needs */
    uint64_t place;                    /* number of the operation since reset */
    sq_node *previous;
};

/* What stands behind an sq_var. */
typedef struct sq_variable {
    sq_var var;                        /* first: the addresses are equal */
    sq_buffer *value, *gradient;       /* NULL: borrowed or absent */
    int readers;                       /* recorded vjps that will read the value */
    bool leaf;                         /* keeps its gradient after backward */
    bool parameter;                    /* gradient is the caller's */
    bool transient;                    /* a scope ended: value may go when the last reader is done */
    struct sq_variable *previous;      /* all variables, newest first */
} sq_variable;

typedef struct sq_former sq_former;    /* nested.h */

struct sq_tape {
    bool record, training, ran;
    bool rehearsing, replaying;        /* nested.h */
    sq_former *formers;
    uint64_t seed, step, places;
    sq_arena *arena;                   /* nodes, variables, attributes */
    sq_pool *pool;
    sq_variable *variables;
    sq_node *nodes;
    sq_status status;
    sq_error error;
    sq_attention_observer observer;
    void *observer_context;
};

extern const sq_op *const sq__ops[];   /* NULL-terminated */

/* Append an operation: shape rule, output buffers, forward. attributes[size] are copied. output_count 1 or 2. */
sq_node *sq__apply(sq_tape *tape, const sq_op *op, sq_var *const *inputs, int input_count, const void *attributes, size_t size, int output_count);
sq_var *sq__apply1(sq_tape *tape, const sq_op *op, sq_var *const *inputs, int input_count, const void *attributes, size_t size);
void sq__out_of_memory(sq_tape *tape);
/* The way back over the nodes that are on the tape, whose gradients are there already; then they are gone. */
void sq__run_back(sq_tape *tape);
/* Variables newer than mark are gone, with their values and gradients. */
void sq__drop_variables(sq_tape *tape, const sq_variable *mark);

/* Working memory of one call. NULL: failure, kept in the tape. Release with sq__pool_release. */
sq_buffer *sq__scratch(sq_tape *tape, size_t bytes);
/* node->saved[slot]; false: failure */
bool sq__save(sq_tape *tape, sq_node *node, int slot, size_t bytes);

/* Where a vjp puts the gradient of an input: NULL when none is needed (or memory ran out). *beta is 0 when the memory is fresh and
 * must be overwritten whole, 1 when it must be added to. */
float *sq__gradient(sq_tape *tape, sq_var *input, float *beta);
/* The same, fresh memory zeroed: always add. */
float *sq__gradient_added(sq_tape *tape, sq_var *input);
/* The gradient of output 0 is the gradient of input: shared where possible. */
void sq__gradient_pass(sq_tape *tape, sq_node *node, sq_var *input);
/* A new buffer becomes (or is added to) the gradient of input; takes the reference. */
void sq__gradient_give(sq_tape *tape, sq_var *input, sq_buffer *buffer);
/* For what overwrites a gradient whole, also of inputs that want none: fresh memory, or a buffer that hit adds afterwards. false: failure. */
typedef struct sq_target { sq_buffer *buffer; float *data; } sq_target;
bool sq__aim(sq_tape *tape, sq_var *input, sq_target *target);
void sq__hit(sq_tape *tape, sq_var *input, sq_target *target);

static inline sq_variable *sq__behind(sq_var *var) { return (sq_variable *)var; }
static inline float *sq__floats(const sq_buffer *buffer) { return sq__buffer_data(buffer); }
static inline bool sq__wants(const sq_var *var) { return var && var->needs_gradient; }
static inline int64_t sq__last(const sq_var *var) { return var->shape[var->rank - 1]; }
static inline int64_t sq__rows(const sq_var *var) { return var->count / sq__last(var); }   /* all axes but the last */

/* Messages: "[8, 128]" into text[64]. */
const char *sq__shape_text(const sq_var *var, char *text);
sq_status sq__want_rank(const sq_var *var, const char *what, int least, sq_error *error);
sq_status sq__want_shape(const sq_var *var, const char *what, int rank, const int64_t *shape, sq_error *error);

/* Work over [0, count) in fixed pieces, shared over threads when there are enough of them to be worth waking one. */
typedef void (*sq_range_fn)(void *context, int64_t from, int64_t to);
void sq__for_range(int64_t count, int64_t piece, sq_range_fn run, void *context);
#define SQ_LEAST_PIECES 8
#define SQ_ELEMENTS 16384              /* piece of elementwise work: 64 KiB stays in the cache */
#define SQ_ROWS 64                     /* piece of row-wise work */

/* out[columns] += sum of rows of x[rows, columns]: pieces of columns over threads, rows in order. */
void sq__add_rows(float *out, const float *x, int64_t rows, int64_t columns, int64_t ld);

/* Keyed by (seed, step, place). */
sq_random sq__node_random(const sq_tape *tape, const sq_node *node, const char *purpose);

/* Dropout: node->saved[slot] receives count bytes, 1 where the element stays. false: failure. */
bool sq__draw_keep(sq_tape *tape, sq_node *node, int slot, int64_t count, float p);
/* y = keep ? factor x : 0; y may be x */
static inline void sq__masked(float *y, const float *x, const uint8_t *keep, float factor, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] = keep[i] ? factor * x[i] : 0;
}
sq_status sq__want_probability(float p, sq_error *error);

#endif
