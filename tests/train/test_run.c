/* A whole run: it learns, leaves the files, its bits do not depend on threads, and what goes wrong is said. */
#include "train/run_support.h"

#include <fcntl.h>
#include <sys/file.h>

#include "io/safetensors.h"

static void learns(void **state)
{
    (void)state;
    static const char *const mechanisms[] = { "softmax", "gru", "logistic" };
    sq_dataset *data = synthetic(400, 8, 24, 1);
    for (int i = 0; i < 3; i++) {
        sq_train_job job = small_job(data, mechanisms[i], in_root(mechanisms[i]));
        sq_run_result result;
        sq_error error;
        job.train.epochs = 12;
        assert_ok(sq__train_run(&job, &result, &error), &error);
        if (!(result.test.accuracy > 0.9)) fail_msg("%s: test accuracy %.3f", mechanisms[i], result.test.accuracy);
        assert_true(result.test.auc > 0.95 && result.validation.accuracy > 0.9);
        assert_true(result.parameters > 0 && result.steps > 0 && result.best_epoch > 0 && result.epoch_count > 0);
        assert_true(result.clients_per_second > 0 && result.tokens_per_second > result.clients_per_second);
        assert_true(result.train_peak_bytes > result.inference_peak_bytes && result.inference_peak_bytes > 0);
        int64_t total = 0, right = 0;
        for (int c = 0; c < 4; c++) total += result.confusion[c];
        right = result.confusion[0] + result.confusion[3];
        assert_int_equal(total, data->split_size[SQ_SPLIT_TEST]);
        assert_close((double)right / (double)total, result.test.accuracy, 1e-15);
        sq_run_result_clear(&result);
    }
    sq__dataset_destroy(&data);
    assert_int_equal(sq_memory_current(), 0);
}

static void leaves_its_files(void **state)
{
    (void)state;
    sq_dataset *data = synthetic(60, 4, 9, 2);
    sq_train_job job = small_job(data, "softmax", in_root("run"));
    sq_run_result result, again;
    sq_error error;
    assert_ok(sq__train_run(&job, &result, &error), &error);
    static const char *const names[] = { "config.yaml", "schema.json", "model.safetensors", "checkpoint/state.safetensors", "metrics.csv", "result.json" };
    for (int i = 0; i < 6; i++) {
        size_t size;
        char *bytes = bytes_of(job.folder, names[i], &size);
        if (size == 0) fail_msg("%s is not there or empty", names[i]);
        if (i == 4) {
            int lines = 0;
            for (const char *c = bytes; *c; c++) lines += *c == '\n';
            assert_int_equal(lines, 1 + result.epoch_count);
        }
        sq__free(bytes);
    }
    sq_safetensors *file;
    assert_ok(sq__safetensors_open(&file, in_root("run/model.safetensors"), &error), &error);
    assert_string_equal(sq__safetensors_metadata(file, "mechanism"), "softmax");
    assert_string_equal(sq__safetensors_metadata(file, "model.width"), "16");
    sq__safetensors_close(&file);

    job.resume = true;   /* finished: the stored result comes back, also what was measured */
    assert_ok(sq__train_run(&job, &again, &error), &error);
    assert_same_result(&result, &again);
    assert_true(same_number(result.clients_per_second, again.clients_per_second) && same_number(result.epoch_seconds, again.epoch_seconds));
    assert_int_equal(result.train_peak_bytes, again.train_peak_bytes);
    sq_run_result_clear(&again);
    sq_run_result_clear(&result);
    sq__dataset_destroy(&data);
}

static void threads_do_not_change_bits(void **state)
{
    (void)state;
    const char *mechanisms[64];
    const int count = all_names(mechanisms);
    sq_dataset *data = synthetic(100, 4, 40, 3);
    for (int i = 0; i < count; i++) {
        char folders[2][64];
        sq_run_result results[2];
        sq_error error;
        for (int t = 0; t < 2; t++) {
            snprintf(folders[t], sizeof folders[t], "%s-%d", mechanisms[i], t + 1);
            sq_train_job job = small_job(data, mechanisms[i], in_root(folders[t]));
            job.threads = t + 1;
            assert_ok(sq__train_run(&job, &results[t], &error), &error);
        }
        assert_same_file(in_root(folders[0]), in_root(folders[1]), "model.safetensors");
        assert_same_result(&results[0], &results[1]);
        for (int t = 0; t < 2; t++) sq_run_result_clear(&results[t]);
    }
    sq__dataset_destroy(&data);
}

static void options_of_training(void **state)
{
    (void)state;
    sq_dataset *data = synthetic(100, 4, 20, 4);
    for (int variant = 0; variant < 4; variant++) {
        char name[16];
        snprintf(name, sizeof name, "run-%d", variant);
        sq_train_job job = small_job(data, "softmax", in_root(name));
        sq_run_result result;
        sq_error error;
        job.train.label_smoothing = variant == 0 ? 0.1 : 0;
        job.train.class_weights = variant == 1;
        job.train.max_steps = variant == 2 ? 11 : 0;
        job.train.learning_rate = variant == 3 ? 0 : 0.01;   /* nothing changes: stops when patience is at its end */
        job.train.patience = 2;
        job.train.epochs = variant == 3 ? 9 : 3;
        assert_ok(sq__train_run(&job, &result, &error), &error);
        assert_true(isfinite(result.test.log_loss));
        if (variant == 2) assert_int_equal(result.steps, 11);
        if (variant == 3) {
            assert_int_equal(result.epochs, 3);
            assert_int_equal(result.best_epoch, 1);
        }
        sq_run_result_clear(&result);
    }
    sq__dataset_destroy(&data);
}

static void refused(sq_train_job *job, sq_status expected, const char *part)
{
    sq_run_result result;
    sq_error error = { .message = "" };
    assert_int_equal(sq__train_run(job, &result, &error), expected);
    assert_contains(error.message, part);
}

static void folders_are_guarded(void **state)
{
    (void)state;
    sq_dataset *data = synthetic(60, 4, 9, 5), *other = synthetic(60, 4, 9, 6);
    sq_train_job job = small_job(data, "logistic", in_root("run"));
    sq_run_result result;
    sq_error error;
    assert_ok(sq__train_run(&job, &result, &error), &error);
    sq_run_result_clear(&result);
    refused(&job, SQ_INVALID, "run: the run folder is not empty");
    job.resume = true;
    job.seed = 4;
    refused(&job, SQ_INVALID, "made by another task or configuration: seed is 3 there and 4 now");
    job.seed = 3;
    job.train.learning_rate = 0.02;
    refused(&job, SQ_INVALID, "train.learning_rate is 0.01 there and 0.02 now");
    job.train.learning_rate = 0.01;
    job.mechanism = "softmax";
    refused(&job, SQ_INVALID, "mechanism is logistic there and softmax now");
    job.mechanism = "logistic";
    job.dataset = other;
    refused(&job, SQ_INVALID, "data is ");
    job.dataset = data;

    assert_ok(sq__make_folders(in_root("home/pictures"), &error), &error);
    job.folder = in_root("home");
    refused(&job, SQ_INVALID, "home: holds something else than a run");

    assert_ok(sq__make_folders(in_root("busy"), &error), &error);
    const int lock = open(in_root("busy/.lock"), O_RDWR | O_CREAT, 0666);
    assert_int_equal(flock(lock, LOCK_EX), 0);
    job.folder = in_root("busy");
    refused(&job, SQ_IO, "busy: another process is using this run folder");
    close(lock);
    assert_ok(sq__train_run(&job, &result, &error), &error);
    sq_run_result_clear(&result);
    sq__dataset_destroy(&other);
    sq__dataset_destroy(&data);
}

static void bad_jobs_leave_nothing(void **state)
{
    (void)state;
    sq_dataset *data = synthetic(60, 4, 9, 7);
    sq_train_job job = small_job(data, "softmax", in_root("none"));
    const sq_option option = { "no_such_option", "1" };
    job.model.heads = 3;   /* does not divide 16 */
    refused(&job, SQ_INVALID, "");
    job.model.heads = 2;
    job.mechanism = "softmx";
    refused(&job, SQ_NOT_FOUND, "softmax");
    job.mechanism = "softmax";
    job.options = &option;
    job.option_count = 1;
    refused(&job, SQ_NOT_FOUND, "no_such_option");
    job.option_count = 0;
    const int64_t size = data->split_size[SQ_SPLIT_TRAIN];
    data->split_size[SQ_SPLIT_TRAIN] = 0;
    refused(&job, SQ_INVALID, "the training split has no clients");
    data->split_size[SQ_SPLIT_TRAIN] = size;
    data->schema->class_count = 1;
    refused(&job, SQ_INVALID, "the target has 1 class; expected two or more");
    data->schema->class_count = 2;
    assert_false(sq__file_exists(in_root("none")));
    sq__dataset_destroy(&data);
}

/* ---- divergence ---- */

typedef struct spoiler { sq_dataset *data; int64_t after; bool said; } spoiler;

static void spoil(void *user, const sq_progress *progress)
{
    spoiler *s = user;
    const sq_dataset *data = s->data;
    if (strcmp(progress->stage, "training") == 0 && progress->done >= s->after)
        for (int64_t i = 0; i < data->split_size[SQ_SPLIT_TRAIN]; i++) data->numbers[0][data->start[data->split[SQ_SPLIT_TRAIN][i]]] = NAN;
    if (progress->message && strstr(progress->message, "diverged at step")) s->said = true;
}

static void divergence_is_kept(void **state)
{
    (void)state;
    for (int late = 0; late < 2; late++) {
        sq_dataset *data = synthetic(100, 4, 9, 8);
        sq_train_job job = small_job(data, "softmax", in_root(late ? "late" : "early"));
        spoiler s = { data, late ? 10 : 1, false };   /* 60 clients in batches of 8: 8 steps make an epoch */
        sq_run_result result;
        sq_error error;
        job.progress = spoil;
        job.user = &s;
        assert_ok(sq__train_run(&job, &result, &error), &error);
        assert_true(result.diverged && s.said);
        assert_int_equal(result.best_epoch, late);
        assert_int_equal(result.epoch_count, late);
        assert_true(late ? isfinite(result.test.log_loss) && isfinite(result.validation.auc) : isnan(result.test.log_loss) && isnan(result.validation.auc));
        size_t size;
        sq__free(bytes_of(job.folder, "model.safetensors", &size));
        assert_true((size > 0) == late);
        job.resume = true;
        refused(&job, SQ_INVALID, "data is ");   /* the data changed under the run */
        sq_run_result_clear(&result);
        sq__dataset_destroy(&data);
    }
}

/* Sampled allocations fail in turn: an error, nothing lost, nothing half-written. */
static void allocation_failures(void **state)
{
    (void)state;
    static const char *const mechanisms[] = { "softmax", "logistic" };
    sq_dataset *data = synthetic(40, 4, 9, 9);
    const size_t held = sq_memory_current();
    for (int i = 0; i < 2; i++) {
        bool done = false;
        for (long n = 1; !done; n += 1 + n / 8) {
            char name[32];
            snprintf(name, sizeof name, "%s-%ld", mechanisms[i], n);
            sq_train_job job = small_job(data, mechanisms[i], in_root(name));
            sq_run_result result;
            job.train.epochs = 1;
            sq__alloc_fail_after(n);
            const sq_status status = sq__train_run(&job, &result, NULL);
            sq__alloc_fail_after(0);
            done = status == SQ_OK;
            if (done) sq_run_result_clear(&result);
            else assert_int_equal(status, SQ_NO_MEMORY);
            assert_int_equal(sq_memory_current(), held);
            assert_int_equal(leftovers(root), 0);
        }
    }
    sq__dataset_destroy(&data);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_root, remove_root)
    const struct CMUnitTest tests[] = {
        TEST(learns), TEST(leaves_its_files), TEST(threads_do_not_change_bits), TEST(options_of_training), TEST(folders_are_guarded),
        TEST(bad_jobs_leave_nothing), TEST(divergence_is_kept), TEST(allocation_failures),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
