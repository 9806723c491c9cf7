#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "io/file.h"
#include "report/findings.h"
#include "report/format.h"
#include "report/metric.h"
#include "report/writers.h"

/* A failed allocation anywhere leaves NULL in the tree, which json_object_set_new and json_array_append_new refuse: noticed once, here. */
typedef struct tree { bool failed; } tree;

static void set(tree *t, json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) != 0) t->failed = true;
}

static void append(tree *t, json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) != 0) t->failed = true;
}

static json_t *real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *integer(int64_t value)
{
    return json_integer((json_int_t)value);
}

/* jansson refuses broken UTF-8: such text is cleaned first. */
static json_t *text(const char *value)
{
    json_t *whole = json_string(value);
    if (whole) return whole;
    char *clean = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&clean, &size);
    if (!memory) return NULL;
    for (uint32_t code; (code = sq__utf8_next(&value));) sq__utf8_put(memory, code);
    whole = fclose(memory) == 0 ? json_string(clean) : NULL;
    free(clean);
    return whole;
}

static json_t *quality(tree *t, sq_target_kind target, const sq_quality *values)
{
    const sq_metric_row *metric;
    json_t *object = json_object();
    for (int i = 0; (metric = sq__metric_of(target, i)); i++) set(t, object, metric->key, real(sq__metric_at(metric, values)));
    return object;
}

static json_t *by_pass(tree *t, const double values[SQ_PASSES])
{
    json_t *object = json_object();
    set(t, object, "forward", real(values[SQ_FORWARD]));
    set(t, object, "forward_backward", real(values[SQ_BACKWARD]));
    return object;
}

static json_t *run_object(tree *t, const sq_run_result *run)
{
    json_t *object = json_object(), *confusion = json_array(), *curve = json_array();
    set(t, object, "seed", integer((int64_t)run->seed));
    set(t, object, "diverged", json_boolean(run->diverged));
    set(t, object, "test", quality(t, run->target, &run->test));
    set(t, object, "validation", quality(t, run->target, &run->validation));
    set(t, object, "parameters", integer(run->parameters));
    set(t, object, "epochs", integer(run->epochs));
    set(t, object, "best_epoch", integer(run->best_epoch));
    set(t, object, "steps", integer(run->steps));
    set(t, object, "epoch_seconds", real(run->epoch_seconds));
    set(t, object, "clients_per_second", real(run->clients_per_second));
    set(t, object, "tokens_per_second", real(run->tokens_per_second));
    set(t, object, "train_peak_bytes", integer((int64_t)run->train_peak_bytes));
    set(t, object, "inference_peak_bytes", integer((int64_t)run->inference_peak_bytes));
    set(t, object, "train_resident_bytes", integer((int64_t)run->train_resident_bytes));
    for (int i = 0; i < run->class_count; i++) {
        json_t *row = json_array();
        for (int j = 0; j < run->class_count; j++) append(t, row, integer(run->confusion[i * run->class_count + j]));
        append(t, confusion, row);
    }
    set(t, object, "confusion", confusion);
    for (int i = 0; i < run->epoch_count; i++) {
        const sq_epoch *epoch = &run->curve[i];
        json_t *point = json_object();
        set(t, point, "epoch", integer(epoch->epoch));
        set(t, point, "step", integer(epoch->step));
        set(t, point, "seconds", real(epoch->seconds));
        set(t, point, "train_loss", real(epoch->train_loss));
        set(t, point, "validation_loss", real(epoch->validation_loss));
        set(t, point, "validation", quality(t, run->target, &epoch->validation));
        append(t, curve, point);
    }
    set(t, object, "curve", curve);
    return object;
}

static json_t *sweep(tree *t, const sq_compared *model)
{
    json_t *object = json_object(), *points = json_array();
    for (int i = 0; i < model->point_count; i++) {
        const sq_sweep_point *at = &model->points[i];
        const double peak[SQ_PASSES] = { isfinite(at->seconds[0]) ? (double)at->peak_bytes[0] : NAN, isfinite(at->seconds[1]) ? (double)at->peak_bytes[1] : NAN };
        json_t *point = json_object();
        set(t, point, "n", integer(at->n));
        set(t, point, "seconds", by_pass(t, at->seconds));
        set(t, point, "peak_bytes", by_pass(t, peak));
        append(t, points, point);
    }
    set(t, object, "points", points);
    set(t, object, "time_exponent", by_pass(t, model->time_exponent));
    set(t, object, "memory_exponent", by_pass(t, model->memory_exponent));
    set(t, object, "faster_than_softmax_from", by_pass(t, model->crossover));
    set(t, object, "note", text(model->sweep_note));
    return object;
}

static json_t *model_object(tree *t, sq_target_kind target, const sq_compared *model)
{
    const sq_compare_row *row = &model->row;
    json_t *object = json_object(), *runs = json_array();
    set(t, object, "mechanism", text(row->mechanism));
    set(t, object, "options", text(model->options));
    set(t, object, "baseline", json_boolean(row->baseline));
    set(t, object, "other_model", json_boolean(row->other_model));
    set(t, object, "seeds", integer(row->seeds));
    set(t, object, "diverged", integer(row->diverged));
    set(t, object, "note", text(row->note));
    set(t, object, "test_mean", quality(t, target, &row->mean));
    set(t, object, "test_deviation", quality(t, target, &row->deviation));
    set(t, object, "parameters", integer(row->parameters));
    set(t, object, "epoch_seconds", real(row->epoch_seconds));
    set(t, object, "training_seconds", real(model->training_seconds));
    set(t, object, "clients_per_second", real(row->clients_per_second));
    set(t, object, "tokens_per_second", real(row->tokens_per_second));
    set(t, object, "train_peak_bytes", integer((int64_t)row->train_peak_bytes));
    set(t, object, "inference_peak_bytes", integer((int64_t)row->inference_peak_bytes));
    for (int i = 0; i < model->run_count; i++) append(t, runs, run_object(t, &model->runs[i]));
    set(t, object, "runs", runs);
    if (!row->baseline && !row->other_model) set(t, object, "sweep", sweep(t, model));
    return object;
}

static json_t *root_object(tree *t, const sq_comparison *c)
{
    sq_findings found;
    sq__findings(c, &found);
    json_t *root = json_object(), *lines = json_array(), *environment = json_object(), *classes = json_array(), *models = json_array();
    set(t, root, "task", text(c->name));
    set(t, root, "version", text(sq_version()));
    set(t, root, "started", text(c->started));
    set(t, root, "command", text(c->command));
    for (int i = 0; i < found.line_count; i++) append(t, lines, text(found.lines[i]));
    set(t, root, "findings", lines);
    set(t, root, "metric", text(c->metric));
    set(t, root, "seeds", integer(c->seeds));
    set(t, root, "first_seed", integer(c->first_seed));
    set(t, root, "test_count", integer(c->test_count));
    if (c->target == SQ_TARGET_CLASS) set(t, root, "majority_class", text(c->majority_class));
    if (c->target == SQ_TARGET_CLASS) set(t, root, "majority_accuracy", real(c->majority));
    set(t, root, "constant", quality(t, c->target, &c->constant));
    for (int i = 0; i < c->class_count; i++) append(t, classes, text(c->classes[i]));
    set(t, root, "classes", classes);
    set(t, root, "warning", text(c->warning));
    for (int i = 0; i < c->environment_count; i++) set(t, environment, c->environment[i].key, text(c->environment[i].value));
    set(t, root, "environment", environment);
    set(t, root, "sweep_fit_from", integer(c->sweep_fit_from));
    for (int i = 0; i < c->count; i++) append(t, models, model_object(t, c->target, &c->models[i]));
    set(t, root, "models", models);
    set(t, root, "config", text(c->config_yaml));
    return root;
}

sq_status sq__write_results_json(const sq_comparison *c, const char *path, sq_error *error)
{
    tree t = { false };
    sq_output *output;
    json_t *root = root_object(&t, c);
    if (t.failed) {
        json_decref(root);
        return sq__no_memory(error);
    }
    sq_status status = sq__output_open(&output, path, error);
    if (status == SQ_OK) {
        FILE *file = sq__output_stream(output);
        const bool written = json_dumpf(root, file, JSON_INDENT(1) | JSON_REAL_PRECISION(12)) == 0;
        putc('\n', file);
        if (written) status = sq__output_commit(&output, error);
        else {
            sq__output_discard(&output);
            status = sq__fail(error, SQ_IO, "%s: cannot write", path);
        }
    }
    json_decref(root);
    return status;
}
