/* Task files: every key is checked in its place, settings by path, and the complete YAML reads back to itself. */
#include "task/task_support.h"

#include "task/task.h"

static sq_task *load(const char *text)
{
    sq_task *task;
    sq_error error;
    write_file("task.yaml", text);
    assert_ok(sq_task_load(&task, in_root("task.yaml"), &error), &error);
    return task;
}

static void values(void **state)
{
    (void)state;
    sq_task *task = load(task_text);
    static const char *const pairs[][2] = {
        { "name", "task" }, { "model.width", "16" }, { "model.layers", "1" }, { "train.epochs", "8" }, { "train.beta2", "0.999" },
        { "train.schedule", "cosine" }, { "attention.performer.features", "16" }, { "compare.mechanisms", "softmax,performer" },
        { "compare.seeds", "2" }, { "data.max_length", "16" },
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        const char *value = sq_task_get(task, pairs[i][0]);
        if (!value || strcmp(value, pairs[i][1]) != 0) fail_msg("%s is %s; expected %s", pairs[i][0], value ? value : "unknown", pairs[i][1]);
    }
    static const char *const unknown[] = { "", "model", "model.", "model.widht", "nothing.width", "attention.performer", "attention.softmx.a", "train.", "data.nothing" };
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) assert_null(sq_task_get(task, unknown[i]));
    sq_task_destroy(&task);
    sq_task_destroy(&task);
}

static void settings(void **state)
{
    (void)state;
    sq_task *task = load(task_text);
    sq_error error;
    static const char *const good[][2] = {
        { "name", "mine" }, { "model.width", "32" }, { "train.learning-rate", "0.5" }, { "attention.performer.features", "64" },
        { "compare.mechanisms", "linformer" }, { "data.max_length", "8" }, { "compare.lengths", "" },
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_ok(sq_task_set(task, good[i][0], good[i][1], &error), &error);
        assert_string_equal(sq_task_get(task, good[i][0]), good[i][1]);
    }
    static const struct { const char *path, *value, *message; sq_status status; } bad[] = {
        { "model.widht", "1", "did you mean 'width'?", SQ_NOT_FOUND },
        { "modl.width", "1", "no section 'modl'; did you mean 'model'?", SQ_NOT_FOUND },
        { "train.epochs", "many", "train: epochs is 'many'; expected a whole number", SQ_INVALID },
        { "train.epochs", "0", "expected 1 to", SQ_INVALID },
        { "attention.performr.features", "1", "did you mean 'performer'?", SQ_NOT_FOUND },
        { "attention.performer.featurs", "1", "did you mean 'features'?", SQ_NOT_FOUND },
        { "attention.gru.x", "1", "no mechanism 'gru'", SQ_NOT_FOUND },
        { "attention.performer", "1", "attention.NAME.OPTION", SQ_INVALID },
        { "width", "1", "SECTION.NAME", SQ_INVALID },
        { "compare.mechanisms", "softmax,linfomer", "no mechanism 'linfomer'; did you mean 'linformer'?", SQ_NOT_FOUND },
        { "compare.baselines", "logistics", "no baseline 'logistics'; did you mean 'logistic'?", SQ_NOT_FOUND },
        { "compare.lengths", "256,128", "length '128'; expected rising whole numbers", SQ_INVALID },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(sq_task_set(task, bad[i].path, bad[i].value, &error), bad[i].status);
        assert_contains(error.message, bad[i].message);
    }
    assert_string_equal(sq_task_get(task, "compare.mechanisms"), "linformer");   /* refused sets change nothing */
    sq_task_destroy(&task);
}

/* Every mechanism by its name. */
static void long_lists(void **state)
{
    sq_mechanism_info info;
    sq_task *task = load(task_text);
    sq_error error;
    char all[4096] = "";
    (void)state;
    for (int m = 0; sq_mechanism_get(m, &info) == SQ_OK; m++) snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", m ? "," : "", info.name);
    assert_true(strlen(all) > 255);
    assert_ok(sq_task_set(task, "compare.mechanisms", all, &error), &error);
    assert_string_equal(sq_task_get(task, "compare.mechanisms"), all);
    sq_task_destroy(&task);
}

static void refused_files(void **state)
{
    (void)state;
    static const struct { const char *text, *message; sq_status status; } cases[] = {
        { "data: {files: e.csv}\nmodl: {width: 3}\n", "task.yaml:2:1: unknown key 'modl'; did you mean 'model'?", SQ_NOT_FOUND },
        { "model: {width: 3}\n", "task.yaml:1:1: has no section 'data'", SQ_INVALID },
        { "data: {files: e.csv, id: a, categorical: [x], target: {column: y}}\ntrain:\n  epoch: 3\n", "task.yaml:3:3: train has no option 'epoch'; did you mean 'epochs'?", SQ_NOT_FOUND },
        { "data: {files: e.csv, id: a, categorical: [x], target: {column: y}}\nattention: {perfomer: {features: 3}}\n", "task.yaml:2:13: no mechanism 'perfomer'; did you mean 'performer'?", SQ_NOT_FOUND },
        { "data: {files: e.csv, id: a, categorical: [x], target: {column: y}}\nattention: {performer: {features: -3}}\n", "task.yaml:2:35: performer: features is -3", SQ_INVALID },
        { "data: {files: e.csv, id: a, categorical: [x], target: {column: y}}\ncompare: {mechanisms: [softmx]}\n", "task.yaml:2:10: no mechanism 'softmx'; did you mean 'softmax'?", SQ_NOT_FOUND },
        { "data: [\n", "task.yaml:", SQ_FORMAT },
        { "- a\n", "task.yaml:1:1: expected keys", SQ_INVALID },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sq_task *task;
        sq_error error = { .message = "" };
        write_file("task.yaml", cases[i].text);
        assert_int_equal(sq_task_load(&task, in_root("task.yaml"), &error), cases[i].status);
        assert_contains(error.message, cases[i].message);
        assert_null(task);
    }
    sq_task *task;
    sq_error error;
    assert_int_equal(sq_task_load(&task, in_root("none.yaml"), &error), SQ_NOT_FOUND);
    assert_contains(error.message, "none.yaml");
    assert_int_equal(sq_memory_current(), 0);
}

static void complete_yaml(void **state)
{
    (void)state;
    sq_task *task = load(task_text), *again;
    sq_error error;
    char *first, *second;
    assert_ok(sq_task_set(task, "name", "a \"name\": # [x]", &error), &error);
    assert_ok(sq_task_set(task, "train.learning_rate", "0.333333333333333314829616256247", &error), &error);
    assert_ok(sq_task_yaml(task, &first, &error), &error);
    assert_contains(first, "\n  schedule: cosine\n");
    assert_contains(first, "\n    features: 16\n");
    assert_ok(sq__make_folders(in_root("elsewhere"), &error), &error);
    write_file("elsewhere/config.yaml", first);
    assert_ok(sq_task_load(&again, in_root("elsewhere/config.yaml"), &error), &error);
    assert_ok(sq_task_yaml(again, &second, &error), &error);
    assert_string_equal(first, second);
    sq_text_free(&first);
    sq_text_free(&second);
    sq_text_free(&second);
    sq_task_destroy(&again);
    sq_task_destroy(&task);
    assert_int_equal(sq_memory_current(), 0);
}

static void jobs(void **state)
{
    (void)state;
    sq_task *task = load(task_text);
    sq_task_job made;
    sq_error error;
    assert_ok(sq__task_job_make(task, NULL, "performer", 5, &made, &error), &error);
    bool found = false;
    for (int i = 0; i < made.job.option_count; i++) found |= strcmp(made.job.options[i].key, "features") == 0 && strcmp(made.job.options[i].value, "16") == 0;
    assert_true(found && made.job.option_count > 1);
    assert_int_equal(made.job.seed, 5);
    assert_int_equal(made.job.train.epochs, 8);
    sq__task_job_clear(&made);
    assert_ok(sq__task_job_make(task, NULL, "logistic", 5, &made, &error), &error);
    assert_int_equal(made.job.option_count, 0);
    sq__task_job_clear(&made);
    assert_int_equal(sq__task_job_make(task, NULL, "logstic", 5, &made, &error), SQ_NOT_FOUND);
    assert_contains(error.message, "did you mean 'logistic'?");
    sq_task_destroy(&task);
    assert_int_equal(sq_memory_current(), 0);
}

static void options_for_help(void **state)
{
    (void)state;
    sq_option_info info;
    static const char *const sections[] = { "model", "train", "compare", "data", "data.time", "data.explode", "data.target", "data.split" };
    for (int s = 0; s < 8; s++) {
        int count = 0;
        for (; sq_task_option(sections[s], count, &info) == SQ_OK; count++) assert_true(info.name[0] && info.help[0] && info.default_text);
        assert_true(count >= 4);
    }
    assert_int_equal(sq_task_option("nothing", 0, &info), SQ_NOT_FOUND);
    assert_int_equal(sq_task_option("model", -1, &info), SQ_NOT_FOUND);
    assert_int_equal(sq_task_option("data.nothing", 0, &info), SQ_NOT_FOUND);
    assert_int_equal(sq_task_option("data.split", 6, &info), SQ_OK);
    assert_string_equal(info.name, "files.test");
    assert_int_equal(sq_task_option("data.split", 7, &info), SQ_NOT_FOUND);
    assert_int_equal(sq_task_option("data.categorical", 1, &info), SQ_OK);
    assert_string_equal(info.name, "vocabulary");
}

static void lists(void **state)
{
    (void)state;
    const char *names[64];
    int64_t lengths[4];
    int count;
    sq_error error;
    assert_ok(sq__mechanism_list(" softmax , infinite_former,softmax", names, 64, &count, &error), &error);
    assert_int_equal(count, 2);
    assert_string_equal(names[1], "infinite-former");
    assert_ok(sq__mechanism_list("all", names, 64, &count, &error), &error);
    assert_int_equal(count, sq_mechanism_count());
    assert_ok(sq__baseline_list("none", names, 64, &count, &error), &error);
    assert_int_equal(count, 0);
    assert_ok(sq__length_list("1, 20,300", lengths, 4, &count, &error), &error);
    assert_true(count == 3 && lengths[2] == 300);
    assert_int_equal(sq__length_list("1,2,3,4,5", lengths, 4, &count, &error), SQ_INVALID);
    assert_int_equal(sq__length_list("1,2x", lengths, 4, &count, &error), SQ_INVALID);
    assert_int_equal(sq__length_list("99999999999999999999", lengths, 4, &count, &error), SQ_INVALID);
}

static void allocation_failures(void **state)
{
    (void)state;
    write_file("task.yaml", task_text);
    for (long n = 1;; n++) {
        sq_task *task;
        sq_error error = { .message = "" };
        char *yaml = NULL;
        sq__alloc_fail_after(n);
        sq_status status = sq_task_load(&task, in_root("task.yaml"), &error);
        if (status == SQ_OK) status = sq_task_yaml(task, &yaml, &error);
        sq__alloc_fail_after(0);
        sq_text_free(&yaml);
        sq_task_destroy(&task);
        assert_int_equal(sq_memory_current(), 0);
        if (status == SQ_OK) break;
        if (status != SQ_NO_MEMORY) fail_msg("allocation %ld: %s", n, error.message);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_root, remove_root)
    const struct CMUnitTest tests[] = { TEST(values), TEST(settings), TEST(long_lists), TEST(refused_files), TEST(complete_yaml), TEST(jobs), TEST(options_for_help),
                                        TEST(lists), TEST(allocation_failures) };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
