/* What the benchmarks read from the command line: lengths, choices. */
#ifndef CLI_BENCH_WORDS_H
#define CLI_BENCH_WORDS_H

#include <stdint.h>

#define MAX_LENGTHS 64

/* Into lengths[MAX_LENGTHS]. -1: go on, else exit status. */
int parse_lengths(const char *command, const char *text, int64_t *lengths, int *count);
/* The place of text among choices[count]. */
int parse_choice(const char *command, const char *name, const char *text, const char *const *choices, int count, int *value);

#endif
