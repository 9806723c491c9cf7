/* What the command line takes from the library: lists of mechanisms and other models by name, their options as flags. An index counts
 * the mechanisms of the registry, then the other models. */
#ifndef CLI_MECHANISMS_H
#define CLI_MECHANISMS_H

#include "flags.h"

#define MAX_MECHANISMS 128

typedef enum name_kind { NAMES_ATTENTION, NAMES_MODELS, NAMES_ALL } name_kind;
/* "all" or "softmax,performer" into indices; an unknown name is an error that names the nearest. -1: go on, else exit status. */
int parse_names(const char *command, name_kind kind, const char *text, int *indices, int *count);
bool name_is_model(int index);
sq_status name_get(int index, sq_mechanism_info *info);
/* A cell of the matrix: "yes", "only" (causal plans and no others), or what `no` says. */
const char *ability_word(unsigned can, unsigned bit, const char *no);
sq_status name_option(int index, int option, sq_option_info *info);

bool find_option(const char *name, sq_option_type *type);    /* does anything have it? '-' and '_' are equal */
int option_names(const char **names, int room);               /* every option once; returns their number */
void print_option_flags(void);

/* Those of `given` that `index` has, into chosen; returns their number. */
int options_of(int index, const pairs *given, sq_option *chosen);
/* Is there a given option that none of these has? Then an error that names the nearest. -1: go on. */
int check_options(const char *command, const int *indices, int count, const pairs *given);
/* "0 to 10", "true, false", "a, b, c" */
void range_text(const sq_option_info *option, char *text, size_t size);

#endif
