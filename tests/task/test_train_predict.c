/* From a task file to a run folder to predictions, and what is said when something on the way is wrong. */
#include "task/task_support.h"

#include "io/safetensors.h"

typedef struct seen { bool reading, training, testing; } seen;

static void watch(void *user, const sq_progress *progress)
{
    seen *s = user;
    s->reading |= strcmp(progress->stage, "reading") == 0;
    s->training |= strcmp(progress->stage, "training") == 0;
    s->testing |= strcmp(progress->stage, "testing") == 0;
    assert_true(progress->done >= 0 && progress->seconds >= 0);
}

static void train(const char *mechanism, const char *folder, sq_run_result *result)
{
    sq_task *task;
    sq_error error;
    seen s = { false, false, false };
    write_tables(300, 1);
    write_file("task.yaml", task_text);
    assert_ok(sq_task_load(&task, in_root("task.yaml"), &error), &error);
    const sq_train_options options = { .mechanism = mechanism, .folder = in_root(folder), .seed = 1, .threads = 1, .progress = watch, .user = &s };
    assert_ok(sq_train(task, &options, result, &error), &error);
    assert_true(s.training && s.testing);
    sq_task_destroy(&task);
}

typedef struct table { int count; char ids[400][16]; float yes[400]; } table;

static sq_status collect(void *user, const char *id, const float *probabilities, int class_count)
{
    table *t = user;
    assert_int_equal(class_count, 2);
    assert_close((double)probabilities[0] + (double)probabilities[1], 1, 1e-6);
    snprintf(t->ids[t->count], sizeof t->ids[0], "%s", id);
    t->yes[t->count++] = probabilities[1];
    return SQ_OK;
}

static void trained_then_predicted(void **state)
{
    (void)state;
    static const char *const mechanisms[] = { "softmax", "performer", "gru", "logistic" };
    static table got;
    for (int m = 0; m < 4; m++) {
        sq_run_result result;
        sq_classifier *classifier;
        sq_error error;
        int64_t clients;
        train(mechanisms[m], mechanisms[m], &result);
        if (!(result.test.accuracy > 0.9)) fail_msg("%s: test accuracy %.3f", mechanisms[m], result.test.accuracy);
        sq_run_result_clear(&result);

        got.count = 0;
        assert_ok(sq_classifier_open(&classifier, in_root(mechanisms[m]), 1, &error), &error);
        assert_int_equal(sq_classifier_class_count(classifier), 2);
        assert_string_equal(sq_classifier_class_name(classifier, 1), "yes");
        assert_null(sq_classifier_class_name(classifier, 2));
        assert_ok(sq_classifier_predict(classifier, in_root("events.csv"), collect, &got, NULL, &error), &error);
        sq_classifier_destroy(&classifier);
        assert_int_equal(got.count, 300);

        assert_ok(sq_predict_file(in_root(mechanisms[m]), in_root("events.csv"), in_root("out.csv"), 2, NULL, &clients, &error), &error);
        assert_int_equal(clients, 300);
        char *text = NULL, *labels = NULL;
        read_file("out.csv", &text);
        read_file("labels.csv", &labels);
        const char *line = text, *label = labels;
        assert_int_equal(strncmp(line, "id,p_no,p_yes\n", 14), 0);
        int right = 0;
        line = strchr(line, '\n') + 1;
        label = strchr(label, '\n') + 1;
        for (int i = 0; i < 300; i++, line = strchr(line, '\n') + 1, label = strchr(label, '\n') + 1) {
            char id[16], answer[8];
            float no, yes;
            assert_int_equal(sscanf(line, "%15[^,],%g,%g", id, &no, &yes), 3);
            assert_string_equal(id, got.ids[i]);
            assert_memory_equal(&yes, &got.yes[i], sizeof yes);   /* 9 digits carry every float */
            assert_int_equal(sscanf(label, "%15[^,],%7s", id, answer), 2);
            right += (yes > 0.5f) == (strcmp(answer, "yes") == 0);
        }
        assert_true(*line == 0 && right > 270);
        sq__free(text);
        sq__free(labels);
    }
    assert_int_equal(sq_memory_current(), 0);
}

static void strange_ids_are_quoted(void **state)
{
    (void)state;
    sq_run_result result;
    sq_error error;
    train("logistic", "run", &result);
    sq_run_result_clear(&result);
    write_file("new.csv", "client,step,item,price\n\"a,\"\"b\"\"\",1,gold,3\nplain,1,milk,3\n\"a,\"\"b\"\"\",2,never seen,3\n");
    assert_ok(sq_predict_file(in_root("run"), in_root("new.csv"), in_root("out.csv"), 1, NULL, NULL, &error), &error);
    char *text = NULL;
    read_file("out.csv", &text);
    assert_contains(text, "\n\"a,\"\"b\"\"\",0.");
    assert_contains(text, "\nplain,0.");
    sq__free(text);
}

static void refused(const char *run, const char *table_name, const char *output, sq_status expected, const char *part)
{
    sq_error error = { .message = "" };
    const sq_status status = sq_predict_file(in_root(run), in_root(table_name), output, 1, NULL, NULL, &error);
    if (status != expected) fail_msg("%s: %s", sq_status_name(status), error.message);
    assert_contains(error.message, part);
    assert_false(sq__file_exists(in_root("out.csv")));
    assert_false(sq__file_exists(in_root("out.csv.partial")));
}

static void wrong_inputs(void **state)
{
    (void)state;
    sq_run_result result;
    sq_error error;
    train("softmax", "run", &result);
    sq_run_result_clear(&result);
    char out[160];
    snprintf(out, sizeof out, "%s", in_root("out.csv"));
    refused("none", "events.csv", out, SQ_NOT_FOUND, "none: no such run folder");
    assert_ok(sq__make_folders(in_root("empty"), &error), &error);
    refused("empty", "events.csv", out, SQ_NOT_FOUND, "config.yaml: not there; expected the folder of a training run");
    refused("run", "none.csv", out, SQ_NOT_FOUND, "none.csv");
    write_file("wrong.csv", "client,step,itm,price\na,1,gold,3\n");
    refused("run", "wrong.csv", out, SQ_NOT_FOUND, "item");
    write_file("no-rows.csv", "client,step,item,price\n");
    refused("run", "no-rows.csv", out, SQ_INVALID, "no-rows.csv");
    refused("run", "events.csv", in_root("none/out.csv"), SQ_IO, "none/out.csv: cannot write");
    refused("run", "events.csv", "/dev/full", SQ_IO, "/dev/full: cannot write");
    sq_stop_flag stop = 1;
    assert_int_equal(sq_predict_file(in_root("run"), in_root("events.csv"), out, 1, &stop, NULL, &error), SQ_INTERRUPTED);
    assert_false(sq__file_exists(out));
}

/* Copy the run's model with one change. */
static void change_model(void (*change)(sq_st_tensor *tensors, int *count, const char **values, const char *const *keys, int metadata))
{
    static sq_st_tensor tensors[256];
    static const char *keys[256], *values[256];
    sq_safetensors *file;
    sq_error error;
    assert_ok(sq__safetensors_open(&file, in_root("run/model.safetensors"), &error), &error);
    int count = sq__safetensors_count(file);
    const int metadata = sq__safetensors_metadata_count(file);
    for (int i = 0; i < count; i++) tensors[i] = *sq__safetensors_at(file, i);
    for (int i = 0; i < metadata; i++) sq__safetensors_metadata_at(file, i, &keys[i], &values[i]);
    change(tensors, &count, values, keys, metadata);
    assert_ok(sq__safetensors_write(in_root("run/model.safetensors"), tensors, count, keys, values, metadata, &error), &error);
    sq__safetensors_close(&file);
}

static void poison(sq_st_tensor *tensors, int *count, const char **values, const char *const *keys, int metadata)
{
    (void)count;
    (void)values;
    (void)keys;
    (void)metadata;
    ((float *)tensors[1].data)[0] = NAN;
}

static void drop_last(sq_st_tensor *tensors, int *count, const char **values, const char *const *keys, int metadata)
{
    (void)tensors;
    (void)values;
    (void)keys;
    (void)metadata;
    --*count;
}

static void other_schema(sq_st_tensor *tensors, int *count, const char **values, const char *const *keys, int metadata)
{
    (void)tensors;
    (void)count;
    for (int i = 0; i < metadata; i++)
        if (strcmp(keys[i], "schema") == 0) values[i] = "0123456789abcdef";
}

static void wider(sq_st_tensor *tensors, int *count, const char **values, const char *const *keys, int metadata)
{
    (void)tensors;
    (void)count;
    for (int i = 0; i < metadata; i++)
        if (strcmp(keys[i], "model.width") == 0) values[i] = "32";
}

static void damaged_models(void **state)
{
    (void)state;
    static const struct { void (*change)(sq_st_tensor *, int *, const char **, const char *const *, int); sq_status status; const char *part; } cases[] = {
        { poison, SQ_FORMAT, "holds a value that is not finite" },
        { drop_last, SQ_FORMAT, "has no tensor" },
        { other_schema, SQ_INVALID, "was trained with another schema" },
        { wider, SQ_FORMAT, "made by another model or configuration" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sq_run_result result;
        char command[256];
        train("softmax", "run", &result);
        sq_run_result_clear(&result);
        change_model(cases[i].change);
        refused("run", "events.csv", in_root("out.csv"), cases[i].status, cases[i].part);
        snprintf(command, sizeof command, "rm -r %s", in_root("run"));
        assert_int_equal(system(command), 0);
    }
    assert_int_equal(sq_memory_current(), 0);
}

static sq_status enough(void *user, const char *id, const float *probabilities, int class_count)
{
    (void)id;
    (void)probabilities;
    (void)class_count;
    return ++*(int *)user == 5 ? SQ_INTERRUPTED : SQ_OK;
}

static void a_caller_may_stop(void **state)
{
    (void)state;
    sq_run_result result;
    sq_classifier *classifier;
    sq_error error;
    int count = 0;
    train("logistic", "run", &result);
    sq_run_result_clear(&result);
    assert_ok(sq_classifier_open(&classifier, in_root("run"), 1, &error), &error);
    assert_int_equal(sq_classifier_predict(classifier, in_root("events.csv"), enough, &count, NULL, &error), SQ_INTERRUPTED);
    assert_int_equal(count, 5);
    sq_classifier_destroy(&classifier);
    sq_classifier_destroy(&classifier);
}

static void a_wrong_task_leaves_nothing(void **state)
{
    (void)state;
    sq_task *task;
    sq_run_result result;
    sq_error error;
    write_tables(40, 2);
    write_file("task.yaml", task_text);
    assert_ok(sq_task_load(&task, in_root("task.yaml"), &error), &error);
    sq_train_options options = { .mechanism = "softmx", .folder = in_root("run"), .seed = 1, .threads = 1 };
    assert_int_equal(sq_train(task, &options, &result, &error), SQ_NOT_FOUND);
    assert_contains(error.message, "did you mean 'softmax'?");
    options.mechanism = "softmax";
    options.folder = NULL;
    assert_int_equal(sq_train(task, &options, &result, &error), SQ_INVALID);
    options.folder = in_root("run");
    assert_ok(sq_task_set(task, "model.heads", "3", &error), &error);
    assert_int_equal(sq_train(task, &options, &result, &error), SQ_INVALID);
    assert_ok(sq_task_set(task, "model.heads", "2", &error), &error);
    unlink(in_root("events.csv"));
    assert_int_equal(sq_train(task, &options, &result, &error), SQ_NOT_FOUND);
    assert_contains(error.message, "events.csv");
    assert_false(sq__file_exists(in_root("run")));
    sq_task_destroy(&task);
    assert_int_equal(sq_memory_current(), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_root, remove_root)
    const struct CMUnitTest tests[] = { TEST(trained_then_predicted), TEST(strange_ids_are_quoted), TEST(wrong_inputs), TEST(damaged_models),
                                        TEST(a_caller_may_stop), TEST(a_wrong_task_leaves_nothing) };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
