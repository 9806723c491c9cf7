/* The command table: one file per subcommand, one row each in main.c.
 *
 * To add a command: write cli/NAME.c with a run function that begins with a flags table and flags_parse (which serves --help),
 * declare it here, add its row in main.c and its test in tests/cli/.
 * A run function gets argv from the command's own name on, and returns the exit status: 0, 1 failed while running, 2 wrong usage or
 * input, 130 interrupted. Results go to stdout, everything else to stderr. */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

typedef int command_fn(int argc, char **argv);
typedef struct command { const char *name, *help; command_fn *run; } command;

command_fn command_compare, command_train, command_predict, command_bench, command_list, command_verify, command_data, command_info,
    command_show, command_analyze, command_approximate;

#endif
