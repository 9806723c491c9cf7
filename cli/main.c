/* subquad: the program. Dispatch over the command table. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "flags.h"
#include "waiting.h"

static const command commands[] = {
    { "compare", "train every mechanism on one task under one protocol, and report", command_compare },
    { "train", "train one model on a task", command_train },
    { "predict", "what a trained model says of a table, or of events as they come", command_predict },
    { "bench", "time attention or whole models against length", command_bench },
    { "list", "the mechanisms and models, what each can do, their options", command_list },
    { "show", "the attention matrix that a mechanism implies, as a picture", command_show },
    { "analyze", "spectrum, entropy and distance of attention matrices", command_analyze },
    { "approximate", "error of every mechanism against exact attention for its cost", command_approximate },
    { "verify", "check this build against reference vectors", command_verify },
    { "data", "generate sample clients and built-in tasks", command_data },
    { "info", "version, instruction sets, libraries, threads", command_info },
};
enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

static void print_help(FILE *out)
{
    fprintf(out, "usage: subquad COMMAND ...\n\n"
                 "Trains and compares attention mechanisms that cost less than n^2 on long sequences.\n\n");
    for (int i = 0; i < COMMAND_COUNT; i++) fprintf(out, "  %-13s%s\n", commands[i].name, commands[i].help);
    fprintf(out, "\n'subquad COMMAND --help' says more. To begin:\n"
                 "  subquad data clients --out clients\n"
                 "  subquad compare clients/task.yaml\n");
}

static const command *find(const char *name)
{
    for (int i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(name, commands[i].name) == 0) return &commands[i];
    return NULL;
}

static int unknown_command(const char *name)
{
    const char *names[COMMAND_COUNT];
    char hint[96];
    for (int i = 0; i < COMMAND_COUNT; i++) names[i] = commands[i].name;
    did_you_mean(name, "", names, COMMAND_COUNT, hint, sizeof hint);
    fprintf(stderr, "subquad: unknown command '%s'%s See 'subquad --help'\n", name, *hint ? hint : ".");
    return 2;
}

static int run(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return 2;
    }
    const char *name = argv[1];
    bool help = strcmp(name, "help") == 0;
    if (strcmp(name, "--version") == 0 || strcmp(name, "version") == 0) {
        printf("subquad %s\n", sq_version());
        return 0;
    }
    if ((help && argc == 2) || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        print_help(stdout);
        return 0;
    }
    if (help) {   /* help COMMAND ... = COMMAND ... --help */
        static char flag_text[] = "--help";
        memmove(argv + 1, argv + 2, (size_t)(argc - 2) * sizeof *argv);
        argv[argc - 1] = flag_text;
        name = argv[1];
    }
    if (name[0] == '-') {
        fprintf(stderr, "subquad: the command comes first, then its flags; found '%s'. See 'subquad --help'\n", name);
        return 2;
    }
    const command *found = find(name);
    return found ? found->run(argc - 1, argv + 1) : unknown_command(name);
}

int main(int argc, char **argv)
{
    wait_asleep(argv);
    signal(SIGXFSZ, SIG_IGN);   /* a limit on file sizes is reported as a full disk is */
    int status = run(argc, argv);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "subquad: standard output cannot be written\n");
        if (status == 0) status = sq_status_exit_code(SQ_IO);
    }
    return status;
}
