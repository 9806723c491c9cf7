/* The table of built-in tasks, and what writes any of them. */
#include <string.h>

#include "base/memory.h"
#include "data/generated_files.h"
#include "data/tasks/generator.h"

/* X(symbol): sq__generator_symbol, defined in its file */
#define SQ_GENERATORS(X)                                                                                                  \
    X(copy) X(repeat_copy) X(associative_recall) X(priority_sort) X(adding) X(permuted_pixels) X(sorting) X(listops) X(stories) X(babi)

#define DECLARE(symbol) extern const sq_generator sq__generator_##symbol;
SQ_GENERATORS(DECLARE)
#undef DECLARE

#define ENTRY(symbol) &sq__generator_##symbol,
static const sq_generator *const generators[] = { SQ_GENERATORS(ENTRY) };
#undef ENTRY
enum { GENERATORS = sizeof generators / sizeof *generators };

/* ---- the table ---- */

int sq_task_generator_count(void) { return GENERATORS; }

sq_status sq_task_generator(int index, sq_task_generator_info *info)
{
    if (index < 0 || index >= GENERATORS) return SQ_NOT_FOUND;
    const sq_generator *g = generators[index];
    *info = (sq_task_generator_info){ g->name, g->title, g->source, g->help };
    return SQ_OK;
}

sq_status sq_task_generator_option(int index, int option, sq_option_info *info)
{
    if (index < 0 || index >= GENERATORS || option < 0 || option >= sq__fields_count(generators[index]->fields)) return SQ_NOT_FOUND;
    sq__field_info(&generators[index]->fields[option], info);
    return SQ_OK;
}

static const sq_generator *find(const char *name, sq_error *error)
{
    const char *names[GENERATORS];
    char near[128];
    for (int i = 0; i < GENERATORS; i++) {
        if (strcmp(generators[i]->name, name) == 0) return generators[i];
        names[i] = generators[i]->name;
    }
    sq__fail(error, SQ_NOT_FOUND, "no task '%.64s'%s", name, sq__did_you_mean(name, names, GENERATORS, near, sizeof near));
    return NULL;
}

/* ---- what task files share ---- */

void sq__task_settings(FILE *out, const sq_task_settings *s)
{
    fprintf(out, "model:\n  layers: %d\n  width: %d\n  heads: 4\n  feed_forward: %d\n  positions: sinusoidal\n  causal: %s\n  dropout: %g\n  embedding_dropout: 0\n",
            s->layers, s->width, s->feed_forward ? s->feed_forward : 2 * s->width, s->causal ? "true" : "false", s->dropout);
    fprintf(out, "train:\n  epochs: %d\n  batch: %d\n  learning_rate: %g\n  weight_decay: 0\n  warmup: 0.05\n  schedule: cosine\n  patience: 0\n", s->epochs, s->batch, s->rate);
    fprintf(out, "compare:\n  mechanisms: \"%s\"\n  models: \"%s\"\n  baselines: \"%s\"\n  seeds: 3\n  lengths: \"\"\n", s->mechanisms, s->models ? s->models : "none", s->baselines);
}

/* ---- writing ---- */

enum { README = SQ_PARTS, TASK, FILES };
static const char *const file_names[FILES] = { "train.csv", "validation.csv", "test.csv", "README.md", "task.yaml" };
static const char *const part_names[SQ_PARTS] = { "train", "validation", "test" };

static void write_command(FILE *out, const sq_generator *g, const void *config, const char *folder)
{
    char value[SQ_TEXT_FIELD_SIZE], initial[SQ_TEXT_FIELD_SIZE];
    fprintf(out, "subquad data %s --out %s", g->name, folder);
    for (const sq_field *field = g->fields; field->name; field++) {
        sq__fields_format(field, config, value, sizeof value);
        snprintf(initial, sizeof initial, "%s", field->initial);
        if (strcmp(value, initial) == 0) continue;
        fputs(" --", out);
        for (const char *c = field->name; *c; c++) fputc(*c == '_' ? '-' : *c, out);
        fprintf(out, " %s", value);
    }
}

static void write_readme(FILE *out, const sq_generator *g, const void *config, const void *state, const char *folder)
{
    fprintf(out, "# %c%s\n\nGenerated: `", g->title[0] >= 'a' && g->title[0] <= 'z' ? g->title[0] - 'a' + 'A' : g->title[0], g->title + 1);
    write_command(out, g, config, folder);
    fprintf(out, "` (%s).\n\ntrain.csv, validation.csv and test.csv hold the three splits; task.yaml is the task for `subquad train` and `subquad compare`.\n\n## What is planted, and what can be reached\n\n",
            g->source);
    g->readme(config, state, out);
}

static void write_task(FILE *out, const sq_generator *g, const void *config, const void *state)
{
    fprintf(out, "# Written by `subquad data %s`; README.md says what is planted and what can be reached.\nname: %s\ndata:\n  id: %s\n", g->name, g->name, g->id);
    g->data(config, state, out);
    fprintf(out, "  max_length: %lld\n  split: {by: files, files: {train: train.csv, validation: validation.csv, test: test.csv}}\n", (long long)g->longest(config, state));
    g->settings(config, out);
}

static sq_status write_part(const sq_generator *g, sq_task_writing *w, sq_error *error)
{
    const int64_t counts[SQ_PARTS] = { w->counts->train, w->counts->validation, w->counts->test };
    char purpose[96];
    snprintf(purpose, sizeof purpose, "%s.%s", g->name, part_names[w->part]);
    g->header(w->config, w->state, w->out);
    if (g->file) return g->file(w, error);
    for (w->number = 0; w->number < counts[w->part]; w->number++) {
        w->draws = (sq_draws){ sq__random_stream((uint64_t)w->counts->seed, purpose, (uint64_t)w->number), 0 };
        g->sequence(w);
        if (ferror(w->out)) return sq__fail(error, SQ_IO, "%s: cannot write: the disk may be full", file_names[w->part]);
    }
    return SQ_OK;
}

static sq_status write_all(const sq_generator *g, sq_task_writing *w, const char *folder, sq_output *const *outputs, sq_task_generated *made, sq_error *error)
{
    for (w->part = 0; w->part < SQ_PARTS; w->part++) {
        w->out = sq__output_stream(outputs[w->part]);
        SQ_TRY(write_part(g, w, error));
        made->sequences += w->number;
    }
    made->events = w->events;
    write_readme(sq__output_stream(outputs[README]), g, w->config, w->state, folder);
    write_task(sq__output_stream(outputs[TASK]), g, w->config, w->state);
    return SQ_OK;
}

static sq_status write_files(const sq_generator *g, sq_task_writing *w, const char *folder, sq_task_generated *made, sq_error *error)
{
    char mark[96];
    snprintf(mark, sizeof mark, "# Written by `subquad data %s`", g->name);
    sq_generated files = { .folder = folder, .mark = mark, .count = FILES, .names = file_names };
    SQ_TRY(sq__generated_open(&files, error));
    return sq__generated_close(&files, write_all(g, w, folder, files.outputs, made, error), error);
}

static sq_status generate(const sq_generator *g, void *config, const char *folder, const sq_option *options, int count, sq_task_generated *made, sq_error *error)
{
    void *state = NULL;
    sq__fields_defaults(g->fields, config);
    for (int i = 0; i < count; i++) SQ_TRY(sq__fields_set(g->fields, config, g->name, options[i].key, options[i].value, error));
    if (g->check) SQ_TRY(g->check(config, error));
    sq_status status = g->open ? g->open(&state, config, error) : SQ_OK;
    sq_task_writing w = { .config = config, .counts = config, .state = state };
    if (status == SQ_OK) status = write_files(g, &w, folder, made, error);
    if (g->close) g->close(state);
    return status;
}

sq_status sq_generate_task(const char *name, const char *folder, const sq_option *options, int count, sq_task_generated *made, sq_error *error)
{
    *made = (sq_task_generated){ 0 };
    const sq_generator *g = find(name, error);
    if (!g) return SQ_NOT_FOUND;
    if (!folder || !*folder) return sq__fail(error, SQ_INVALID, "%s: no folder given", name);
    if ((size_t)snprintf(made->task, sizeof made->task, "%s/%s", folder, file_names[TASK]) >= sizeof made->task)
        return sq__fail(error, SQ_INVALID, "%s: the folder's name is longer than %zu characters", name, sizeof made->task - 16);
    void *config = sq__alloc_zero(g->config_size);
    if (!config) return sq__no_memory(error);
    const sq_status status = generate(g, config, folder, options, count, made, error);
    sq__free(config);
    return status;
}
