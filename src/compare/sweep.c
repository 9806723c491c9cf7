/* Time and memory of one attention call against length, at the shape of the task's model. On one thread: growth and crossovers do not hang
 * on threads, and other load on the machine disturbs one thread least. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/memory.h"
#include "bench/bench.h"
#include "compare/comparing.h"

void sq__compare_sweep_shape(const sq_comparing *c, int64_t *heads, int64_t *head_size)
{
    const sq_model_config *model = &c->task->model;
    const sq_compare_config *compare = &c->task->compare;
    *heads = compare->sweep_heads ? compare->sweep_heads : model->heads;
    *head_size = compare->sweep_head_size ? compare->sweep_head_size : model->head_size ? model->head_size : model->width / model->heads;
    if (*head_size < 1) *head_size = 1;
}

static bool causal(const sq_train_job *job)
{
    sq_mechanism_info info = { .can = 0 };
    sq_mechanism_get(sq_mechanism_find(job->mechanism), &info);
    return job->model.causal || info.can & SQ_CAUSAL_ONLY;
}

static sq_attention_desc description(const sq_comparing *c, const sq_train_job *job, int64_t n)
{
    int64_t heads, head_size;
    sq__compare_sweep_shape(c, &heads, &head_size);
    return (sq_attention_desc){ .mechanism = job->mechanism, .options = job->options, .option_count = job->option_count, .B = 1, .H = heads, .T = n, .N = n,
                                .D = head_size, .M = head_size, .causal = causal(job), .threads = 1, .seed = 1 };
}

/* Everything that the figures depend on. sq__free. */
static char *condition_text(const sq_comparing *c, const sq_comparing_model *model)
{
    int64_t heads, head_size;
    char *text = NULL, *copy;
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    if (!stream) return NULL;
    sq__compare_sweep_shape(c, &heads, &head_size);
    fprintf(stream, "subquad %s, %s, %lld heads of %lld%s, %s", sq_version(), sq__isa_name(sq__cpu_isa()), (long long)heads,
            (long long)head_size, c->task->model.causal ? ", causal" : "", model->options);
    copy = fclose(stream) == 0 ? sq__strdup(text) : NULL;
    free(text);
    return copy;
}

/* Seconds that one length may take, from operation counts at a modest speed and a little for every case. */
static double case_guess(const sq_comparing *c, const sq_train_job *job, int64_t n)
{
    const sq_attention_desc desc = description(c, job, n);
    sq_attention *plan;
    double seconds = 0.4;
    if (sq_attention_create(&plan, &desc, NULL) != SQ_OK) return seconds;
    seconds += (2 * sq_attention_flops(plan, SQ_FORWARD) + sq_attention_flops(plan, SQ_BACKWARD)) / 25e9;
    sq_attention_destroy(&plan);
    return seconds;
}

static double model_guess(const sq_comparing *c, const sq_comparing_model *model)
{
    sq_task_job made;
    double seconds = 0;
    if (!model->attention || sq__task_job_make(c->task, c->dataset, model->name, 1, &made, NULL) != SQ_OK) return 0;
    for (int l = 0; l < c->length_count; l++) seconds += case_guess(c, &made.job, c->lengths[l]);
    sq__task_job_clear(&made);
    return seconds;
}

double sq__compare_sweep_guess(const sq_comparing *c)
{
    double seconds = 0;
    for (int i = 0; i < c->model_count; i++) seconds += model_guess(c, &c->models[i]);
    return seconds;
}

/* One length: forward, then forward and backward. A case that cannot run leaves a note and no figure. */
static sq_status measure(const sq_comparing *c, sq_comparing_model *model, const sq_train_job *job, int64_t n, bool *stop_here, sq_error *error)
{
    static const sq_bench_budget budget = { .least_runs = 3, .seconds = 0.1, .most_seconds = 1.0 };
    sq_sweep_point point = { .n = n, .seconds = { NAN, NAN } };
    *stop_here = false;
    for (int pass = 0; pass < SQ_PASSES; pass++) {
        const sq_bench_case bench = { .desc = description(c, job, n), .pass = (sq_pass)pass, .dtype = "f32" };
        sq_bench_result result;
        sq_error reason;
        const sq_status status = sq__bench(&bench, &budget, &result, &reason);
        if (status == SQ_OK) {
            point.seconds[pass] = result.ms * 1e-3;
            point.peak_bytes[pass] = result.peak_bytes;
            continue;
        }
        if (status != SQ_NO_MEMORY && status != SQ_UNSUPPORTED && status != SQ_INVALID && status != SQ_INTERNAL)
            return sq__fail(error, status, "sweep of %s at n = %lld: %s", model->name, (long long)n, reason.message);
        snprintf(model->sweep_note, sizeof model->sweep_note, "from n = %lld no figures: %.200s", (long long)n, reason.message);
        *stop_here = true;
        break;
    }
    if (model->point_count < SQ_COMPARE_LENGTHS && isfinite(point.seconds[SQ_FORWARD])) model->points[model->point_count++] = point;
    return SQ_OK;
}

static bool measured(const sq_comparing_model *model, int64_t n)
{
    for (int p = 0; p < model->point_count; p++)
        if (model->points[p].n == n) return true;
    return false;
}

static int by_length(const void *a, const void *b)
{
    const int64_t one = ((const sq_sweep_point *)a)->n, two = ((const sq_sweep_point *)b)->n;
    return one < two ? -1 : one > two;
}

/* Only lengths that were asked for stay, in order. */
static void keep_asked(const sq_comparing *c, sq_comparing_model *model)
{
    int kept = 0;
    for (int p = 0; p < model->point_count; p++)
        for (int l = 0; l < c->length_count; l++)
            if (model->points[p].n == c->lengths[l]) {
                model->points[kept++] = model->points[p];
                break;
            }
    model->point_count = kept;
    qsort(model->points, (size_t)kept, sizeof *model->points, by_length);
}

/* guessed: seconds that the cases done and to do were thought to take; what they took corrects the rest. */
typedef struct sweep_pace { double spent, guessed_done, guessed_left; int done, total; } sweep_pace;

static double pace_left(const sweep_pace *pace)
{
    return pace->guessed_left * (pace->guessed_done > 0 ? pace->spent / pace->guessed_done : 1);
}

static sq_status sweep_model(const sq_comparing *c, sq_comparing_model *model, const char *condition, sweep_pace *pace, sq_error *error)
{
    sq_task_job made;
    if (c->options->resume) sq__sweep_cache_read(c->folder, model->name, condition, model);
    keep_asked(c, model);
    SQ_TRY(sq__task_job_make(c->task, c->dataset, model->name, 1, &made, error));
    sq_status status = SQ_OK;
    bool stop_here = false;
    for (int l = 0; l < c->length_count && status == SQ_OK && !stop_here; l++) {
        const int64_t n = c->lengths[l];
        const double guess = case_guess(c, &made.job, n), begin = sq__clock();
        const bool known = measured(model, n);
        if (sq__compare_stopped(c)) status = sq__fail(error, SQ_INTERRUPTED, "interrupted in the sweep of %s", model->name);
        if (status != SQ_OK) break;
        sq__compare_report(c, "sweep", model->name, pace->done++, pace->total, pace_left(pace), NULL);
        pace->guessed_left -= guess;
        if (known) continue;
        status = measure(c, model, &made.job, n, &stop_here, error);
        pace->guessed_done += guess;
        pace->spent += sq__clock() - begin;
        if (status == SQ_OK) keep_asked(c, model);
        if (status == SQ_OK) status = sq__sweep_cache_write(c->folder, model->name, condition, model, error);
    }
    if (model->sweep_note[0]) sq__compare_report(c, "sweep", model->name, pace->done, pace->total, pace_left(pace), model->sweep_note);
    sq__task_job_clear(&made);
    if (status == SQ_OK) status = sq__store_sweep(c->store, model->name, model->points, model->point_count, error);
    return status;
}

sq_status sq__compare_sweep(sq_comparing *c, sq_error *error)
{
    sweep_pace pace = { .guessed_left = c->sweep_seconds };
    for (int i = 0; i < c->model_count; i++) pace.total += !c->models[i].attention ? 0 : c->length_count;
    for (int i = 0; i < c->model_count && c->length_count > 0; i++) {
        if (!c->models[i].attention) continue;
        char *condition = condition_text(c, &c->models[i]);
        const sq_status status = condition ? sweep_model(c, &c->models[i], condition, &pace, error) : sq__no_memory(error);
        sq__free(condition);
        SQ_TRY(status);
    }
    return SQ_OK;
}
