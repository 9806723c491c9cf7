/* subquad predict: a trained model over a table. */
#include <stdio.h>

#include "command.h"
#include "flags.h"
#include "progress.h"

int command_predict(int argc, char **argv)
{
    const char *output = NULL;
    int threads = 0;
    int64_t clients = 0;
    const flag flags[] = {
        { "output", 'o', FLAG_TEXT, &output, "FILE", "CSV with the id and one probability per class (needed)" },
        { "threads", 0, FLAG_FEW, &threads, "N", "0: all (0)" },
    };
    usage u = { .command = "predict", .synopsis = "RUN TABLE -o FILE",
                .summary = "Class probabilities of every client of TABLE, by the model that 'subquad train' left in the folder RUN.\n"
                           "TABLE has the form of the training table; labels are not needed. FILE is written whole or not at all.",
                .flags = flags, .flag_count = sizeof flags / sizeof *flags, .least = 2, .most = 2 };
    int count;
    int status = flags_parse(&u, argc, argv, &count);
    if (status >= 0) return status;
    if (!output) return usage_error(u.command, "-o FILE is missing");
    sq_error error;
    if (sq_predict_file(argv[1], argv[2], output, threads, stop_on_signal(), &clients, &error) != SQ_OK) return report_error(&error);
    fprintf(stderr, "%lld clients: %s\n", (long long)clients, output);
    return 0;
}
