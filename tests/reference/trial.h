/* One plan with its inputs, outputs and guarded memory, as conformance and the mechanisms' own tests run it.
 * Outputs, workspace and saved memory are NaN before every pass; guards lie at both ends of each block. */
#ifndef SQ_TESTS_TRIAL_H
#define SQ_TESTS_TRIAL_H

#include "reference/reference.h"

enum { TRIAL_TENSORS = 17, TRIAL_OPTIONS = 16, TRIAL_INPUTS = 8 };

typedef struct trial_shape {
    int64_t B, H, Hk, T, N, D, M;         /* Hk 0: H */
    bool causal, lengths, query_lengths, key_mask, pair_mask;
    bool global_tokens;                   /* about one token in 12 */
    sq_bias_kind bias;
    int64_t bias_distance, max_length;    /* max_length 0: N */
    int layer;
    bool heads_first;                     /* [B,H,T,D] in memory, else [B,T,H,D] */
    double size;                          /* standard deviation of q, k, v; 0: 1 */
    int threads;
} trial_shape;

typedef struct trial_array {              /* 4-D, in the trial's layout */
    float *data;
    int64_t rows, heads, width, count;
    sq_view view;
} trial_array;

typedef struct trial {
    trial_shape shape;
    const char *options_text;             /* as given */
    char text[256];                       /* what the options point into */
    sq_option options[TRIAL_OPTIONS];
    sq_attention_desc desc;
    sq_attention *plan;
    sq_error error;
    trial_array q, k, v, out, dout, dq, dk, dv;
    int tensor_count;
    sq_attention_tensor tensors[TRIAL_TENSORS];
    int64_t tensor_size[TRIAL_TENSORS];
    float *tensor[TRIAL_TENSORS], *dtensor[TRIAL_TENSORS];   /* dtensor NULL where not trainable */
    int input_count;                      /* further inputs */
    sq_attention_input inputs[TRIAL_INPUTS];
    trial_array input[TRIAL_INPUTS], dinput[TRIAL_INPUTS];
    int32_t *lengths, *query_lengths;
    uint8_t *key_keep, *pair_keep, *global_tokens;
    float auxiliary, dauxiliary;
    uint64_t step;
    bool training;
    char *workspace[2], *saved;           /* guarded blocks, workspace by pass */
} trial;

/* Whether a mechanism is to be tried: all are, or those that the environment variable SUBQUAD_ONLY=name[,name] names. */
bool trial_chosen(const char *mechanism);
/* "a=b c=d" cut into options; text is overwritten. */
int trial_options(char *text, sq_option *options, int most);

/* Everything drawn from (options, shape); the status of the creation of the plan, its reason in t->error. Close in any case. */
sq_status trial_open(trial *t, const char *mechanism, const char *options, const trial_shape *shape);
void trial_close(trial *t);
void trial_forward(trial *t);             /* fills out and saved */
void trial_backward(trial *t);            /* after forward; dtensors from 0 */
void trial_backward_again(trial *t);      /* dtensors from what they hold */
bool trial_guards_hold(const trial *t);

/* Element of an array at (b, i, h, c). */
float *trial_at(const trial_array *a, int64_t b, int64_t i, int64_t h, int64_t c);
/* The array as contiguous [B,rows,heads,width]; free() it. */
float *trial_packed(const trial *t, const trial_array *a);

/* Everything in pieces of 1 to `largest` rows by a state, into out: for causal trials whose plan can stream. The state is moved
 * between pieces. False: a piece's plan could not be made or has a state of another size. */
bool trial_stream(trial *t, int64_t largest);

/* Trials of other options draw other inputs: takes q, k, v and dout of one of the same sizes. */
void trial_same_inputs(trial *to, const trial *from);
/* Two arrays, whatever their layouts, element by element. */
void trial_expect_close(const trial *a, const trial_array *x, const trial *b, const trial_array *y, double bound);

/* The inputs that have a gradient: q, k, v, the further inputs, then the trainable tensors. */
enum { TRIAL_GRADIENTS = 3 + TRIAL_INPUTS + TRIAL_TENSORS };
int trial_input_count(const trial *t);
const char *trial_input_name(const trial *t, int input);
int64_t trial_input_size(const trial *t, int input);
float *trial_input_gradient(const trial *t, int input);   /* packed as the input is; free() it */

/* The double reference's out [B,T,H,M] and auxiliary. With noise every input x is x (1 + noise * normal draw): how far that
 * moves the result says what rounding alone may do to it. */
void trial_reference(const trial *t, double noise, double *out, double *auxiliary);
/* sum(out dout) + auxiliary dauxiliary of the reference with each input moved by step * direction[input] (NULL: not moved). */
double trial_objective(const trial *t, double *const *direction, double step);

#endif
