/* The double side of a trial. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "reference/trial.h"

typedef struct doubles { double *q, *k, *v, *out, auxiliary, *tensor[TRIAL_TENSORS], *input[TRIAL_INPUTS]; } doubles;

static double *widened(const float *x, int64_t count)
{
    double *wide = malloc((size_t)(count + 1) * sizeof *wide);
    for (int64_t i = 0; i < count; i++) wide[i] = x[i];
    return wide;
}

static double *widened_array(const trial *t, const trial_array *a)
{
    float *packed = trial_packed(t, a);
    double *wide = widened(packed, a->count);
    free(packed);
    return wide;
}

static void fill(const trial *t, doubles *d)
{
    d->q = widened_array(t, &t->q), d->k = widened_array(t, &t->k), d->v = widened_array(t, &t->v);
    d->out = calloc((size_t)t->out.count, sizeof *d->out);
    d->auxiliary = 0;
    for (int i = 0; i < t->tensor_count; i++) d->tensor[i] = widened(t->tensor[i], t->tensor_size[i]);
    for (int i = 0; i < t->input_count; i++) d->input[i] = widened_array(t, &t->input[i]);
}

static void clear(const trial *t, doubles *d)
{
    free(d->q), free(d->k), free(d->v), free(d->out);
    for (int i = 0; i < t->tensor_count; i++) free(d->tensor[i]);
    for (int i = 0; i < t->input_count; i++) free(d->input[i]);
}

static reference_case case_of(const trial *t, doubles *d)
{
    const trial_shape *s = &t->shape;
    return (reference_case){
        .B = s->B, .H = s->H, .Hk = s->Hk, .T = s->T, .N = s->N, .D = s->D, .M = s->M, .max_length = s->max_length ? s->max_length : s->N, .causal = s->causal,
        .training = t->training, .scale = (float)(1 / sqrt((double)s->D)), .options = t->options, .option_count = t->desc.option_count,
        .mechanism = t->desc.mechanism, .lengths = t->lengths, .query_lengths = t->query_lengths, .key_keep = t->key_keep,
        .pair_keep = t->pair_keep, .q = d->q, .k = d->k, .v = d->v, .tensors = d->tensor, .inputs = d->input,
        .global_tokens = t->global_tokens, .bias = s->bias, .bias_distance = s->bias_distance ? s->bias_distance : 128,
        .bias_table = s->bias == SQ_BIAS_RELATIVE ? d->tensor[t->tensor_count - 1] : NULL, .layer = s->layer, .seed = t->desc.seed, .step = t->step,
        .out = d->out, .auxiliary = &d->auxiliary,
    };
}

static const reference_row *row_of(const trial *t)
{
    const reference_row *row = reference_find(t->desc.mechanism);
    if (!row) abort();   /* conformance checks this first */
    return row;
}

static void shake(double *x, int64_t count, double noise, uint64_t number)
{
    const sq_random random = sq__random_stream(15, "noise", number);
    for (int64_t i = 0; noise != 0 && i < count; i++) x[i] *= 1 + noise * sq__random_normal(&random, (uint64_t)i);
}

void trial_reference(const trial *t, double noise, double *out, double *auxiliary)
{
    doubles d;
    fill(t, &d);
    shake(d.q, t->q.count, noise, 0);
    shake(d.k, t->k.count, noise, 1);
    shake(d.v, t->v.count, noise, 2);
    for (int i = 0; i < t->tensor_count; i++) shake(d.tensor[i], t->tensor_size[i], noise, 3 + (uint64_t)i);
    for (int i = 0; i < t->input_count; i++) shake(d.input[i], t->input[i].count, noise, 100 + (uint64_t)i);
    reference_case at = case_of(t, &d);
    at.frozen = &at;
    row_of(t)->run(&at);
    memcpy(out, d.out, (size_t)t->out.count * sizeof *out);
    *auxiliary = d.auxiliary;
    clear(t, &d);
}

/* Number of the tensor of a gradient that stands behind those of q, k, v and the further inputs. */
static int tensor_of(const trial *t, int input)
{
    int left = input - 3 - t->input_count;
    for (int i = 0; left >= 0 && i < t->tensor_count; i++)
        if (t->tensors[i].trainable && left-- == 0) return i;
    return -1;
}

int trial_input_count(const trial *t)
{
    int count = 3 + t->input_count;
    for (int i = 0; i < t->tensor_count; i++) count += t->tensors[i].trainable;
    return count;
}

/* The array of a gradient, or NULL when it is a tensor. */
static const trial_array *array_of(const trial *t, int input)
{
    const trial_array *arrays[] = { &t->dq, &t->dk, &t->dv };
    return input < 3 ? arrays[input] : input < 3 + t->input_count ? &t->dinput[input - 3] : NULL;
}

const char *trial_input_name(const trial *t, int input)
{
    static const char *const names[] = { "q", "k", "v" };
    return input < 3 ? names[input] : array_of(t, input) ? t->inputs[input - 3].name : t->tensors[tensor_of(t, input)].name;
}

int64_t trial_input_size(const trial *t, int input)
{
    return array_of(t, input) ? array_of(t, input)->count : t->tensor_size[tensor_of(t, input)];
}

float *trial_input_gradient(const trial *t, int input)
{
    if (array_of(t, input)) return trial_packed(t, array_of(t, input));
    const int i = tensor_of(t, input);
    float *copy = malloc((size_t)t->tensor_size[i] * sizeof *copy);
    memcpy(copy, t->dtensor[i], (size_t)t->tensor_size[i] * sizeof *copy);
    return copy;
}

static double *moving(const trial *t, doubles *d, int input)
{
    double *const heads[] = { d->q, d->k, d->v };
    return input < 3 ? heads[input] : array_of(t, input) ? d->input[input - 3] : d->tensor[tensor_of(t, input)];
}

double trial_objective(const trial *t, double *const *direction, double step)
{
    doubles still, moved;
    fill(t, &still);
    fill(t, &moved);
    double total = 0;
    for (int input = 0; input < trial_input_count(t); input++) {
        double *x = moving(t, &moved, input);
        for (int64_t i = 0; direction[input] && i < trial_input_size(t, input); i++) x[i] += step * direction[input][i];
    }
    reference_case frozen = case_of(t, &still), at = case_of(t, &moved);
    frozen.frozen = &frozen;
    at.frozen = &frozen;
    row_of(t)->run(&at);
    float *dout = trial_packed(t, &t->dout);
    for (int64_t i = 0; i < t->out.count; i++) total += moved.out[i] * dout[i];
    total += moved.auxiliary * t->dauxiliary;
    free(dout);
    clear(t, &still);
    clear(t, &moved);
    return total;
}
