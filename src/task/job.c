#include <string.h>

#include "models/catalogue.h"
#include "task/task.h"
#include "train/description.h"

sq_status sq__task_mechanism_check(const char *mechanism, sq_error *error)
{
    return sq__name_check(NULL, mechanism, sq__mechanism_logistic, error);
}

typedef char value_text[SQ_TEXT_FIELD_SIZE];

/* Every option of the mechanism with its value, defaults too: the job then does not depend on what defaults a later version has. */
static sq_status list_options(const sq_task *task, int index, sq_task_job *made, sq_error *error)
{
    const sq_field *fields = sq__named_at(index).fields;
    const int count = sq__fields_count(fields);
    const size_t options_bytes = sq__align_up((size_t)count * sizeof(sq_option));
    char *memory = made->memory = sq__alloc(options_bytes + (size_t)count * sizeof(value_text));
    if (!memory) return sq__no_memory(error);
    sq_option *options = (sq_option *)(void *)memory;
    value_text *values = (value_text *)(void *)(memory + options_bytes);
    for (int i = 0; i < count; i++) {
        sq__fields_format(&fields[i], task->options[index], values[i], sizeof values[i]);
        options[i] = (sq_option){ fields[i].name, values[i] };
    }
    made->job.options = options;
    made->job.option_count = count;
    return SQ_OK;
}

sq_status sq__task_job_make(const sq_task *task, const sq_dataset *dataset, const char *mechanism, uint64_t seed, sq_task_job *made, sq_error *error)
{
    *made = (sq_task_job){ .job = { .dataset = dataset, .model = task->model, .train = task->train, .mechanism = mechanism, .seed = seed } };
    SQ_TRY(sq__task_mechanism_check(mechanism, error));
    const int index = sq__named_find(mechanism);
    sq_status status = index < 0 ? SQ_OK : list_options(task, index, made, error);
    if (status == SQ_OK) status = sq_task_yaml(task, &made->yaml, error);
    made->job.config_yaml = made->yaml;
    if (status != SQ_OK) sq__task_job_clear(made);
    return status;
}

void sq__task_job_clear(sq_task_job *made)
{
    sq__free(made->memory);
    sq_text_free(&made->yaml);
    *made = (sq_task_job){ .memory = NULL };
}
