/* subquad predict: a trained model over a table, or over events as they come. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "flags.h"
#include "progress.h"

static void put_csv(const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, stdout);
        return;
    }
    putchar('"');
    for (; *text; text++) {
        if (*text == '"') putchar('"');
        putchar(*text);
    }
    putchar('"');
}

typedef struct printing { const sq_predictor *predictor; int64_t events; bool begun; } printing;

static void print_heading(printing *to)
{
    char name[1024];
    if (to->begun) return;
    to->begun = true;
    fputs("id,event", stdout);
    const sq_target_kind target = sq_predictor_target(to->predictor);
    if (target == SQ_TARGET_NUMBER || target == SQ_TARGET_EVENT_CLASS) {
        puts(target == SQ_TARGET_NUMBER ? ",number" : ",class,probability");
        return;
    }
    for (int c = 0; c < sq_predictor_class_count(to->predictor); c++) {
        snprintf(name, sizeof name, "p_%s", sq_predictor_class_name(to->predictor, c));
        putchar(',');
        put_csv(name);
    }
    putchar('\n');
}

static sq_status print_row(void *user, const char *id, int64_t event, const float *probabilities, int class_count)
{
    printing *to = user;
    print_heading(to);
    put_csv(id);
    printf(",%lld", (long long)event);
    if (sq_predictor_target(to->predictor) == SQ_TARGET_EVENT_CLASS) {
        int best = 0;
        for (int c = 1; c < class_count; c++)
            if (probabilities[c] > probabilities[best]) best = c;
        putchar(',');
        put_csv(sq_predictor_class_name(to->predictor, best));
        printf(",%.9g", (double)probabilities[best]);
    } else {
        for (int c = 0; c < class_count; c++) printf(",%.9g", (double)probabilities[c]);
    }
    putchar('\n');
    if (fflush(stdout) != 0) return SQ_IO;   /* whoever reads the events' predictions wants them at once */
    to->events++;
    return SQ_OK;
}

/* Before the first event, not after the last: where states cannot be left, they would be lost. */
static int check_folder(const char *state)
{
    char folder[4096];
    const char *slash = strrchr(state, '/');
    if (!slash) strcpy(folder, ".");
    else snprintf(folder, sizeof folder, "%.*s", (int)(slash > state ? slash - state : 1), state);
    return access(folder, W_OK | X_OK) == 0 ? -1 : usage_error("predict", "--state %s: cannot be written: %s", state, strerror(errno));
}

static void report_stream(const printing *to, int64_t skipped, const char *state)
{
    const int64_t clients = sq_predictor_clients(to->predictor);
    fprintf(stderr, "%lld event%s of %lld client%s, %zu bytes of state each", (long long)to->events, to->events == 1 ? "" : "s", (long long)clients,
            clients == 1 ? "" : "s", sq_predictor_state_bytes(to->predictor));
    if (skipped) fprintf(stderr, "; %lld broken row%s skipped", (long long)skipped, skipped == 1 ? "" : "s");
    if (state) fprintf(stderr, "; %s holds the state: the same command goes on from there", state);
    fputc('\n', stderr);
}

/* What has been given out is in the state, whatever ended the run: a reader that goes away, too. */
static int predict_stream(const char *run, const char *table, const char *state, int threads)
{
    printing to = { NULL, 0, false };
    sq_predictor *predictor;
    sq_error error;
    int64_t skipped = 0;
    int status = state ? check_folder(state) : -1;
    if (status >= 0) return status;
    status = 0;
    signal(SIGPIPE, SIG_IGN);
    if (sq_predictor_open(&predictor, run, threads, &error) != SQ_OK) return report_error(&error);
    to.predictor = predictor;
    if (state && access(state, F_OK) == 0 && sq_predictor_load(predictor, state, &error) != SQ_OK) {
        status = report_error(&error);
    } else {
        const sq_status done = sq_predictor_run(predictor, table, print_row, &to, stop_on_signal(), &skipped, &error);
        if (done == SQ_OK) print_heading(&to);
        else status = ferror(stdout) ? sq_status_exit_code(done) : report_error(&error);   /* main says it of the output */
        if (state && (status == 0 || to.events > 0) && sq_predictor_save(predictor, state, &error) != SQ_OK) {
            status = report_error(&error);
            state = NULL;
        }
        if (status == 0 || to.events > 0) report_stream(&to, skipped, state);
    }
    sq_predictor_destroy(&predictor);
    return status;
}

int command_predict(int argc, char **argv)
{
    const char *output = NULL, *state = NULL;
    int threads = 0;
    bool streamed = false;
    int64_t clients = 0;
    const flag flags[] = {
        { "output", 'o', FLAG_TEXT, &output, "FILE", "CSV with the id and what is predicted (needed without --stream)" },
        { "stream", 0, FLAG_SWITCH, &streamed, NULL, "a prediction after every event, to standard output as soon as it has come; events of a client in order of time" },
        { "state", 0, FLAG_TEXT, &state, "FILE", "with --stream: go on from the clients' states in FILE if it is there, and leave them there at the end" },
        { "threads", 0, FLAG_FEW, &threads, "N", "0: all (0)" },
    };
    usage u = { .command = "predict", .synopsis = "RUN TABLE -o FILE | RUN [TABLE] --stream [--state FILE] [< events.csv]",
                .summary = "What the model that 'subquad train' left in the folder RUN predicts for every\n"
                           "client of TABLE (class probabilities or a number) or, where its target asks of\n"
                           "events, for every event (the likeliest class, or the probability of each bit).\n"
                           "TABLE has the form of the training table; labels are not needed. FILE is\n"
                           "written whole or not at all. With --stream after every event, in memory that\n"
                           "does not grow with the number of events (models that can: 'subquad list').",
                .flags = flags, .flag_count = sizeof flags / sizeof *flags, .least = 1, .most = 2 };
    int count;
    int status = flags_parse(&u, argc, argv, &count);
    if (status >= 0) return status;
    if (streamed && output) return usage_error(u.command, "--stream writes to standard output; -o does not go with it");
    if (streamed) return predict_stream(argv[1], count == 2 ? argv[2] : NULL, state, threads ? threads : 1);
    if (state) return usage_error(u.command, "--state goes with --stream");
    if (count < 2) return usage_error(u.command, "too few arguments; usage: subquad predict %s", u.synopsis);
    if (!output) return usage_error(u.command, "-o FILE is missing");
    sq_error error;
    if (sq_predict_file(argv[1], argv[2], output, threads, stop_on_signal(), &clients, &error) != SQ_OK) return report_error(&error);
    fprintf(stderr, "%lld clients: %s\n", (long long)clients, output);
    return 0;
}
