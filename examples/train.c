/* Train a classifier on sample clients: generate them, load the task, change some settings, train.
 *
 *   cc train.c $(pkg-config --cflags --libs subquad) && ./a.out FOLDER
 */
#include <stdio.h>

#include "subquad/subquad.h"

static void show(void *user, const sq_progress *progress)
{
    (void)user;
    if (progress->total > 0 && progress->done == progress->total)
        printf("%s: epoch %lld of %lld, loss %.3f\n", progress->stage, (long long)progress->epoch, (long long)progress->epochs, progress->loss);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: train FOLDER\n");
        return 2;
    }
    sq_error error;
    char data[512], run[512];
    snprintf(data, sizeof data, "%s/data", argv[1]);
    snprintf(run, sizeof run, "%s/run", argv[1]);

    sq_clients_options clients = { .folder = data, .clients = 300, .seed = 1, .mode = "mixed", .min_events = 50, .max_events = 100, .noise = -1 };
    sq_clients_result made;
    sq_task *task = NULL;
    sq_run_result result = { 0 };
    sq_train_options options = { .mechanism = "linformer", .folder = run, .seed = 1, .progress = show };
    sq_status status = sq_generate_clients(&clients, &made, &error);
    if (status == SQ_OK) status = sq_task_load(&task, made.task, &error);
    if (status == SQ_OK) status = sq_task_set(task, "model.width", "32", &error);
    if (status == SQ_OK) status = sq_task_set(task, "train.epochs", "3", &error);
    if (status == SQ_OK) status = sq_task_set(task, "attention.linformer.rank", "16", &error);
    if (status == SQ_OK) status = sq_train(task, &options, &result, &error);
    if (status == SQ_OK)
        printf("%lld parameters; test accuracy %.3f, AUC %.3f (best possible accuracy %.3f)\n", (long long)result.parameters,
               result.test.accuracy, result.test.auc, made.bayes_accuracy);
    else
        fprintf(stderr, "%s\n", error.message);
    sq_run_result_clear(&result);
    sq_task_destroy(&task);
    return sq_status_exit_code(status);
}
