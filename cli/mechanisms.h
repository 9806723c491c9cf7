/* What the command line takes from the registry: lists of mechanisms by name, their options as flags. */
#ifndef CLI_MECHANISMS_H
#define CLI_MECHANISMS_H

#include "flags.h"

#define MAX_MECHANISMS 128

/* "all" or "softmax,performer" into registry indices; an unknown name is an error that names the nearest. -1: go on, else exit status. */
int parse_mechanisms(const char *command, const char *text, int *indices, int *count);

bool find_option(const char *name, sq_option_type *type);    /* does any mechanism have it? '-' and '_' are equal */
int option_names(const char **names, int room);               /* every option of every mechanism once; returns their number */
void print_option_flags(void);

/* Those of `given` that mechanism has, into chosen; returns their number. */
int options_of(int mechanism, const pairs *given, sq_option *chosen);
/* Is there a given option that none of the mechanisms has? Then an error that names the nearest. -1: go on. */
int check_options(const char *command, const int *indices, int count, const pairs *given);
/* "0 to 10", "true, false", "a, b, c" */
void range_text(const sq_option_info *option, char *text, size_t size);

#endif
