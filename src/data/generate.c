/* Sample clients in the form of the well-known card-transaction set: transactions.csv, gender.csv, task.yaml, README.md. */
#include "data/generate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "data/generated_files.h"

#define MAX_CLIENTS 10000000
#define MAX_EVENTS 1000000

static const char *const mode_names[] = { "mixed", "long-range" };
static const struct { int64_t least, min_events, max_events; double noise; } mode_defaults[] = {
    [SQ_CLIENTS_MIXED] = { 32, 128, 2048, 0 },
    [SQ_CLIENTS_LONG_RANGE] = { 1100, 1100, 2048, 0.05 },
};

typedef struct label { double probability; int64_t id; int drawn; bool u_first; } label;

/* ---- options ---- */

static sq_status resolve(const sq_clients_options *given, sq_clients_options *options, sq_client_mode *mode, sq_error *error)
{
    *options = *given;
    if (!options->folder || !*options->folder) return sq__fail(error, SQ_INVALID, "clients: no folder given");
    if (!options->mode) options->mode = mode_names[SQ_CLIENTS_MIXED];
    int found = -1;
    for (int i = 0; i < 2; i++)
        if (strcmp(options->mode, mode_names[i]) == 0) found = i;
    if (found < 0) {
        char hint[128];
        return sq__fail(error, SQ_NOT_FOUND, "clients: unknown mode '%.64s'; expected mixed or long-range%s", options->mode,
                        sq__did_you_mean(options->mode, mode_names, 2, hint, sizeof hint));
    }
    *mode = (sq_client_mode)found;
    options->mode = mode_names[found];
    if (options->clients == 0) options->clients = 4000;
    if (options->clients < 2 || options->clients > MAX_CLIENTS)
        return sq__fail(error, SQ_INVALID, "clients: %lld clients; expected 2 to %d", (long long)options->clients, MAX_CLIENTS);
    int64_t low = options->min_events, high = options->max_events, least = mode_defaults[found].least;
    if (low == 0) low = high != 0 && high < mode_defaults[found].min_events ? high : mode_defaults[found].min_events;
    if (high == 0) high = low > mode_defaults[found].max_events ? low : mode_defaults[found].max_events;
    if (low < least || high > MAX_EVENTS || low > high)
        return sq__fail(error, SQ_INVALID, "clients: %lld to %lld events in mode %s; expected a range within %lld to %d", (long long)low,
                        (long long)high, options->mode, (long long)least, MAX_EVENTS);
    options->min_events = low;
    options->max_events = high;
    if (options->noise < 0) options->noise = mode_defaults[found].noise;
    if (!(options->noise <= 0.5))
        return sq__fail(error, SQ_INVALID, "clients: noise %g; expected 0 to 0.5", options->noise);
    return SQ_OK;
}

/* ---- one client ---- */

typedef struct generation {
    const sq_clients_options *options;
    sq_client_mode mode;
    sq_event *events;                  /* [max_events] */
    uint8_t *taken;                    /* [max_events] */
    label *labels;                     /* [clients] */
    int64_t *order;                    /* [clients] a permutation */
    int64_t event_count;
} generation;

static int64_t history_length(const generation *work, sq_draws *draws)
{
    int64_t low = work->options->min_events, high = work->options->max_events;
    if (work->mode == SQ_CLIENTS_LONG_RANGE) return low + sq__draw_below(draws, high - low + 1);
    int64_t n = (int64_t)floor((double)low * pow((double)(high + 1) / (double)low, sq__draw(draws)));
    return n > high ? high : n;
}

static int64_t draw_client(generation *work, int64_t client)
{
    sq_draws draws = { sq__random_stream(work->options->seed, "clients.history", (uint64_t)client), 0 };
    label *mine = &work->labels[client];
    sq_taste taste;
    sq__taste_draw(&taste, &draws);
    int64_t n = history_length(work, &draws);
    sq__moments_draw(work->events, n, &draws);
    for (int64_t i = 0; i < n; i++) work->events[i].code = sq__code_draw(&taste, work->events[i].second, &draws);
    memset(work->taken, 0, (size_t)work->options->max_events);
    double probability;
    if (work->mode == SQ_CLIENTS_LONG_RANGE) {
        sq__plant_long_range(work->events, n, work->taken, mine->u_first, &draws);
        probability = mine->u_first ? 1 : 0;
    } else {
        sq__plant_mixed(work->events, n, work->taken, &draws);
        sq_factors factors = sq__factors_read(work->events, n);
        probability = sq__mixed_probability(&factors);
    }
    for (int64_t i = 0; i < n; i++) sq__event_fill(&work->events[i], &taste, &draws);
    double noise = work->options->noise;
    mine->probability = probability * (1 - noise) + (1 - probability) * noise;
    mine->drawn = sq__draw(&draws) < mine->probability;
    work->event_count += n;
    return n;
}

static void write_events(FILE *out, int64_t id, const sq_event *events, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const sq_event *e = &events[i];
        int64_t cents = e->cents < 0 ? -e->cents : e->cents;
        int second = e->second % 86400;
        fprintf(out, "%lld,%d %02d:%02d:%02d,%d,%d,%s%lld.%02d,", (long long)id, e->second / 86400, second / 3600, second / 60 % 60,
                second % 60, e->code, e->type, e->cents < 0 ? "-" : "", (long long)(cents / 100), (int)(cents % 100));
        if (e->terminal) fprintf(out, "%d\n", e->terminal);
        else fputc('\n', out);
    }
}

/* ---- the best that can be reached ---- */

static int by_probability(const void *left, const void *right)
{
    double a = ((const label *)left)->probability, b = ((const label *)right)->probability;
    return (a > b) - (a < b);
}

static int by_id(const void *left, const void *right)
{
    int64_t a = ((const label *)left)->id, b = ((const label *)right)->id;
    return (a > b) - (a < b);
}

/* Expected accuracy of saying the likelier label, and expected AUC of ranking by p, over labels drawn anew from p:
 * AUC = sum over i != j of p_i (1-p_j) ([p_i > p_j] + [p_i = p_j]/2) over the sum of p_i (1-p_j). Sorts labels by p. */
static void bayes(label *labels, int64_t count, double *accuracy, double *auc)
{
    qsort(labels, (size_t)count, sizeof *labels, by_probability);
    double right = 0, positive = 0, same_client = 0, won = 0, negative_below = 0;
    for (int64_t start = 0, end; start < count; start = end) {
        double p = labels[start].probability;
        for (end = start; end < count && labels[end].probability == p;) end++;
        double size = (double)(end - start);
        won += p * size * negative_below + 0.5 * p * (1 - p) * size * (size - 1);
        negative_below += (1 - p) * size;
        positive += p * size;
        same_client += p * (1 - p) * size;
        right += fmax(p, 1 - p) * size;
    }
    double pairs = positive * negative_below - same_client;
    *accuracy = right / (double)count;
    *auc = pairs > 0 ? won / pairs : 0.5;
}

/* ---- files ---- */

enum { TRANSACTIONS, GENDER, README, TASK, FILE_COUNT };   /* the task comes last: it bears the mark that all is there */
static const char *const file_names[FILE_COUNT] = { "transactions.csv", "gender.csv", "README.md", "task.yaml" };

static sq_status write_all(generation *work, sq_output *const *outputs, sq_clients_result *result, sq_error *error)
{
    const sq_clients_options *options = work->options;
    FILE *transactions = sq__output_stream(outputs[TRANSACTIONS]), *gender = sq__output_stream(outputs[GENDER]);
    sq_random halves = sq__random_stream(options->seed, "clients.halves", 0), ids = sq__random_stream(options->seed, "clients.ids", 0);
    sq__random_permutation(&halves, work->order, options->clients);
    for (int64_t i = 0; i < options->clients; i++) work->labels[i].u_first = work->order[i] % 2 == 0;   /* exactly half of the clients */
    sq__random_permutation(&ids, work->order, options->clients);
    for (int64_t i = 0; i < options->clients; i++) work->labels[i].id = 10000000 + 7 * work->order[i];
    fputs("customer_id,tr_datetime,mcc_code,tr_type,amount,term_id\n", transactions);
    for (int64_t client = 0; client < options->clients; client++) {
        int64_t n = draw_client(work, client);
        write_events(transactions, work->labels[client].id, work->events, n);
        if (ferror(transactions)) return sq__fail(error, SQ_IO, "%s/%s: cannot write: the disk may be full", options->folder, file_names[TRANSACTIONS]);
    }
    result->clients = options->clients;
    result->events = work->event_count;
    bayes(work->labels, options->clients, &result->bayes_accuracy, &result->bayes_auc);

    qsort(work->labels, (size_t)options->clients, sizeof *work->labels, by_id);
    int64_t positive = 0;
    fputs("customer_id,gender\n", gender);
    for (int64_t i = 0; i < options->clients; i++) {
        fprintf(gender, "%lld,%d\n", (long long)work->labels[i].id, work->labels[i].drawn);
        positive += work->labels[i].drawn;
    }
    sq_clients_text text = { options, result, work->mode, (double)positive / (double)options->clients };
    sq__clients_readme(sq__output_stream(outputs[README]), &text);
    sq__clients_task(sq__output_stream(outputs[TASK]), &text);
    return SQ_OK;
}

static sq_status write_files(generation *work, sq_clients_result *result, sq_error *error)
{
    sq_generated files = { .folder = work->options->folder, .mark = SQ_CLIENTS_MARK, .count = FILE_COUNT, .names = file_names };
    SQ_TRY(sq__generated_open(&files, error));
    return sq__generated_close(&files, write_all(work, files.outputs, result, error), error);
}

sq_status sq_generate_clients(const sq_clients_options *given, sq_clients_result *result, sq_error *error)
{
    sq_clients_options options;
    generation work = { .options = &options };
    SQ_TRY(resolve(given, &options, &work.mode, error));
    sq_clients_result made = { 0 };
    if ((size_t)snprintf(made.task, sizeof made.task, "%s/%s", options.folder, file_names[TASK]) >= sizeof made.task)
        return sq__fail(error, SQ_INVALID, "clients: the folder's name is longer than %zu characters", sizeof made.task - 16);
    work.events = sq__alloc_array((size_t)options.max_events, sizeof *work.events);
    work.taken = sq__alloc_array((size_t)options.max_events, 1);
    work.labels = sq__alloc_array((size_t)options.clients, sizeof *work.labels);
    work.order = sq__alloc_array((size_t)options.clients, sizeof *work.order);
    sq_status status = work.events && work.taken && work.labels && work.order ? SQ_OK : sq__no_memory(error);
    if (status == SQ_OK) status = write_files(&work, &made, error);
    if (status == SQ_OK) *result = made;
    sq__free(work.events);
    sq__free(work.taken);
    sq__free(work.labels);
    sq__free(work.order);
    return status;
}
