/* subquad data: sample clients with planted structure, and the built-in tasks. */
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "flags.h"

static int clients(int argc, char **argv)
{
    sq_clients_options options = { .mode = "mixed", .clients = 4000, .seed = 1, .noise = -1 };
    int64_t seed = 1;
    const flag flags[] = {
        { "out", 'o', FLAG_TEXT, &options.folder, "DIR", "folder for transactions.csv, gender.csv, task.yaml, README.md (needed)" },
        { "clients", 0, FLAG_COUNT, &options.clients, "N", "how many (4000)" },
        { "seed", 0, FLAG_COUNT, &seed, "N", "the same seed gives the same files (1)" },
        { "mode", 0, FLAG_TEXT, &options.mode, "MODE", "mixed: structure at several ranges; long-range: only beyond 1,000 events (mixed)" },
        { "min-events", 0, FLAG_COUNT, &options.min_events, "N", "shortest history (mixed 128, long-range 1100)" },
        { "max-events", 0, FLAG_COUNT, &options.max_events, "N", "longest history (2048)" },
        { "noise", 0, FLAG_REAL, &options.noise, "F", "fraction of labels flipped (mixed 0, long-range 0.05)" },
    };
    usage u = { .command = "data clients", .synopsis = "--out DIR [--clients 4000] [--seed 1] [--mode mixed|long-range]",
                .summary = "Writes sample clients in the form of card transactions, with a task file, and states the best accuracy that can be\n"
                           "reached on them. Files in DIR are replaced only if this command wrote them.",
                .flags = flags, .flag_count = sizeof flags / sizeof *flags };
    int count;
    int status = flags_parse(&u, argc, argv, &count);
    if (status >= 0) return status;
    if (!options.folder) return usage_error(u.command, "--out DIR is missing");
    if (options.clients == 0) return usage_error(u.command, "--clients 0; expected 2 or more");
    options.seed = (uint64_t)seed;
    sq_clients_result result;
    sq_error error;
    if (sq_generate_clients(&options, &result, &error) != SQ_OK) return report_error(&error);
    printf("%lld clients with %lld events; the best that can be reached: accuracy %.4f, AUC %.4f\n", (long long)result.clients,
           (long long)result.events, result.bayes_accuracy, result.bayes_auc);
    printf("next: subquad compare %s\n", result.task);
    return 0;
}

/* ---- built-in tasks ---- */

enum { MOST_OPTIONS = 32, MOST_TASKS = 64 };

static int generate_task(int index, int argc, char **argv)
{
    sq_task_generator_info about;
    sq_option_info info;
    sq_task_generated made;
    sq_error error;
    const char *folder = NULL, *values[MOST_OPTIONS] = { NULL };
    char names[MOST_OPTIONS][32], help[MOST_OPTIONS][512], whole[64], summary[1024];
    flag flags[MOST_OPTIONS + 1] = { { "out", 'o', FLAG_TEXT, &folder, "DIR", "folder for train.csv, validation.csv, test.csv, task.yaml, README.md (needed)" } };
    sq_option options[MOST_OPTIONS];
    int option_count = 0, given = 0, count;
    sq_task_generator(index, &about);
    for (; option_count < MOST_OPTIONS && sq_task_generator_option(index, option_count, &info) == SQ_OK; option_count++) {
        const int i = option_count;
        snprintf(names[i], sizeof names[i], "%s", info.name);
        for (char *c = names[i]; *c; c++)
            if (*c == '_') *c = '-';
        snprintf(help[i], sizeof help[i], "%s%s%s%s", info.help, *info.default_text ? " (" : "", info.default_text, *info.default_text ? ")" : "");
        flags[i + 1] = (flag){ names[i], 0, FLAG_TEXT, &values[i], info.type == SQ_OPTION_TEXT ? "FILE" : info.type == SQ_OPTION_BOOL ? "true|false"
                               : info.type == SQ_OPTION_CHOICE ? "NAME" : info.type == SQ_OPTION_INT ? "N" : "F", help[i] };
    }
    snprintf(whole, sizeof whole, "data %s", about.name);
    snprintf(summary, sizeof summary, "%s\nSource: %s.\nFiles in DIR are replaced only if this command wrote them.", about.help, about.source);
    usage u = { .command = whole, .synopsis = "--out DIR [--OPTION VALUE]", .summary = summary, .flags = flags, .flag_count = option_count + 1 };
    const int status = flags_parse(&u, argc, argv, &count);
    if (status >= 0) return status;
    if (!folder) return usage_error(u.command, "--out DIR is missing");
    for (int i = 0; i < option_count; i++)
        if (values[i]) options[given++] = (sq_option){ names[i], values[i] };
    if (sq_generate_task(about.name, folder, options, given, &made, &error) != SQ_OK) return report_error(&error);
    printf("%lld sequences with %lld events; %s/README.md says what can be reached\nnext: subquad compare %s\n", (long long)made.sequences, (long long)made.events, folder,
           made.task);
    return 0;
}

static void print_kinds(void)
{
    sq_task_generator_info about;
    printf("\n");
    print_help_row("clients", 22, "card transactions with structure planted at several ranges");
    for (int i = 0; sq_task_generator(i, &about) == SQ_OK; i++) print_help_row(about.name, 22, about.title);
    printf("\n'subquad data NAME --help' says more of each.\n");
}

int command_data(int argc, char **argv)
{
    const char *kinds[MOST_TASKS] = { "clients" };
    sq_task_generator_info about;
    int known = 1;
    for (; known < MOST_TASKS && sq_task_generator(known - 1, &about) == SQ_OK; known++) kinds[known] = about.name;
    if (argc >= 2 && argv[1][0] != '-') {
        if (strcmp(argv[1], "clients") == 0) return clients(argc - 1, argv + 1);
        for (int i = 1; i < known; i++)
            if (same_name(argv[1], kinds[i])) return generate_task(i - 1, argc - 1, argv + 1);
        char hint[64];
        did_you_mean(argv[1], "", kinds, known, hint, sizeof hint);
        return usage_error("data", "unknown kind '%s'%s See 'subquad data --help'", argv[1], *hint ? hint : ".");
    }
    usage u = { .command = "data", .synopsis = "NAME --out DIR ...", .summary = "Generates sample data with a task file. What is planted and what can be reached is in its README.md.",
                .more_help = print_kinds };
    int count;
    int status = flags_parse(&u, argc, argv, &count);
    return status >= 0 ? status : usage_error("data", "which? expected: subquad data NAME --out DIR; see 'subquad data --help'");
}
