#include "taskfile.h"

#include <stdio.h>
#include <string.h>

#include "mechanisms.h"

static sq_status apply(sq_task *task, const pairs *sets, const pairs *options, const int *indices, int count, sq_error *error)
{
    for (int i = 0; i < sets->count; i++) {
        sq_status status = sq_task_set(task, sets->item[i].key, sets->item[i].value, error);
        if (status != SQ_OK) return status;
    }
    for (int i = 0; i < count; i++) {
        sq_option chosen[sizeof options->item / sizeof *options->item];
        sq_mechanism_info info;
        int chosen_count = options_of(indices[i], options, chosen);
        if (name_get(indices[i], &info) != SQ_OK) continue;
        for (int j = 0; j < chosen_count; j++) {
            char key[192];
            snprintf(key, sizeof key, "%s.%s.%s", name_is_model(indices[i]) ? "models" : "attention", info.name, chosen[j].key);
            sq_status status = sq_task_set(task, key, chosen[j].value, error);
            if (status != SQ_OK) return status;
        }
    }
    return SQ_OK;
}

int task_open(const char *command, const char *path, const pairs *sets, const pairs *options, const int *indices, int count, sq_task **task)
{
    sq_error error;
    int status = check_options(command, indices, count, options);
    if (status >= 0) return status;
    if (sq_task_load(task, path, &error) != SQ_OK) return report_error(&error);
    if (apply(*task, sets, options, indices, count, &error) == SQ_OK) return -1;
    sq_task_destroy(task);
    return report_error(&error);
}

void default_folder(const char *task_path, const char *suffix, char *folder, size_t size)
{
    const char *slash = strrchr(task_path, '/'), *name = slash ? slash + 1 : task_path;
    size_t length = strcspn(name, ".");
    if (slash && length == 4 && strncmp(name, "task", 4) == 0) {
        const char *end = slash;
        while (end > task_path && end[-1] == '/') end--;
        const char *start = end;
        while (start > task_path && start[-1] != '/') start--;
        if (end > start && strncmp(start, ".", (size_t)(end - start)) != 0 && strncmp(start, "..", (size_t)(end - start)) != 0) {
            name = start;
            length = (size_t)(end - start);
        }
    }
    snprintf(folder, size, "runs/%.*s%s", (int)length, name, suffix);
}

void print_task_keys(void)
{
    static const char *const sections[] = { "data", "data.categorical", "data.numeric", "data.time", "data.explode", "data.text", "data.target", "data.split",
                                            "model", "train", "compare" };
    printf("\nKeys of the task file, also for --set (those of data.categorical and data.numeric\nare of each column there):\n");
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        sq_option_info info;
        for (int j = 0; sq_task_option(sections[i], j, &info) == SQ_OK; j++) {
            char key[96], text[1024];
            snprintf(key, sizeof key, "%s.%s=%s", sections[i], info.name, info.default_text);
            int used = snprintf(text, sizeof text, "%s", info.help);
            for (int k = 0; info.type == SQ_OPTION_CHOICE && info.choices[k] && used < (int)sizeof text; k++)
                used += snprintf(text + used, sizeof text - (size_t)used, "%s%s%s", k ? ", " : " [", info.choices[k], info.choices[k + 1] ? "" : "]");
            print_help_row(key, 36, text);
        }
    }
}
