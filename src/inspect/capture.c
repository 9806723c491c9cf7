/* What the attention layers of a trained model see: an observer on the tape copies queries, keys and values while the model scores. */
#include <string.h>

#include "attention/kind.h"
#include "base/status.h"
#include "inspect/qkv.h"
#include "io/file.h"
#include "task/task.h"
#include "train/scorer.h"

typedef struct capture {
    sq_qkv_set *set;
    int64_t longest, layers, calls;
    const char *mechanism;
    bool reads_less, full;             /* the mechanism ignores queries or keys; memory ran out */
} capture;

static void copy_rows(float *y, const sq_view *x, int64_t b, int64_t rows, int64_t H, int64_t width)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t h = 0; h < H; h++)
            memcpy(y + (i * H + h) * width, x->data + b * x->batch + i * x->row + h * x->head, (size_t)width * sizeof *y);
}

/* Self attention only: pooling by attention is another thing, which one query tells, and so single events are left out (they see themselves).
 * Layers come in their order, batch after batch. */
static void observe(void *context, const sq_attention *plan, const sq_attention_call *call)
{
    capture *c = context;
    const sq_problem *p = sq__attention_problem(plan);
    char name[32];
    if (p->T != p->N || p->N == 1 || p->H != p->Hk) return;
    c->reads_less = c->reads_less || sq_attention_ignores(plan);
    if (c->reads_less) return;
    snprintf(name, sizeof name, "layer.%lld", (long long)(c->calls++ % c->layers));
    c->set->causal = p->causal;
    for (int64_t b = 0; b < p->B && !c->full; b++) {
        const int64_t all = call->lengths ? call->lengths[b] : p->N, rows = c->longest && all > c->longest ? c->longest : all;
        if (all < 2) continue;
        float *data = sq__qkv_add(c->set, name, p->H, rows, rows, p->D, p->M);
        c->full = data == NULL;
        if (c->full) return;
        copy_rows(data, &call->q, b, rows, p->H, p->D);
        copy_rows(data + p->H * rows * p->D, &call->k, b, rows, p->H, p->D);
        copy_rows(data + p->H * 2 * rows * p->D, &call->v, b, rows, p->H, p->M);
    }
}

static sq_status score(capture *c, sq_scorer *scorer, sq_dataset *dataset, int64_t most, sq_stop_flag *stop, const char *folder, sq_error *error)
{
    const int64_t all = dataset->split_size[SQ_SPLIT_TEST];
    c->layers = sq__scorer_layers(scorer);
    if (!c->layers) return sq__fail(error, SQ_UNSUPPORTED, "%s: %s has no attention", folder, sq__scorer_mechanism(scorer));
    if (most && all > most) dataset->split_size[SQ_SPLIT_TEST] = most;
    sq__scorer_observe(scorer, observe, c);
    sq_status status = sq__scorer_run(scorer, dataset, SQ_SPLIT_TEST, stop, NULL, NULL, error);
    sq__scorer_observe(scorer, NULL, NULL);
    dataset->split_size[SQ_SPLIT_TEST] = all;
    if (status == SQ_OK && c->full) status = sq__no_memory(error);
    if (status == SQ_OK && c->reads_less)
        status = sq__fail(error, SQ_UNSUPPORTED, "%s: %s reads no queries or no keys: it has no attention matrix of them", folder, sq__scorer_mechanism(scorer));
    if (status == SQ_OK && !c->set->count) status = sq__fail(error, SQ_UNSUPPORTED, "%s: no client of its test split has two events to look at", folder);
    return status;
}

static sq_status capture_run(capture *c, const char *folder, char *const *paths, int64_t most, int threads, sq_stop_flag *stop, sq_error *error)
{
    sq_task *task = NULL;
    sq_dataset *dataset = NULL;
    sq_scorer *scorer = NULL;
    if (!sq__file_exists(paths[0])) return sq__fail(error, SQ_NOT_FOUND, "%s: not there; expected the folder of a training run", paths[0]);
    sq_status status = sq_task_load(&task, paths[0], error);
    if (status == SQ_OK) status = sq__task_dataset(task, &(sq_task_reading){ .stop = stop }, &dataset, error);
    if (status == SQ_OK) status = sq__scorer_open(&scorer, paths[1], dataset->schema, threads, error);
    if (status == SQ_OK) status = score(c, scorer, dataset, most, stop, folder, error);
    sq__scorer_destroy(&scorer);
    sq__dataset_destroy(&dataset);
    sq_task_destroy(&task);
    return status;
}

sq_status sq_qkv_capture(sq_qkv_set *set, const char *run_folder, int64_t most, int64_t longest, int threads, sq_stop_flag *stop, sq_error *error)
{
    char *paths[2] = { sq__path_join(run_folder, "config.yaml"), sq__path_join(run_folder, "model.safetensors") };
    capture c = { .set = set, .longest = longest };
    *set = (sq_qkv_set){ .count = 0 };
    const sq_status status = paths[0] && paths[1] ? capture_run(&c, run_folder, paths, most, threads, stop, error) : sq__no_memory(error);
    sq__free(paths[0]);
    sq__free(paths[1]);
    if (status != SQ_OK) sq_qkv_set_clear(set);
    return status;
}
