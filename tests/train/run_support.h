/* A run in a fresh folder: jobs, files as bytes, runs in a child process that may be killed. */
#ifndef TESTS_TRAIN_RUN_SUPPORT_H
#define TESTS_TRAIN_RUN_SUPPORT_H

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/file.h"
#include "train/synthetic.h"
#include "train/train.h"

static char root[64];

static inline int make_root(void **state)
{
    (void)state;
    strcpy(root, "/tmp/subquad-run-XXXXXX");
    return mkdtemp(root) ? 0 : 1;
}

static inline int remove_root(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command);
}

static inline const char *in_root(const char *name)
{
    static char paths[8][256];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", root, name);
    return path;
}

static inline sq_train_job small_job(const sq_dataset *data, const char *mechanism, const char *folder)
{
    sq_train_job job = { .dataset = data, .mechanism = mechanism, .seed = 3, .threads = 1, .folder = folder, .config_yaml = "name: \"test\"\n" };
    sq__fields_defaults(sq__model_fields, &job.model);
    sq__fields_defaults(sq__train_fields, &job.train);
    job.model.layers = 1;
    job.model.width = 16;
    job.model.heads = 2;
    job.model.feed_forward = 32;
    job.model.dropout = 0.1;
    job.train.epochs = 3;
    job.train.batch = 8;
    job.train.learning_rate = 0.01;
    job.train.checkpoint_steps = 3;
    return job;
}

/* Every name that a job can have: the registry, then the baselines. */
static inline int all_names(const char **names)
{
    int count = 0;
    sq_mechanism_info info;
    while (count < 62 && sq_mechanism_get(count, &info) == SQ_OK) names[count++] = info.name;
    names[count++] = "gru";
    names[count++] = "logistic";
    return count;
}

/* The whole file, or "" when it is not there. */
static inline char *bytes_of(const char *folder, const char *name, size_t *size)
{
    char path[256], *bytes;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (sq__file_read(path, &bytes, size, NULL) == SQ_OK) return bytes;
    *size = 0;
    return sq__strdup("");
}

static inline void assert_same_file(const char *a, const char *b, const char *name)
{
    size_t a_size, b_size;
    char *a_bytes = bytes_of(a, name, &a_size), *b_bytes = bytes_of(b, name, &b_size);
    assert_true(a_size > 0);
    if (a_size != b_size || memcmp(a_bytes, b_bytes, a_size) != 0) fail_msg("%s of %s and %s differ", name, a, b);
    sq__free(a_bytes);
    sq__free(b_bytes);
}

static inline bool same_number(double a, double b) { return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b)); }

static inline void assert_same_quality(const sq_quality *a, const sq_quality *b)
{
    for (size_t i = 0; i < sizeof *a / sizeof(double); i++) assert_true(same_number(((const double *)a)[i], ((const double *)b)[i]));
}

/* Everything but timings and memory. */
static inline void assert_same_result(const sq_run_result *a, const sq_run_result *b)
{
    assert_string_equal(a->mechanism, b->mechanism);
    assert_int_equal(a->diverged, b->diverged);
    assert_same_quality(&a->test, &b->test);
    assert_same_quality(&a->validation, &b->validation);
    assert_int_equal(a->parameters, b->parameters);
    assert_int_equal(a->epochs, b->epochs);
    assert_int_equal(a->steps, b->steps);
    assert_int_equal(a->best_epoch, b->best_epoch);
    assert_int_equal(a->epoch_count, b->epoch_count);
    assert_memory_equal(a->confusion, b->confusion, sizeof a->confusion);
    for (int i = 0; i < a->epoch_count; i++) {
        assert_int_equal(a->curve[i].epoch, b->curve[i].epoch);
        assert_int_equal(a->curve[i].step, b->curve[i].step);
        assert_true(same_number(a->curve[i].train_loss, b->curve[i].train_loss));
        assert_same_quality(&a->curve[i].validation, &b->curve[i].validation);
    }
}

/* Files in a folder and below that should not be there: temporary ones. */
static inline int leftovers(const char *folder)
{
    char command[256], line[64] = "";
    snprintf(command, sizeof command, "find %s -name '*.partial' | wc -l", folder);
    FILE *pipe = popen(command, "r");
    if (!fgets(line, sizeof line, pipe)) line[0] = 0;
    pclose(pipe);
    return atoi(line);
}

/* In a child: the threads of a parent that has run loops do not survive a fork. */
typedef struct child_result { bool killed; sq_status status; char message[sizeof((sq_error *)0)->message]; } child_result;

static inline child_result run_in_child(const sq_train_job *job, void (*before)(void))
{
    int channel[2], how;
    child_result got = { .status = SQ_INTERNAL };
    assert_int_equal(pipe(channel), 0);
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        sq_run_result result;
        sq_error error = { .message = "" };
        if (before) before();
        got.status = sq__train_run(job, &result, &error);
        snprintf(got.message, sizeof got.message, "%s", error.message);
        sq_run_result_clear(&result);
        if (write(channel[1], &got, sizeof got) != (ssize_t)sizeof got) _exit(2);
        _exit(0);
    }
    close(channel[1]);
    if (read(channel[0], &got, sizeof got) != (ssize_t)sizeof got) got.status = SQ_INTERNAL;
    close(channel[0]);
    waitpid(child, &how, 0);
    got.killed = WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL;
    if (!got.killed && WIFSIGNALED(how)) fail_msg("the child died of signal %d", WTERMSIG(how));
    return got;
}

#endif
