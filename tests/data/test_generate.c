/* The generator of sample clients: the planted structure is what README.md says, read back from the files alone. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "io/file.h"
#include "subquad/tools.h"

static char folder[256];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/subquad-generate-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    static const char *const names[] = { "transactions.csv", "gender.csv", "task.yaml", "README.md" };
    char path[300];
    (void)state;
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    return rmdir(folder);
}

static sq_clients_options options_for(const char *mode, int64_t clients)
{
    return (sq_clients_options){ .folder = folder, .clients = clients, .seed = 7, .mode = mode, .noise = -1 };
}

static char *read_text(const char *name, size_t *size)
{
    char path[300], *text = NULL;
    sq_error error;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(sq__file_read(path, &text, size, &error), SQ_OK);
    return text;
}

/* ---- the files, parsed here without the library's readers ---- */

typedef struct history { int64_t id; int label, n, room, *code; double *amount; } history;
typedef struct table { int count; history *clients; } table;

static history *client_of(table *t, int64_t id)
{
    if (t->count == 0 || t->clients[t->count - 1].id != id) {
        for (int i = 0; i < t->count; i++) assert_int_not_equal(t->clients[i].id, id);   /* the events of a client stand together */
        t->clients = realloc(t->clients, (size_t)(t->count + 1) * sizeof *t->clients);
        t->clients[t->count++] = (history){ .id = id, .label = -1 };
    }
    return &t->clients[t->count - 1];
}

static table read_tables(void)
{
    table t = { 0, NULL };
    size_t size;
    char *text = read_text("transactions.csv", &size), *save = NULL;
    char *line = strtok_r(text, "\n", &save);
    assert_string_equal(line, "customer_id,tr_datetime,mcc_code,tr_type,amount,term_id");
    int64_t last_second = -1, last_id = -1;
    while ((line = strtok_r(NULL, "\n", &save))) {
        long long id;
        int day, hour, minute, second, code, type, used = 0;
        double amount;
        assert_int_equal(sscanf(line, "%lld,%d %2d:%2d:%2d,%d,%d,%lf,%n", &id, &day, &hour, &minute, &second, &code, &type, &amount, &used), 8);
        assert_true(used > 0);
        assert_true(line[used] == 0 || (strspn(line + used, "0123456789") == strlen(line + used)));
        assert_true(day >= 0 && day < 457 && hour < 24 && minute < 60 && second < 60);
        int64_t at = ((day * 24LL + hour) * 60 + minute) * 60 + second;
        if (id == last_id) assert_true(at >= last_second);   /* oldest first */
        last_id = id;
        last_second = at;
        history *h = client_of(&t, id);
        if (h->n == h->room) {
            h->room = h->room ? 2 * h->room : 256;
            h->code = realloc(h->code, (size_t)h->room * sizeof *h->code);
            h->amount = realloc(h->amount, (size_t)h->room * sizeof *h->amount);
        }
        h->code[h->n] = code;
        h->amount[h->n++] = amount;
    }
    sq__free(text);
    text = read_text("gender.csv", &size);
    line = strtok_r(text, "\n", &save);
    assert_string_equal(line, "customer_id,gender");
    int labels = 0;
    while ((line = strtok_r(NULL, "\n", &save))) {
        long long id;
        int label, found = 0;
        assert_int_equal(sscanf(line, "%lld,%d", &id, &label), 2);
        assert_true(label == 0 || label == 1);
        for (int i = 0; i < t.count; i++)
            if (t.clients[i].id == id) {
                t.clients[i].label = label;
                found = 1;
            }
        assert_true(found);
        labels++;
    }
    assert_int_equal(labels, t.count);
    sq__free(text);
    return t;
}

static void free_tables(table *t)
{
    for (int i = 0; i < t->count; i++) {
        free(t->clients[i].code);
        free(t->clients[i].amount);
    }
    free(t->clients);
}

static int count_of(const history *h, int code)
{
    int count = 0;
    for (int i = 0; i < h->n; i++) count += h->code[i] == code;
    return count;
}

static int first_of(const history *h, int code)
{
    int i = 0;
    while (i < h->n && h->code[i] != code) i++;
    return i;
}

static int last_of(const history *h, int code)
{
    int i = h->n - 1;
    while (i >= 0 && h->code[i] != code) i--;
    return i;
}

/* ---- tests ---- */

static void long_range_label_is_the_order_of_far_markers(void **state)
{
    (void)state;
    sq_clients_options options = options_for("long-range", 400);
    sq_clients_result result;
    sq_error error;
    assert_int_equal(sq_generate_clients(&options, &result, &error), SQ_OK);
    assert_true(fabs(result.bayes_accuracy - 0.95) < 1e-12);
    assert_true(fabs(result.bayes_auc - 0.95) < 0.001);   /* ties within a half and pairs of one client: a little off 1 - noise */
    table t = read_tables();
    assert_int_equal(t.count, 400);
    int u_first = 0, agrees = 0;
    int64_t events = 0;
    for (int i = 0; i < t.count; i++) {
        const history *h = &t.clients[i];
        assert_in_range(h->n, 1100, 2048);
        assert_int_equal(count_of(h, 5211), h->n / 25);
        assert_int_equal(count_of(h, 4722), h->n / 25);
        int forward = first_of(h, 4722) - last_of(h, 5211), backward = first_of(h, 5211) - last_of(h, 4722);
        assert_true(forward > 1000 || backward > 1000);
        u_first += forward > 1000;
        agrees += (forward > 1000) == h->label;
        events += h->n;
    }
    assert_int_equal(u_first, 200);
    assert_int_equal(events, result.events);
    /* 400 labels, each flipped with probability 0.05: 20 flips expected, deviation 4.4 */
    assert_in_range(t.count - agrees, 5, 42);
    free_tables(&t);
}

/* Nothing counted over the history tells the label: counts of every code, number of events and sums of amounts
 * have the same mean for both orders, within 4.5 standard errors. */
static void long_range_aggregates_are_at_chance(void **state)
{
    (void)state;
    sq_clients_options options = options_for("long-range", 300);
    sq_clients_result result;
    sq_error error;
    assert_int_equal(sq_generate_clients(&options, &result, &error), SQ_OK);
    table t = read_tables();
    enum { EVENTS = 10000, AMOUNT, VALUES };
    double (*sum)[2] = calloc(VALUES, sizeof *sum), (*square)[2] = calloc(VALUES, sizeof *square), size[2] = { 0 };
    double *value = malloc(VALUES * sizeof *value);
    for (int i = 0; i < t.count; i++) {
        const history *h = &t.clients[i];
        int order = first_of(h, 5211) < first_of(h, 4722);
        memset(value, 0, VALUES * sizeof *value);
        value[EVENTS] = h->n;
        for (int j = 0; j < h->n; j++) {
            value[h->code[j]] += 1.0 / h->n;
            value[AMOUNT] += h->amount[j] / h->n;
        }
        for (int k = 0; k < VALUES; k++) {
            sum[k][order] += value[k];
            square[k][order] += value[k] * value[k];
        }
        size[order]++;
    }
    int checked = 0;
    for (int k = 0; k < VALUES; k++) {
        double mean0 = sum[k][0] / size[0], mean1 = sum[k][1] / size[1];
        if (mean0 == 0 && mean1 == 0) continue;
        double variance = (square[k][0] / size[0] - mean0 * mean0) / size[0] + (square[k][1] / size[1] - mean1 * mean1) / size[1];
        assert_true(fabs(mean0 - mean1) <= 4.5 * sqrt(variance) + 1e-12);
        checked++;
    }
    free(sum);
    free(square);
    free(value);
    assert_true(checked > 60);
    free_tables(&t);
}

/* README.md's formula, written here again from its text. */
static double probability(const history *h)
{
    double share = (count_of(h, 5977) + count_of(h, 5661) + count_of(h, 5621)) / (double)h->n;
    int pairs = 0;
    for (int i = 0; i + 1 < h->n; i++) {
        pairs += h->code[i] == 8099 && h->code[i + 1] == 5912;
        pairs -= h->code[i] == 5912 && h->code[i + 1] == 8099;
    }
    double logit = 2.0 * fmax(-1, fmin(1, (share - 0.12) / 0.08));
    logit += 1.4 * ((pairs > 0) - (pairs < 0));
    int recent = 0;
    for (int i = h->n < 24 ? 0 : h->n - 24; i < h->n; i++) recent += (h->code[i] == 5541) - (h->code[i] == 4111);
    logit += 1.4 * ((recent > 0) - (recent < 0));
    logit += 1.4 * (last_of(h, 5211) < first_of(h, 4722) ? 1 : last_of(h, 4722) < first_of(h, 5211) ? -1 : 0);
    return 1 / (1 + exp(-logit));
}

static void mixed_labels_follow_the_stated_probability(void **state)
{
    (void)state;
    sq_clients_options options = options_for("mixed", 1500);
    options.max_events = 1400;
    sq_clients_result result;
    sq_error error;
    assert_int_equal(sq_generate_clients(&options, &result, &error), SQ_OK);
    table t = read_tables();
    assert_int_equal(t.count, 1500);
    double accuracy = 0, won = 0, pairs = 0, surprise = 0, variance = 0;
    int right = 0, far = 0;
    double *p = malloc((size_t)t.count * sizeof *p);
    for (int i = 0; i < t.count; i++) {
        const history *h = &t.clients[i];
        p[i] = probability(h);
        accuracy += fmax(p[i], 1 - p[i]) / t.count;
        right += (p[i] > 0.5) == h->label;
        surprise += h->label - p[i];
        variance += p[i] * (1 - p[i]);
        assert_int_equal(count_of(h, 5541), count_of(h, 4111));   /* what shows the order does not show in counts */
        assert_int_equal(count_of(h, 5211), count_of(h, 4722));
        assert_int_equal(count_of(h, 8099), count_of(h, 5912));
        if (h->n >= 1200) {
            int gap = first_of(h, 4722) - last_of(h, 5211), other = first_of(h, 5211) - last_of(h, 4722);
            assert_true(gap > 1000 || other > 1000);
            far++;
        }
    }
    assert_true(far > 50);
    for (int i = 0; i < t.count; i++)
        for (int j = 0; j < t.count; j++) {
            if (i == j) continue;
            double weight = p[i] * (1 - p[j]);
            pairs += weight;
            won += weight * (p[i] > p[j] ? 1 : p[i] == p[j] ? 0.5 : 0);
        }
    assert_true(fabs(result.bayes_accuracy - accuracy) < 1e-9);
    assert_true(fabs(result.bayes_auc - won / pairs) < 1e-9);
    assert_true(result.bayes_auc > 0.85 && result.bayes_auc < 0.97);
    assert_true(fabs(surprise) < 4.5 * sqrt(variance));
    assert_true(fabs(right - accuracy * t.count) < 4.5 * sqrt(t.count * accuracy * (1 - accuracy)));
    free(p);
    free_tables(&t);
}

static void same_seed_same_files(void **state)
{
    (void)state;
    sq_clients_options options = options_for("mixed", 40);
    sq_clients_result result;
    sq_error error;
    size_t size, again_size;
    options.noise = 0.1;
    assert_int_equal(sq_generate_clients(&options, &result, &error), SQ_OK);
    char *first = read_text("transactions.csv", &size);
    assert_int_equal(sq_generate_clients(&options, &result, &error), SQ_OK);   /* its own files may be written again */
    char *again = read_text("transactions.csv", &again_size);
    assert_int_equal(size, again_size);
    assert_memory_equal(first, again, size);
    sq__free(again);
    options.seed = 8;
    assert_int_equal(sq_generate_clients(&options, &result, &error), SQ_OK);
    again = read_text("transactions.csv", &again_size);
    assert_true(again_size != size || memcmp(first, again, size) != 0);
    sq__free(again);
    sq__free(first);
}

static void foreign_files_are_kept(void **state)
{
    (void)state;
    char path[300];
    snprintf(path, sizeof path, "%s/gender.csv", folder);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fputs("mine\n", out);
    fclose(out);
    sq_clients_options options = options_for("mixed", 10);
    sq_clients_result result;
    sq_error error;
    assert_int_equal(sq_generate_clients(&options, &result, &error), SQ_INVALID);
    assert_non_null(strstr(error.message, "gender.csv"));
    size_t size;
    char *text = read_text("gender.csv", &size);
    assert_string_equal(text, "mine\n");
    sq__free(text);
    snprintf(path, sizeof path, "%s/transactions.csv", folder);
    assert_false(sq__file_exists(path));
}

static void bad_options_are_refused(void **state)
{
    (void)state;
    sq_clients_result result;
    sq_error error;
    sq_clients_options options = options_for("long", 10);
    assert_int_equal(sq_generate_clients(&options, &result, &error), SQ_NOT_FOUND);
    options = options_for("long-range", 10);
    options.min_events = options.max_events = 500;   /* no room for events 1,000 apart */
    assert_int_equal(sq_generate_clients(&options, &result, &error), SQ_INVALID);
    options = options_for("mixed", 1);
    assert_int_equal(sq_generate_clients(&options, &result, &error), SQ_INVALID);
    options = options_for("mixed", 10);
    options.noise = 0.7;
    assert_int_equal(sq_generate_clients(&options, &result, &error), SQ_INVALID);
    options.noise = NAN;
    assert_int_equal(sq_generate_clients(&options, &result, &error), SQ_INVALID);
    options = options_for("mixed", 10);
    options.folder = "/proc/nowhere";
    assert_int_equal(sq_generate_clients(&options, &result, &error), SQ_IO);
}

static void failed_allocations_leave_nothing(void **state)
{
    (void)state;
    sq_clients_options options = options_for("mixed", 10);
    sq_clients_result result;
    sq_error error;
    size_t before = sq_memory_current();
    sq_status status = SQ_NO_MEMORY;
    for (long n = 1; status == SQ_NO_MEMORY; n++) {
        assert_true(n < 200);
        sq__alloc_fail_after(n);
        status = sq_generate_clients(&options, &result, &error);
        sq__alloc_fail_after(0);
        assert_int_equal(sq_memory_current(), before);
    }
    assert_int_equal(status, SQ_OK);
}

int main(void)
{
#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(long_range_label_is_the_order_of_far_markers),
        WITH_FOLDER(long_range_aggregates_are_at_chance),
        WITH_FOLDER(mixed_labels_follow_the_stated_probability),
        WITH_FOLDER(same_seed_same_files),
        WITH_FOLDER(foreign_files_are_kept),
        WITH_FOLDER(bad_options_are_refused),
        WITH_FOLDER(failed_allocations_leave_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
