/* Slices of the batch through time: the controller for all sequences of a slice, then the heads of each. */
#include "autograd/ntm_run.h"
#include "base/subnormal.h"

static int64_t longest(const sq_ntm_run *c, int64_t from, int64_t to)
{
    int64_t most = 0;
    for (int64_t b = from; b < to; b++) most = sq__ntm_length(c, b) > most ? sq__ntm_length(c, b) : most;
    return most;
}

static void clear_rows(float *rows, int64_t from, int64_t to, int64_t width)
{
    if (from < to) memset(rows + from * width, 0, (size_t)((to - from) * width) * sizeof(float));
}

/* What lies beyond the lengths counts for nothing in products over all rows. */
static void clear_ends(const sq_ntm_run *c, int64_t b, bool results)
{
    const int64_t length = sq__ntm_length(c, b), first = b * c->rows + sq__least(length, c->rows), end = (b + 1) * c->rows;
    for (int l = 0; l < c->shape.layers; l++) {
        const sq_ntm_cell *cell = &c->layer[l];
        if (results) clear_rows(cell->gates, b * cell->rows + sq__least(length, cell->rows), (b + 1) * cell->rows, c->G);
        else clear_rows(cell->inputs, first, end, cell->below + cell->own);
        if (!results && l) clear_rows(cell->gates, first, end, c->G);
    }
    if (results) clear_rows(c->rules, first, end, c->P);
    clear_rows(c->out, b * c->T + length, (b + 1) * c->T, c->width);
}

static void turn_heads(const sq_ntm_run *c, int64_t b, int64_t t, float *scratch)
{
    const sq_ntm_shape *s = &c->shape;
    const int64_t N = s->slots, M = s->slot_size, row = sq__ntm_row(c, b, t);
    float *rules = c->rules + row * c->P, *state = sq__ntm_last(c, b), *memory = state + c->at.memory, *reads = state + c->at.reads;
    int read = 0, written = 0;
    for (int head = 0; head < c->heads; head++) {
        const bool writes = sq__ntm_writes(s, head);
        float *w = state + c->at.weights + head * N, *kept = sq__ntm_kept(c, row, head);
        sq__ntm_activate(s, writes, rules);
        sq__ntm_address(s, rules, memory, w, kept, scratch);
        memcpy(w, kept + SQ_NTM_WEIGHT * N, (size_t)N * sizeof(float));
        if (writes) {
            if (c->memories) memcpy(sq__ntm_memory(c, b, t, written++), memory, (size_t)(M * N) * sizeof(float));
            sq__ntm_write(s, rules, w, memory);
        } else {
            sq__ntm_read(s, memory, w, reads + M * read++);
        }
        rules += sq__ntm_head_size(s, writes);
    }
    memcpy(c->out + (b * c->T + t) * c->width + s->hidden, reads, (size_t)(M * s->read_heads) * sizeof(float));
}

void sq__ntm_forward_slice(void *context, int64_t slice, int thread)
{
    const sq_ntm_run *c = context;
    const int64_t from = slice * SQ_NTM_SLICE, to = sq__least(c->B, from + SQ_NTM_SLICE), steps = longest(c, from, to), H = c->shape.hidden;
    const unsigned subnormals = sq__subnormals_off();   /* weights fade to nothing at every slot but a few */
    for (int64_t b = from; b < to; b++) {
        memcpy(sq__ntm_last(c, b), sq__ntm_begin(c, b), (size_t)c->at.size * sizeof(float));
        clear_ends(c, b, false);
    }
    for (int64_t t = 0; t < steps; t++) {
        sq__ntm_control(c, from, to, t);
        for (int64_t b = from; b < to; b++) memcpy(c->rules + sq__ntm_row(c, b, t) * c->P, c->heads_bias, (size_t)c->P * sizeof(float));
        sq__gemm(false, false, to - from, c->P, H, 1, c->out + (from * c->T + t) * c->width, c->T * c->width, c->packed_heads, c->P, 1,
                 c->rules + sq__ntm_row(c, from, t) * c->P, c->rows * c->P);
        for (int64_t b = from; b < to; b++)
            if (t < sq__ntm_length(c, b)) turn_heads(c, b, t, c->scratch + thread * c->slice_scratch);
    }
    for (int64_t b = from; b < to; b++) {
        clear_ends(c, b, true);
        if (c->memories)
            memcpy(sq__ntm_memory(c, b, sq__ntm_length(c, b), 0), sq__ntm_last(c, b) + c->at.memory,
                   (size_t)(c->shape.slots * c->shape.slot_size) * sizeof(float));
    }
    sq__subnormals_restore(subnormals);
}

/* dstate: of the state after step t -> of what the heads found; the gradient of the rules takes their place. */
static void turn_heads_back(const sq_ntm_run *c, int64_t b, int64_t t, float *scratch)
{
    const sq_ntm_shape *s = &c->shape;
    const int64_t N = s->slots, M = s->slot_size, row = sq__ntm_row(c, b, t);
    float *dstate = c->dstate + b * c->wide, *dmemory = dstate + c->at.memory, *dreads = dstate + c->at.reads;
    float *rules = c->rules + (row + 1) * c->P, *drules = scratch + sq__ntm_head_scratch(s);
    int read = s->read_heads, written = s->write_heads;
    for (int head = (int)c->heads; head-- > 0;) {
        const bool writes = sq__ntm_writes(s, head);
        const int64_t size = sq__ntm_head_size(s, writes);
        const float *kept = sq__ntm_kept(c, row, head), *w = kept + SQ_NTM_WEIGHT * N;
        const float *before = t ? sq__ntm_kept(c, row - 1, head) + SQ_NTM_WEIGHT * N : sq__ntm_begin(c, b) + c->at.weights + head * N;
        float *dw = dstate + c->at.weights + head * N;
        rules -= size;
        memset(drules, 0, (size_t)size * sizeof(float));
        if (writes) written--;
        const float *memory = sq__ntm_memory(c, b, t, written);
        if (writes) sq__ntm_write_back(s, rules, memory, w, dw, drules, dmemory);
        else sq__ntm_read_back(s, memory, w, dreads + M * --read, dw, dmemory);
        sq__ntm_address_back(s, rules, memory, before, kept, dw, drules, dmemory, scratch);
        sq__ntm_activate_back(s, writes, rules, drules);
        memcpy(rules, drules, (size_t)size * sizeof(float));
    }
    memset(dreads, 0, (size_t)(M * s->read_heads) * sizeof(float));
}

void sq__ntm_backward_slice(void *context, int64_t slice, int thread)
{
    const sq_ntm_run *c = context;
    const sq_kernels *kernels = sq__kernels();
    const int64_t from = slice * SQ_NTM_SLICE, to = sq__least(c->B, from + SQ_NTM_SLICE), H = c->shape.hidden, wide = c->wide,
                  RM = c->width - H;
    float *dh = c->scratch + thread * c->slice_scratch, *scratch = dh + SQ_NTM_SLICE * H;
    const unsigned subnormals = sq__subnormals_off();
    for (int64_t t = longest(c, from, to); t-- > 0;) {
        memset(dh, 0, (size_t)((to - from) * H) * sizeof(float));
        for (int64_t b = from; b < to; b++) {
            if (t >= sq__ntm_length(c, b)) continue;
            const float *dout = c->dout ? c->dout + (b * c->T + t) * c->width : NULL;
            if (dout) kernels->axpy(c->dstate + b * wide + c->at.reads, 1, dout + H, RM);
            turn_heads_back(c, b, t, scratch);
            if (dout) memcpy(dh + (b - from) * H, dout, (size_t)H * sizeof(float));
        }
        sq__gemm(false, false, to - from, H, c->P, 1, c->rules + sq__ntm_row(c, from, t) * c->P, c->rows * c->P, c->heads_weight, H, 1, dh, H);
        for (int64_t b = from; b < to; b++)
            if (t < sq__ntm_length(c, b)) kernels->axpy(c->dstate + b * wide + c->at.hidden[c->shape.layers - 1], 1, dh + (b - from) * H, H);
        sq__ntm_control_back(c, from, to, t);
    }
    sq__subnormals_restore(subnormals);
}
