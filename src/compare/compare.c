/* sq_compare: read the data once, train every model, sweep the length, write the report. Each piece is on disk as soon as it is whole. */
#include "subquad/compare.h"

#include <math.h>
#include <string.h>
#include <time.h>

#include "base/cpu.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "compare/comparing.h"
#include "io/file.h"
#include "report/metric.h"
#include "report/report.h"
#include "train/tally.h"

/* ---- what is asked ---- */

static sq_status add_models(sq_comparing *c, const char *const *names, int count, bool baseline, sq_error *error)
{
    for (int i = 0; i < count; i++) {
        if (c->model_count == SQ_COMPARE_MODELS) return sq__fail(error, SQ_INVALID, "compare: more than %d mechanisms", SQ_COMPARE_MODELS);
        sq_comparing_model *model = &c->models[c->model_count++];
        model->name = names[i];
        model->baseline = baseline;
        model->attention = sq_mechanism_find(names[i]) >= 0;
        model->runs = sq__alloc_array((size_t)c->seeds, sizeof *model->runs);
        if (!model->runs) return sq__no_memory(error);
    }
    return SQ_OK;
}

/* Mechanisms, other models, baselines: each list as a task file has it. What stands in two lists counts as the later: gru as a baseline. */
static sq_status add_lists(sq_comparing *c, const char *mechanisms, const char *others, const char *baselines, sq_error *error)
{
    const char *names[SQ_COMPARE_MODELS], *models[SQ_COMPARE_MODELS], *last[SQ_COMPARE_MODELS];
    int count, model_count, last_count, kept = 0;
    SQ_TRY(sq__mechanism_list(mechanisms, names, SQ_COMPARE_MODELS, &count, error));
    SQ_TRY(sq__model_list(others, models, SQ_COMPARE_MODELS, &model_count, error));
    SQ_TRY(sq__baseline_list(baselines, last, SQ_COMPARE_MODELS, &last_count, error));
    for (int i = 0; i < model_count; i++) {
        bool baseline = false;
        for (int j = 0; j < last_count; j++) baseline = baseline || strcmp(models[i], last[j]) == 0;
        if (!baseline) models[kept++] = models[i];
    }
    SQ_TRY(add_models(c, names, count, false, error));
    SQ_TRY(add_models(c, models, kept, false, error));
    return add_models(c, last, last_count, true, error);
}

/* `only` names mechanisms, models and baselines in one list: exactly these run. */
static sq_status add_only(sq_comparing *c, const char *only, sq_error *error)
{
    char lists[3][1024] = { "", "", "" };   /* mechanisms, models, baselines */
    while (*only) {
        char word[64];
        const size_t length = strcspn(only, ",");
        snprintf(word, sizeof word, "%.*s", (int)length, only);
        only += length + (only[length] == ',');
        if (!word[0]) continue;
        const bool all = strcmp(word, "all") == 0, baseline = strcmp(word, "logistic") == 0 || strcmp(word, "gru") == 0;
        SQ_TRY(all ? SQ_OK : sq__task_mechanism_check(word, error));
        char *list = lists[all || sq_mechanism_find(word) >= 0 ? 0 : baseline ? 2 : 1];
        const size_t used = strlen(list);
        if (used + strlen(word) + 2 > sizeof lists[0]) return sq__fail(error, SQ_INVALID, "compare: the list of mechanisms is too long");
        snprintf(list + used, sizeof lists[0] - used, "%s%s", used ? "," : "", word);
    }
    return add_lists(c, lists[0], lists[1], lists[2], error);
}

static sq_status plan(sq_comparing *c, sq_error *error)
{
    const sq_compare_config *config = &c->task->compare;
    c->seeds = c->options->seeds > 0 ? c->options->seeds : (int)config->seeds;
    c->threads = c->options->threads > 0 ? c->options->threads : sq__threads_available();
    SQ_TRY(sq__length_list(config->lengths, c->lengths, SQ_COMPARE_LENGTHS, &c->length_count, error));
    SQ_TRY(c->options->only ? add_only(c, c->options->only, error) : add_lists(c, config->mechanisms, config->models, config->baselines, error));
    return c->model_count > 0 ? SQ_OK : sq__fail(error, SQ_INVALID, "compare: there is no mechanism to compare");
}

/* ---- its folder ---- */

static sq_status open_folder(sq_comparing *c, const char *yaml, sq_error *error)
{
    char *store = sq__path_join(c->folder, "runs.db"), *config = sq__path_join(c->folder, "config.yaml"), *runs = sq__path_join(c->folder, "runs");
    sq_status status = store && config && runs ? SQ_OK : sq__no_memory(error);
    if (status == SQ_OK && !c->options->resume && (sq__file_exists(store) || sq__file_exists(config)))
        status = sq__fail(error, SQ_INVALID, "%s: holds results already; go on from them with resume, or name another folder", c->folder);
    if (status == SQ_OK) status = sq__make_folders(runs, error);
    if (status == SQ_OK) status = sq__store_open(&c->store, store, error);
    if (status == SQ_OK) status = sq__file_write(config, yaml, error);
    sq__free(store);
    sq__free(config);
    sq__free(runs);
    return status;
}

/* ---- the report ---- */

/* The class that is most frequent in training (the first of equals); 0 where clients have none. */
static int majority(const sq_dataset *data)
{
    int64_t counts[SQ_MAX_CLASSES] = { 0 };
    int class = 0;
    if (data->schema->target != SQ_TARGET_CLASS) return 0;
    for (int64_t i = 0; i < data->split_size[SQ_SPLIT_TRAIN]; i++) counts[data->label[data->split[SQ_SPLIT_TRAIN][i]]]++;
    for (int k = 1; k < data->schema->class_count; k++)
        if (counts[k] > counts[class]) class = k;
    return class;
}

/* The configuration in the folder is complete, so it is what the command needs. */
static void command_text(const sq_comparing *c, char *text, size_t size)
{
    snprintf(text, size, "subquad compare %s/config.yaml --seeds %d%s%s", c->folder, c->seeds, c->options->only ? " --only " : "",
             c->options->only ? c->options->only : "");
}

static void report_progress(void *user, int done, int total)
{
    sq__compare_report(user, "report", NULL, done, total, 0.1 * (total - done), NULL);
}

static sq_status fill_result(const sq_comparison *comparison, const sq_comparing *c, sq_compare_result *result, sq_error *error)
{
    sq_findings found;
    sq__findings(comparison, &found);
    result->rows = sq__alloc_array((size_t)comparison->count, sizeof *result->rows);
    if (!result->rows) return sq__no_memory(error);
    result->row_count = comparison->count;
    for (int i = 0; i < comparison->count; i++) result->rows[i] = comparison->models[i].row;
    result->class_count = comparison->class_count;
    result->majority = comparison->majority;
    result->target = comparison->target;
    result->constant = comparison->constant;
    snprintf(result->metric, sizeof result->metric, "%s", comparison->metric);
    snprintf(result->headline, sizeof result->headline, "%s", found.lines[0]);
    snprintf(result->summary, sizeof result->summary, "%s", found.crossovers);
    snprintf(result->report, sizeof result->report, "%s/report.html", c->folder);
    return SQ_OK;
}

static sq_status write_report(sq_comparing *c, const char *yaml, sq_compare_result *result, sq_error *error)
{
    const sq_dataset *data = c->dataset;
    int64_t heads, head_size, fit_from;
    char command[1024], note[256];
    sq_environment environment;
    sq_compared *models = sq__alloc_array((size_t)c->model_count, sizeof *models);
    if (!models) return sq__no_memory(error);
    sq__compare_environment(c->threads, &environment);
    sq__compare_sweep_shape(c, &heads, &head_size);
    sq__compare_summarise(c, models, &fit_from);
    command_text(c, command, sizeof command);
    const bool confused = data->schema->target == SQ_TARGET_CLASS || (data->schema->target == SQ_TARGET_EVENT_CLASS && data->schema->class_count <= SQ_MAX_CLASSES);
    sq_quality constant = sq__quality_unknown;
    sq_status status = sq__constant_quality(data, SQ_SPLIT_TEST, &constant, error);
    const sq_comparison comparison = {
        .name = c->task->name, .command = command, .started = c->started, .config_yaml = yaml, .warning = data->warning,
        .target = data->schema->target, .metric = sq__train_metric(&c->task->train, data->schema->target), .constant = constant, .environment_count = environment.count,
        .environment = environment.pairs, .class_count = confused ? data->schema->class_count : 0, .classes = (const char *const *)data->schema->classes,
        .majority_class = data->schema->class_count ? data->schema->classes[majority(data)] : "", .majority = data->schema->target == SQ_TARGET_CLASS ? constant.accuracy : NAN, .test_count = data->split_size[SQ_SPLIT_TEST], .seeds = c->seeds, .first_seed = c->task->compare.seed,
        .sweep_heads = (int)heads, .sweep_head_size = (int)head_size, .sweep_fit_from = fit_from, .count = c->model_count,
        .models = models };
    const sq_report_options options = { report_progress, c, c->options->stop };
    if (status == SQ_OK) status = sq__store_environment(c->store, environment.pairs, environment.count, error);
    for (int i = 0; i < c->model_count && status == SQ_OK; i++)
        status = sq__store_refused(c->store, c->models[i].name, c->models[i].refused[0] ? c->models[i].refused : NULL, error);
    if (status == SQ_OK) status = sq__report_write(&comparison, c->folder, &options, note, error);
    if (status == SQ_OK && note[0]) sq__compare_report(c, "report", NULL, 0, 0, NAN, note);
    if (status == SQ_OK) status = fill_result(&comparison, c, result, error);
    sq__free(models);
    return status;
}

/* ---- the whole ---- */

static sq_status compare(sq_comparing *c, const char *yaml, sq_compare_result *result, sq_error *error)
{
    const sq_task_reading reading = { c->options->progress, c->options->user, c->options->stop };
    SQ_TRY(plan(c, error));
    SQ_TRY(sq__task_dataset(c->task, &reading, &c->dataset, error));
    SQ_TRY(sq__train_config_check(&c->task->train, c->dataset->schema->target, NULL, error));
    SQ_TRY(sq__compare_check_models(c, error));
    SQ_TRY(open_folder(c, yaml, error));
    c->sweep_seconds = sq__compare_sweep_guess(c);
    SQ_TRY(sq__compare_train(c, error));
    SQ_TRY(sq__compare_sweep(c, error));
    return write_report(c, yaml, result, error);
}

sq_status sq_compare(const sq_task *task, const sq_compare_options *options, sq_compare_result *result, sq_error *error)
{
    *result = (sq_compare_result){ 0 };
    if (!options->folder || !options->folder[0]) return sq__fail(error, SQ_INVALID, "compare: needs a folder for the results");
    sq_comparing *c = sq__alloc_zero(sizeof *c);
    char *yaml = NULL;
    if (!c) return sq__no_memory(error);
    c->task = task;
    c->options = options;
    c->folder = options->folder;
    c->begin = sq__clock();
    c->current = -1;
    const time_t now = time(NULL);
    struct tm utc;
    strftime(c->started, sizeof c->started, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    sq_status status = sq_task_yaml(task, &yaml, error);
    if (status == SQ_OK) status = compare(c, yaml, result, error);
    sq_text_free(&yaml);
    sq__store_close(&c->store);
    sq__dataset_destroy(&c->dataset);
    for (int i = 0; i < c->model_count; i++) {
        for (int r = 0; r < c->models[i].run_count; r++) sq_run_result_clear(&c->models[i].runs[r]);
        sq__free(c->models[i].runs);
    }
    sq__free(c);
    if (status != SQ_OK) sq_compare_result_clear(result);
    return status;
}

void sq_compare_result_clear(sq_compare_result *result)
{
    if (!result) return;
    sq__free(result->rows);
    *result = (sq_compare_result){ 0 };
}
