/* subquad data clients: sample clients with planted structure. */
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

int command_data(int argc, char **argv)
{
    static const char *const kinds[] = { "clients" };
    if (argc >= 2 && strcmp(argv[1], "clients") == 0) return clients(argc - 1, argv + 1);
    if (argc >= 2 && argv[1][0] != '-') {
        char hint[64];
        did_you_mean(argv[1], "", kinds, 1, hint, sizeof hint);
        return usage_error("data", "unknown kind '%s'%s expected: clients", argv[1], *hint ? hint : ";");
    }
    usage u = { .command = "data", .synopsis = "clients --out DIR ...",
                .summary = "Generates sample data. There is one kind: clients ('subquad data clients --help' says more)." };
    int count;
    int status = flags_parse(&u, argc, argv, &count);
    return status >= 0 ? status : usage_error("data", "which? expected: subquad data clients --out DIR");
}
