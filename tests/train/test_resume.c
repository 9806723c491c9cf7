/* Killed at any moment, stopped, out of disk: gone on with, a run ends with the bits of one that was not disturbed. */
#include "train/run_support.h"

static int64_t kill_at, calls;

/* The progress function dies in the middle of a run: after some calls of any stage. */
static void die(void *user, const sq_progress *progress)
{
    (void)user;
    (void)progress;
    if (++calls == kill_at) raise(SIGKILL);
}

static void count(void *user, const sq_progress *progress)
{
    (void)progress;
    ++*(int64_t *)user;
}

static void assert_same_run(sq_train_job *job, const char *calm, const char *disturbed)
{
    sq_run_result a, b;
    sq_error error;
    job->resume = true;   /* both have finished: their stored results */
    job->folder = calm;
    assert_ok(sq__train_run(job, &a, &error), &error);
    job->folder = disturbed;
    assert_ok(sq__train_run(job, &b, &error), &error);
    assert_same_result(&a, &b);
    assert_same_file(calm, disturbed, "model.safetensors");
    assert_int_equal(leftovers(disturbed), 0);
    sq_run_result_clear(&a);
    sq_run_result_clear(&b);
}

static void kill_until_done(const sq_dataset *data, const char *mechanism, const char *folder, uint64_t seed)
{
    const sq_random draw = sq__random_stream(seed, "kill", 0);
    sq_train_job job = small_job(data, mechanism, folder);
    bool killed = true;
    int deaths = 0;
    job.train.redraw = 5;
    job.progress = die;
    for (uint64_t life = 0; killed; life++) {
        kill_at = 1 + (int64_t)sq__random_below(&draw, life, 6 + 2 * life);   /* later and later, so that it ends */
        calls = 0;
        job.resume = life > 0;
        const child_result got = run_in_child(&job, NULL);
        killed = got.killed;
        deaths += killed;
        if (!killed && got.status != SQ_OK) fail_msg("%s", got.message);
        assert_true(life < 60);
    }
    assert_true(deaths > 0);
}

static void killed_again_and_again(void **state)
{
    (void)state;
    const char *mechanisms[64];
    const int count = all_names(mechanisms);
    sq_dataset *data = synthetic(90, 4, 12, 1);
    for (int i = 0; i < count; i++) {
        char calm[64], disturbed[64];
        snprintf(calm, sizeof calm, "%s-calm", mechanisms[i]);
        sq_train_job job = small_job(data, mechanisms[i], in_root(calm));
        job.train.redraw = 5;
        const child_result got = run_in_child(&job, NULL);
        if (got.status != SQ_OK) fail_msg("%s", got.message);
        for (uint64_t seed = 1; seed <= 3; seed++) {
            snprintf(disturbed, sizeof disturbed, "%s-%d", mechanisms[i], (int)seed);
            kill_until_done(data, mechanisms[i], in_root(disturbed), seed);
            assert_same_run(&job, in_root(calm), in_root(disturbed));
        }
    }
    sq__dataset_destroy(&data);
}

/* From outside, at any instruction: also between the writing and the renaming of files. */
static void killed_by_the_clock(void **state)
{
    (void)state;
    sq_dataset *data = synthetic(90, 4, 12, 2);
    sq_train_job job = small_job(data, "softmax", in_root("calm"));
    job.train.checkpoint_steps = 1;
    const child_result calm = run_in_child(&job, NULL);
    if (calm.status != SQ_OK) fail_msg("%s", calm.message);
    const sq_random draw = sq__random_stream(7, "clock", 0);
    job.folder = in_root("killed");
    int deaths = 0;
    for (uint64_t life = 0;; life++) {
        job.resume = life > 0;
        fflush(NULL);
        const pid_t child = fork();
        if (child == 0) {
            sq_run_result result;
            _exit(sq__train_run(&job, &result, NULL) == SQ_OK ? 0 : 1);
        }
        usleep((useconds_t)(1000 + sq__random_below(&draw, life, 20000 + 5000 * life)));
        kill(child, SIGKILL);
        int how;
        waitpid(child, &how, 0);
        if (WIFEXITED(how)) {
            assert_int_equal(WEXITSTATUS(how), 0);
            break;
        }
        deaths++;
    }
    assert_true(deaths > 0);
    assert_same_run(&job, in_root("calm"), in_root("killed"));
    sq__dataset_destroy(&data);
}

typedef struct stopper { int64_t at, calls; sq_stop_flag stop; } stopper;

static void stop_later(void *user, const sq_progress *progress)
{
    (void)progress;
    stopper *s = user;
    if (++s->calls == s->at) s->stop = 1;
}

static void stopped_and_resumed(void **state)
{
    (void)state;
    sq_dataset *data = synthetic(90, 4, 12, 3);
    int64_t all = 0;
    sq_train_job job = small_job(data, "softmax", in_root("calm"));
    job.train.checkpoint_steps = 0;   /* only the stop itself saves */
    job.progress = count;
    job.user = &all;
    sq_run_result result;
    sq_error error;
    assert_ok(sq__train_run(&job, &result, &error), &error);
    sq_run_result_clear(&result);
    stopper s = { .at = 1 };
    job.folder = in_root("stopped");
    job.progress = stop_later;
    job.user = &s;
    job.stop = &s.stop;
    sq_status status = SQ_INTERRUPTED;
    int stops = 0;
    for (; status != SQ_OK; stops++) {
        s.calls = s.stop = 0;
        job.resume = stops > 0;
        status = sq__train_run(&job, &result, &error);
        assert_true(status == SQ_OK || status == SQ_INTERRUPTED);
        if (status == SQ_INTERRUPTED && stops < 3) assert_contains(error.message, "stopped: interrupted at step ");
        s.at += 2;
    }
    assert_true(stops > 4);
    sq_run_result_clear(&result);
    job.stop = NULL;
    job.progress = NULL;
    assert_same_run(&job, in_root("calm"), in_root("stopped"));
    sq__dataset_destroy(&data);
}

static void small_disk(void)
{
    signal(SIGXFSZ, SIG_IGN);
    const struct rlimit limit = { 30000, 30000 };   /* the checkpoint is larger, the small files are not */
    setrlimit(RLIMIT_FSIZE, &limit);
}

static void full_disk(void **state)
{
    (void)state;
    sq_dataset *data = synthetic(90, 4, 12, 4);
    sq_train_job job = small_job(data, "softmax", in_root("calm"));
    child_result got = run_in_child(&job, NULL);
    if (got.status != SQ_OK) fail_msg("%s", got.message);
    job.folder = in_root("full");
    got = run_in_child(&job, small_disk);
    assert_int_equal(got.status, SQ_IO);
    assert_contains(got.message, "checkpoint/state.safetensors: cannot write");
    assert_int_equal(leftovers(job.folder), 0);
    assert_false(sq__file_exists(in_root("full/checkpoint/state.safetensors")));
    job.resume = true;
    got = run_in_child(&job, NULL);
    if (got.status != SQ_OK) fail_msg("%s", got.message);
    assert_same_run(&job, in_root("calm"), in_root("full"));
    sq__dataset_destroy(&data);
}

static void strange_checkpoints(void **state)
{
    (void)state;
    sq_dataset *data = synthetic(90, 4, 12, 5);
    stopper s = { .at = 5 };
    sq_train_job job = small_job(data, "softmax", in_root("run"));
    sq_run_result result;
    sq_error error;
    job.progress = stop_later;
    job.user = &s;
    job.stop = &s.stop;
    assert_int_equal(sq__train_run(&job, &result, &error), SQ_INTERRUPTED);
    job.stop = NULL;
    job.resume = true;
    job.train.weight_decay = 0.5;
    assert_int_equal(sq__train_run(&job, &result, &error), SQ_INVALID);
    assert_contains(error.message, "state.safetensors: made by another task or configuration: train.weight_decay is 0.01 there and 0.5 now");
    job.train.weight_decay = 0.01;
    job.model.width = 32;
    assert_int_equal(sq__train_run(&job, &result, &error), SQ_INVALID);
    assert_contains(error.message, "model.width is 16 there and 32 now");
    job.model.width = 16;

    size_t size;
    char *bytes = bytes_of(in_root("run"), "checkpoint/state.safetensors", &size);
    const char *path = in_root("run/checkpoint/state.safetensors");
    FILE *file = fopen(path, "wb");
    fwrite(bytes, 1, size - 100, file);
    fclose(file);
    assert_int_equal(sq__train_run(&job, &result, &error), SQ_FORMAT);
    assert_contains(error.message, "state.safetensors: ");
    file = fopen(path, "wb");
    fwrite(bytes, 1, size, file);
    fclose(file);
    assert_ok(sq__train_run(&job, &result, &error), &error);   /* whole again: goes on */
    sq_run_result_clear(&result);
    sq__free(bytes);
    sq__dataset_destroy(&data);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_root, remove_root)
    const struct CMUnitTest tests[] = {
        TEST(killed_again_and_again), TEST(killed_by_the_clock), TEST(stopped_and_resumed), TEST(full_disk), TEST(strange_checkpoints),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
