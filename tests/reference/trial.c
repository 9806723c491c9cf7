#include "reference/trial.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "support/check.h"

enum { GUARD = 64, GUARD_BYTE = 0xa5, POISON = 0xff };   /* four bytes of POISON are a NaN */

/* ---- guarded memory ---- */

static char *guarded(size_t bytes)
{
    char *block = aligned_alloc(64, GUARD + (bytes + 63) / 64 * 64 + GUARD);
    memset(block, GUARD_BYTE, GUARD);
    memset(block + GUARD + bytes, GUARD_BYTE, GUARD);
    memset(block + GUARD, POISON, bytes);
    return block;
}

static bool guards_hold(const char *block, size_t bytes)
{
    for (size_t i = 0; i < GUARD; i++)
        if ((unsigned char)block[i] != GUARD_BYTE || (unsigned char)block[GUARD + bytes + i] != GUARD_BYTE) return false;
    return true;
}

static size_t workspace_bytes(const trial *t, int pass)
{
    return sq_attention_workspace_bytes(t->plan, (sq_pass)pass);
}

bool trial_guards_hold(const trial *t)
{
    return guards_hold(t->workspace[0], workspace_bytes(t, 0)) && guards_hold(t->workspace[1], workspace_bytes(t, 1)) &&
           guards_hold(t->saved, sq_attention_saved_bytes(t->plan));
}

/* ---- arrays ---- */

static trial_array make(const trial *t, int64_t rows, int64_t heads, int64_t width)
{
    trial_array a = { NULL, rows, heads, width, t->shape.B * rows * heads * width, { 0 } };
    a.data = malloc((size_t)a.count * sizeof *a.data);
    memset(a.data, POISON, (size_t)a.count * sizeof *a.data);
    a.view = t->shape.heads_first ? sq_view_bhtd(a.data, rows, heads, width) : sq_view_bthd(a.data, rows, heads, width);
    return a;
}

float *trial_at(const trial_array *a, int64_t b, int64_t i, int64_t h, int64_t c)
{
    return a->data + b * a->view.batch + i * a->view.row + h * a->view.head + c;
}

float *trial_packed(const trial *t, const trial_array *a)
{
    float *packed = malloc((size_t)a->count * sizeof *packed);
    int64_t at = 0;
    for (int64_t b = 0; b < t->shape.B; b++)
        for (int64_t i = 0; i < a->rows; i++)
            for (int64_t h = 0; h < a->heads; h++, at += a->width) memcpy(packed + at, trial_at(a, b, i, h, 0), (size_t)a->width * sizeof *packed);
    return packed;
}

/* The same values at the same (b, i, h, c) in either layout. */
static void draw(const trial *t, trial_array *a, const char *name, double size)
{
    const sq_random random = sq__random_stream(11, name, (uint64_t)a->count);
    uint64_t index = 0;
    for (int64_t b = 0; b < t->shape.B; b++)
        for (int64_t i = 0; i < a->rows; i++)
            for (int64_t h = 0; h < a->heads; h++)
                for (int64_t c = 0; c < a->width; c++) *trial_at(a, b, i, h, c) = (float)(size * sq__random_normal(&random, index++));
}

/* ---- opening ---- */

bool trial_chosen(const char *mechanism)
{
    const char *at = getenv("SUBQUAD_ONLY");
    const size_t length = strlen(mechanism);
    if (!at) return true;
    for (;; at++) {
        if (strncmp(at, mechanism, length) == 0 && (at[length] == ',' || !at[length])) return true;
        at = strchr(at, ',');
        if (!at) return false;
    }
}

int trial_options(char *text, sq_option *options, int most)
{
    int count = 0;
    for (char *word = strtok(text, " "); word && count < most; word = strtok(NULL, " ")) {
        char *equals = strchr(word, '=');
        *equals = 0;
        options[count++] = (sq_option){ word, equals + 1 };
    }
    return count;
}

/* Entry 0 always keeps everything or nothing special; later entries get shorter; the last one of three or more has none at all. */
static int32_t *draw_lengths(const trial *t, int64_t most, uint64_t salt)
{
    const sq_random random = sq__random_stream(12, "lengths", salt);
    int32_t *lengths = malloc((size_t)t->shape.B * sizeof *lengths);
    for (int64_t b = 0; b < t->shape.B; b++) lengths[b] = b == 2 ? 0 : (int32_t)(1 + sq__random_below(&random, (uint64_t)b, (uint64_t)most));
    return lengths;
}

static uint8_t *draw_mask(int64_t rows, int64_t columns, const char *name)
{
    const sq_random random = sq__random_stream(13, name, 0);
    uint8_t *mask = malloc((size_t)(rows * columns));
    for (int64_t i = 0; i < rows * columns; i++) mask[i] = sq__random_below(&random, (uint64_t)i, 3) > 0;
    if (rows > 1) memset(mask + columns, 0, (size_t)columns);   /* row 1 sees nothing */
    return mask;
}

/* A few, the second among them; none in the second entry. */
static uint8_t *draw_globals(const trial *t)
{
    const sq_random random = sq__random_stream(13, "globals", 0);
    const int64_t N = t->shape.N;
    uint8_t *globals = malloc((size_t)(t->shape.B * N));
    for (int64_t i = 0; i < t->shape.B * N; i++)
        globals[i] = i / N != 1 && (i % N == 1 || sq__random_below(&random, (uint64_t)i, 12) == 0);
    return globals;
}

static void fill_inputs(trial *t, double size)
{
    t->input_count = sq_attention_input_count(t->plan);
    for (int i = 0; i < t->input_count; i++) {
        sq_attention_input *info = &t->inputs[i];
        sq_attention_input_get(t->plan, i, info);
        const int64_t rows = info->of_keys ? t->shape.N : t->shape.T;
        t->input[i] = make(t, rows, t->shape.H, info->width);
        t->dinput[i] = make(t, rows, t->shape.H, info->width);
        draw(t, &t->input[i], info->name, size);
    }
}

static void fill_tensors(trial *t)
{
    t->tensor_count = sq_attention_tensor_count(t->plan);
    for (int i = 0; i < t->tensor_count; i++) {
        int64_t size = 1;
        sq_attention_tensor_get(t->plan, i, &t->tensors[i]);
        for (int d = 0; d < t->tensors[i].rank; d++) size *= t->tensors[i].shape[d];
        t->tensor_size[i] = size;
        t->tensor[i] = malloc((size_t)size * sizeof(float));
        memset(t->tensor[i], POISON, (size_t)size * sizeof(float));
        if (sq_attention_tensor_init(t->plan, i, 21, 0, t->tensor[i]) != SQ_OK) abort();
        if (!t->tensors[i].trainable) continue;
        const sq_random random = sq__random_stream(14, "tensor", (uint64_t)i);   /* so that a bias is not 0 */
        for (int64_t j = 0; j < size; j++) t->tensor[i][j] += 0.05f * (float)sq__random_normal(&random, (uint64_t)j);
        t->dtensor[i] = malloc((size_t)size * sizeof(float));
    }
}

sq_status trial_open(trial *t, const char *mechanism, const char *options, const trial_shape *shape)
{
    *t = (trial){ .shape = *shape, .options_text = options, .dauxiliary = 0.7f, .step = 3, .training = true };
    if (t->shape.Hk == 0) t->shape.Hk = shape->H;
    const trial_shape *s = &t->shape;
    const double size = s->size != 0 ? s->size : 1;
    strncpy(t->text, options, sizeof t->text - 1);
    t->desc = (sq_attention_desc){
        .mechanism = mechanism, .options = t->options, .option_count = trial_options(t->text, t->options, TRIAL_OPTIONS),
        .B = s->B, .H = s->H, .T = s->T, .N = s->N, .D = s->D, .M = s->M, .key_heads = s->Hk, .causal = s->causal,
        .lengths = s->lengths, .mask = s->pair_mask, .key_mask = s->key_mask, .threads = s->threads ? s->threads : 1, .seed = 5,
        .max_length = s->max_length, .global_tokens = s->global_tokens, .bias = s->bias, .bias_distance = s->bias_distance, .layer = s->layer,
    };
    sq_status status = sq_attention_create(&t->plan, &t->desc, &t->error);
    if (status != SQ_OK) return status;
    t->q = make(t, s->T, s->H, s->D), t->dq = make(t, s->T, s->H, s->D);
    t->k = make(t, s->N, s->Hk, s->D), t->dk = make(t, s->N, s->Hk, s->D);
    t->v = make(t, s->N, s->Hk, s->M), t->dv = make(t, s->N, s->Hk, s->M);
    t->out = make(t, s->T, s->H, s->M), t->dout = make(t, s->T, s->H, s->M);
    draw(t, &t->q, "q", size), draw(t, &t->k, "k", size), draw(t, &t->v, "v", 1), draw(t, &t->dout, "dout", 1);
    fill_inputs(t, size);
    fill_tensors(t);
    if (s->global_tokens) t->global_tokens = draw_globals(t);
    if (s->lengths) t->lengths = draw_lengths(t, s->N, 0);
    if (s->query_lengths) t->query_lengths = draw_lengths(t, s->T, 1);
    if (s->key_mask) t->key_keep = draw_mask(s->B, s->N, "keys");
    if (s->pair_mask) t->pair_keep = draw_mask(s->T, s->N, "pairs");
    for (int pass = 0; pass < 2; pass++) t->workspace[pass] = guarded(workspace_bytes(t, pass));
    t->saved = guarded(sq_attention_saved_bytes(t->plan));
    return SQ_OK;
}

void trial_close(trial *t)
{
    const trial_array *arrays[] = { &t->q, &t->k, &t->v, &t->out, &t->dout, &t->dq, &t->dk, &t->dv };
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++) free(arrays[i]->data);
    for (int i = 0; i < t->tensor_count; i++) {
        free(t->tensor[i]);
        free(t->dtensor[i]);
    }
    for (int i = 0; i < t->input_count; i++) {
        free(t->input[i].data);
        free(t->dinput[i].data);
    }
    free(t->global_tokens);
    free(t->lengths);
    free(t->query_lengths);
    free(t->key_keep);
    free(t->pair_keep);
    free(t->workspace[0]);
    free(t->workspace[1]);
    free(t->saved);
    sq_attention_destroy(&t->plan);
    *t = (trial){ 0 };
}

/* ---- running ---- */

/* What is not read is not there. */
static sq_view read_view(const trial *t, const trial_array *a, unsigned bit)
{
    return sq_attention_ignores(t->plan) & bit ? (sq_view){ NULL, 0, 0, 0 } : a->view;
}

static sq_attention_call call_of(trial *t, int pass, sq_view *inputs)
{
    for (int i = 0; i < t->input_count; i++) inputs[i] = t->input[i].view;
    return (sq_attention_call){
        .q = read_view(t, &t->q, SQ_READS_QUERY), .k = read_view(t, &t->k, SQ_READS_KEY), .v = t->v.view, .out = t->out.view,
        .lengths = t->lengths, .query_lengths = t->query_lengths,
        .key_keep = t->key_keep, .pair_keep = t->pair_keep, .tensors = t->tensor, .saved = t->saved + GUARD,
        .workspace = t->workspace[pass] + GUARD, .step = t->step, .training = t->training, .auxiliary = pass == SQ_FORWARD ? &t->auxiliary : NULL,
        .inputs = inputs, .global_tokens = t->global_tokens,
    };
}

void trial_forward(trial *t)
{
    sq_view inputs[TRIAL_INPUTS];
    const sq_attention_call call = call_of(t, SQ_FORWARD, inputs);
    t->auxiliary = 0;
    memset(t->out.data, POISON, (size_t)t->out.count * sizeof(float));
    memset(call.workspace, POISON, workspace_bytes(t, SQ_FORWARD));
    memset(call.saved, POISON, sq_attention_saved_bytes(t->plan));
    sq_attention_forward(t->plan, &call);
}

void trial_backward_again(trial *t)
{
    sq_view inputs[TRIAL_INPUTS], dinputs[TRIAL_INPUTS];
    const sq_attention_call call = call_of(t, SQ_BACKWARD, inputs);
    const trial_array *written[3 + TRIAL_INPUTS] = { &t->dq, &t->dk, &t->dv };
    const sq_attention_gradients gradients = { t->dout.view, t->dq.view, t->dk.view, t->dv.view, t->dtensor, t->dauxiliary, dinputs };
    for (int i = 0; i < t->input_count; i++) {
        written[3 + i] = &t->dinput[i];
        dinputs[i] = t->dinput[i].view;
    }
    for (int i = 0; i < 3 + t->input_count; i++) memset(written[i]->data, POISON, (size_t)written[i]->count * sizeof(float));
    memset(call.workspace, POISON, workspace_bytes(t, SQ_BACKWARD));
    sq_attention_backward(t->plan, &call, &gradients);
}

void trial_backward(trial *t)
{
    for (int i = 0; i < t->tensor_count; i++)
        if (t->dtensor[i]) memset(t->dtensor[i], 0, (size_t)t->tensor_size[i] * sizeof(float));
    trial_backward_again(t);
}

/* ---- streaming ---- */

static sq_view from_row(sq_view view, int64_t row)
{
    if (view.data) view.data += row * view.row;
    return view;
}

/* Rows [at, at + rows) after state, which guards surround. */
static bool stream_piece(trial *t, int64_t at, int64_t rows, char *state, size_t bytes)
{
    sq_view inputs[TRIAL_INPUTS];
    sq_attention_call call = call_of(t, SQ_FORWARD, inputs);
    sq_attention_desc desc = t->desc;
    sq_attention *plan;
    desc.max_length = desc.max_length ? desc.max_length : desc.N;
    desc.T = desc.N = rows;
    if (sq_attention_create(&plan, &desc, &t->error) != SQ_OK) return false;
    const size_t workspace = sq_attention_workspace_bytes(plan, SQ_FORWARD);
    const bool same = sq_attention_state_bytes(plan) == bytes;
    char *block = guarded(workspace);
    call.q = from_row(call.q, at), call.k = from_row(call.k, at), call.v = from_row(call.v, at), call.out = from_row(call.out, at);
    for (int i = 0; i < t->input_count; i++) inputs[i] = from_row(inputs[i], at);
    call.workspace = block + GUARD;
    call.saved = NULL;
    if (at == 0) sq_attention_state_reset(plan, state + GUARD);
    if (same) sq_attention_step(plan, &call, state + GUARD);
    const bool held = guards_hold(block, workspace) && guards_hold(state, bytes);
    free(block);
    sq_attention_destroy(&plan);
    return same && held;
}

bool trial_stream(trial *t, int64_t largest)
{
    const size_t bytes = sq_attention_state_bytes(t->plan);
    const sq_random random = sq__random_stream(16, "pieces", (uint64_t)largest);
    char *state = guarded(bytes);
    bool fine = true;
    memset(t->out.data, POISON, (size_t)t->out.count * sizeof(float));
    for (int64_t at = 0, rows; fine && at < t->shape.T; at += rows) {
        char *moved = guarded(bytes);
        rows = 1 + (int64_t)sq__random_below(&random, (uint64_t)at, (uint64_t)largest);
        if (rows > t->shape.T - at) rows = t->shape.T - at;
        memcpy(moved, state, GUARD + bytes + GUARD);
        memset(state, POISON, GUARD + bytes + GUARD);
        free(state);
        state = moved;
        fine = stream_piece(t, at, rows, state, bytes);
    }
    free(state);
    return fine;
}

/* ---- comparing trials ---- */

void trial_same_inputs(trial *to, const trial *from)
{
    memcpy(to->q.data, from->q.data, (size_t)from->q.count * sizeof(float));
    memcpy(to->k.data, from->k.data, (size_t)from->k.count * sizeof(float));
    memcpy(to->v.data, from->v.data, (size_t)from->v.count * sizeof(float));
    memcpy(to->dout.data, from->dout.data, (size_t)from->dout.count * sizeof(float));
}

void trial_expect_close(const trial *a, const trial_array *x, const trial *b, const trial_array *y, double bound)
{
    float *left = trial_packed(a, x), *right = trial_packed(b, y);
    assert_int_equal(x->count, y->count);
    for (int64_t i = 0; i < x->count; i++) assert_close(left[i], right[i], bound);
    free(left);
    free(right);
}
