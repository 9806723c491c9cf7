/* Handing out a call head by head. */
#include <string.h>

#include "attention/kind.h"
#include "base/parallel.h"

static float *at(const sq_view *view, int64_t b, int64_t h)
{
    return view->data ? view->data + b * view->batch + h * view->head : NULL;
}

void sq__zero_rows(float *data, int64_t row, int64_t from, int64_t to, int64_t width)
{
    for (int64_t i = from; data && i < to; i++) memset(data + i * row, 0, (size_t)width * sizeof(float));
}

static int64_t clamp_length(const int32_t *lengths, int64_t b, int64_t most)
{
    if (!lengths) return most;
    return lengths[b] < 0 ? 0 : lengths[b] < most ? lengths[b] : most;
}

sq_head sq__head(const sq_run *run, int64_t b, int64_t h)
{
    const sq_problem *p = run->problem;
    const sq_attention_call *call = run->call;
    const sq_attention_gradients *g = run->gradients;
    int64_t hk = h / (p->H / p->Hk);
    sq_head head = {
        .b = b, .h = h, .T = clamp_length(call->query_lengths, b, p->T), .N = clamp_length(call->lengths, b, p->N),
        .q = at(&call->q, b, h), .k = at(&call->k, b, hk), .v = at(&call->v, b, hk), .out = at(&call->out, b, h),
        .q_row = call->q.row, .k_row = call->k.row, .v_row = call->v.row, .out_row = call->out.row,
        .key_keep = call->key_keep ? call->key_keep + b * p->N : NULL, .pair_keep = call->pair_keep,
        .global_tokens = call->global_tokens ? call->global_tokens + b * p->N : NULL,
    };
    if (g) {
        head.dout = at(&g->dout, b, h);
        head.dq = at(&g->dq, b, h);
        head.dk = at(&g->dk, b, hk);
        head.dv = at(&g->dv, b, hk);
        head.dout_row = g->dout.row;
        head.dq_row = g->dq.row;
        head.dk_row = g->dk.row;
        head.dv_row = g->dv.row;
    }
    return head;
}

const float *sq__head_input(const sq_run *run, int index, int64_t b, int64_t h, int64_t *row)
{
    *row = run->call->inputs[index].row;
    return at(&run->call->inputs[index], b, h);
}

float *sq__head_dinput(const sq_run *run, int index, int64_t b, int64_t h, int64_t *row)
{
    *row = run->gradients->dinputs[index].row;
    return at(&run->gradients->dinputs[index], b, h);
}

static void zero_dinputs(const sq_run *run, const sq_head *head)
{
    for (int i = 0; i < run->input_count; i++) {
        const sq_attention_input *input = &run->inputs[i];
        int64_t row;
        float *data = sq__head_dinput(run, i, head->b, head->h, &row);
        if (input->of_keys) sq__zero_rows(data, row, head->N, run->problem->N, input->width);
        else sq__zero_rows(data, row, head->T, run->problem->T, input->width);
    }
}

typedef struct heads { const sq_run *run; size_t per_thread; sq_head_fn fn; } heads;

static void run_head(const heads *all, int64_t b, int64_t h, bool accumulate, int thread)
{
    const sq_problem *p = all->run->problem;
    sq_head head = sq__head(all->run, b, h);
    head.accumulate = accumulate;
    head.workspace = (char *)all->run->call->workspace + (size_t)thread * all->per_thread;
    if (all->run->gradients) {
        sq__zero_rows(head.dq, head.dq_row, head.T, p->T, p->D);
        if (!accumulate) {
            sq__zero_rows(head.dk, head.dk_row, head.N, p->N, p->D);
            sq__zero_rows(head.dv, head.dv_row, head.N, p->N, p->M);
        }
        zero_dinputs(all->run, &head);
    } else {
        sq__zero_rows(head.out, head.out_row, head.T, p->T, p->M);
    }
    all->fn(all->run, &head);
}

static void run_item(void *context, int64_t item, int thread)
{
    const heads *all = context;
    const sq_problem *p = all->run->problem;
    const int64_t group = all->run->gradients ? p->H / p->Hk : 1, items = p->H / group, first = item % items * group;
    for (int64_t h = first; h < first + group; h++) run_head(all, item / items, h, h > first, thread);
}

void sq__for_heads(const sq_run *run, size_t per_thread_bytes, sq_head_fn fn)
{
    heads all = { run, per_thread_bytes, fn };
    sq__parallel(run->problem->threads, run->problem->B * (run->gradients ? run->problem->Hk : run->problem->H), run_item, &all);
}
