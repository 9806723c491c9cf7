/* subquad train: one model on one task. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "mechanisms.h"
#include "progress.h"
#include "table.h"
#include "taskfile.h"

static void print_quality(const char *name, sq_target_kind target, const sq_quality *quality)
{
    sq_metric_info metric;
    printf("%-12s", name);
    for (int i = 0; sq_metric(target, i, &metric) == SQ_OK; i++) {
        const char *shown = strcmp(metric.name, "auc") == 0 ? "AUC" : strcmp(metric.name, "f1") == 0 ? "F1" : metric.name;
        printf(metric.scaled ? "%s%s %.5g" : "%s%s %.4f", i ? "  " : "", shown, sq_metric_value(metric.name, quality));
    }
    printf("\n");
}

static void print_result(const sq_run_result *result, const char *folder)
{
    char a[32], b[32], c[32];
    if (result->diverged) printf("DIVERGED: the loss was not finite; what follows is of the last good epoch\n");
    print_quality("test", result->target, &result->test);
    print_quality("validation", result->target, &result->validation);
    printf("%-12s%lld parameters, %lld epochs (best %lld), %.2f s per epoch\n", "training", (long long)result->parameters,
           (long long)result->epochs, (long long)result->best_epoch, result->epoch_seconds);
    printf("%-12s%s clients/s, %s tokens/s\n", "inference", number_text(result->clients_per_second, a, sizeof a),
           number_text(result->tokens_per_second, b, sizeof b));
    printf("%-12straining %s (resident %s), inference %s\n", "peak memory", bytes_text((double)result->train_peak_bytes, a, sizeof a),
           bytes_text((double)result->train_resident_bytes, b, sizeof b), bytes_text((double)result->inference_peak_bytes, c, sizeof c));
    printf("%-12s%s\n", "folder", folder);
}

int command_train(int argc, char **argv)
{
    const char *mechanism = NULL, *model = NULL, *folder = NULL;
    int64_t seed = 1;
    int threads = 0;
    bool resume = false, quiet = false;
    pairs sets = { 0 }, options = { 0 };
    const flag flags[] = {
        { "attention", 'a', FLAG_TEXT, &mechanism, "NAME", "an encoder with this mechanism ('subquad list')" },
        { "model", 'm', FLAG_TEXT, &model, "NAME", "instead: another model ('subquad list'), or logistic" },
        { "out", 'o', FLAG_TEXT, &folder, "DIR", "run folder (runs/TASK-NAME-seed1)" },
        { "seed", 0, FLAG_COUNT, &seed, "N", "of initial weights, batches and dropout (1)" },
        { "threads", 0, FLAG_FEW, &threads, "N", "0: all (0)" },
        { "resume", 0, FLAG_SWITCH, &resume, NULL, "go on from the run folder's last checkpoint, to the same bits" },
        { "set", 0, FLAG_PAIR, &sets, "KEY=VALUE", "change a key of the task file; may be given again" },
        { "quiet", 'q', FLAG_SWITCH, &quiet, NULL, "no progress" },
    };
    usage u = { .command = "train", .synopsis = "TASK.yaml --attention NAME | --model NAME [--OPTION VALUE] [--set KEY=VALUE]",
                .summary = "Trains one model and leaves it in a run folder that 'subquad predict' reads.", .flags = flags,
                .flag_count = sizeof flags / sizeof *flags, .least = 1, .most = 1, .mechanism_options = &options, .more_help = print_task_keys };
    int count, indices[MAX_MECHANISMS], chosen = 0;
    int status = flags_parse(&u, argc, argv, &count);
    if (status >= 0) return status;
    if (!mechanism == !model) return usage_error(u.command, "expected one of --attention NAME and --model NAME");
    const char *name = mechanism ? mechanism : model;
    if (mechanism && (sq_model_find(mechanism) >= 0 || strcmp(mechanism, "logistic") == 0))
        return usage_error(u.command, "%s is no attention mechanism: --model %s", mechanism, mechanism);
    if (model && sq_mechanism_find(model) >= 0) return usage_error(u.command, "%s is an attention mechanism: --attention %s", model, model);
    if (!model || strcmp(model, "logistic") != 0) {
        status = parse_names(u.command, mechanism ? NAMES_ATTENTION : NAMES_MODELS, name, indices, &chosen);
        if (status >= 0) return status;
        if (chosen != 1) return usage_error(u.command, "%s: one at a time; 'subquad compare' trains several", name);
    }
    sq_task *task = NULL;
    status = task_open(u.command, argv[1], &sets, &options, indices, chosen, &task);
    if (status >= 0) return status;
    char suffix[128], own_folder[512];
    snprintf(suffix, sizeof suffix, "-%s-seed%llu", name, (unsigned long long)seed);
    default_folder(argv[1], suffix, own_folder, sizeof own_folder);
    if (!folder) folder = own_folder;

    progress_line line;
    sq_run_result result = { 0 };
    sq_error error;
    progress_begin(&line, quiet);
    sq_train_options run = { .mechanism = name, .folder = folder, .seed = (uint64_t)seed, .threads = threads, .resume = resume,
                             .progress = progress_show, .user = &line, .stop = stop_on_signal() };
    sq_status done = sq_train(task, &run, &result, &error);
    progress_end(&line);
    if (done == SQ_OK) {
        print_result(&result, folder);
        status = result.diverged ? sq_status_exit_code(SQ_DIVERGED) : 0;
    } else {
        status = report_error(&error);
        if (done == SQ_INTERRUPTED) fprintf(stderr, "subquad: the same command with --out %s --resume goes on from here\n", folder);
    }
    sq_run_result_clear(&result);
    sq_task_destroy(&task);
    return status;
}
