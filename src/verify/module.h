/* A small network over the tape: inputs by the names of the file's tensors, gradients compared under the names that belong to them. */
#ifndef SQ_VERIFY_MODULE_H
#define SQ_VERIFY_MODULE_H

#include "nn/parameters.h"
#include "verify/golden.h"

#define SQ_MODULE_INPUTS 128

/* Rows of a layer's parameter, from `row` on (of its leading axis). */
typedef struct sq_module_part { const char *parameter; int64_t row, rows; } sq_module_part;

/* A tensor with a reference gradient: of a variable on the tape, or of parts of parameters in the tensor's order. */
#define SQ_MODULE_PARTS 3
typedef struct sq_module_input {
    char gradient[96];
    const sq_var *var;
    int64_t count, part_counts[SQ_MODULE_PARTS];
    const float *parts[SQ_MODULE_PARTS];
} sq_module_input;

typedef struct sq_module {
    sq_golden *golden;
    sq_tape *tape;
    sq_parameters set;                 /* of layers that the module makes */
    int count;
    sq_module_input inputs[SQ_MODULE_INPUTS];
} sq_module;

bool sq__module_open(sq_module *module, sq_golden *golden);
void sq__module_close(sq_module *module);

/* The tensor as a variable; its gradient is compared with d<name>, or with grad.<name less "param."> in files of that form. */
sq_var *sq__module_input(sq_module *module, const char *name, int rank, const int64_t *shape);
sq_var *sq__module_optional(sq_module *module, const char *name, int rank, const int64_t *shape);   /* NULL when the file has none */
/* A part or copy of a tensor, whose gradient is compared elsewhere. */
sq_var *sq__module_values(sq_module *module, int rank, const int64_t *shape, const float *values, bool needs_gradient);
sq_var *sq__module_constant(sq_module *module, const char *name, int rank, const int64_t *shape);

/* The tensor's rows, part by part, into parameters of layers. */
void sq__module_load(sq_module *module, const char *name, const sq_module_part *parts, int count);
void sq__module_parameter(sq_module *module, const char *parameter, int64_t row, int64_t rows, const char *name);   /* one part */

bool sq__module_going(sq_module *module);   /* moves what failed on the tape into golden */
/* Runs backward from sum(out * seed) (seed NULL: a scalar) and compares every input's gradient. */
void sq__module_backward(sq_module *module, sq_var *out, const float *seed);
/* The usual end: out [outer..., rows at axis, inner] against "out" (all of it, or its out_rows), then backward from g if there is one. */
void sq__module_finish(sq_module *module, sq_var *out);

#endif
