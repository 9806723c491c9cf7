/* Flags declared as data: parsing, --help and "did you mean" come from one table.
 * Forms: --name VALUE, --name=VALUE, -x VALUE; a switch stands alone. "--" ends flags; '-' and '_' in names are equal. */
#ifndef CLI_FLAGS_H
#define CLI_FLAGS_H

#include <stdbool.h>
#include <stdint.h>

#include "subquad/subquad.h"

typedef struct pairs { int count; sq_option item[64]; } pairs;   /* "key=value" texts, cut in place */

typedef enum flag_type { FLAG_SWITCH, FLAG_TEXT, FLAG_COUNT, FLAG_FEW, FLAG_REAL, FLAG_PAIR } flag_type;
typedef struct flag {
    const char *name;
    char letter;                       /* 0: none */
    flag_type type;
    void *value;                       /* bool, const char *, int64_t (>= 0), int (0 to 4096), double, pairs (may be given again) */
    const char *argument, *help;       /* argument: as shown in --help; NULL for a switch */
} flag;

typedef struct usage {
    const char *command;               /* "data clients" */
    const char *synopsis;              /* what follows the command's name */
    const char *summary;
    const flag *flags;
    int flag_count;
    int least, most;                   /* positional arguments; most -1: any number */
    pairs *mechanism_options;          /* NULL: mechanism options are no flags of this command */
    void (*more_help)(void);           /* printed at the end of --help; may be NULL */
} usage;

/* -1: go on. Else the exit status: --help has been printed (0), or what is wrong (2). The positional arguments are gathered at the
 * front of argv[1..]; their number goes to *count. */
int flags_parse(const usage *usage, int argc, char **argv, int *count);

/* A row of a help text: what is explained, then the text from `column` on, wrapped at 80 characters. */
void print_help_row(const char *left, int column, const char *text);

/* "subquad: COMMAND: ..." on stderr; returns 2. */
int usage_error(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "subquad: message" on stderr; returns the exit status that belongs to the error. */
int report_error(const sq_error *error);
/* "; did you mean 'x'?" or "" into buffer. */
const char *did_you_mean(const char *word, const char *prefix, const char *const *names, int count, char *buffer, size_t size);

bool same_name(const char *a, const char *b);   /* '-' and '_' are equal */
/* A whole number in [low, high], nothing behind it. */
bool read_count(const char *text, int64_t low, int64_t high, int64_t *value);

#endif
