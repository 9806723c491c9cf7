#include "flags.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mechanisms.h"

enum { FEW = 4096 };

int usage_error(const char *command, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "subquad: %s: ", command);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return 2;
}

int report_error(const sq_error *error)
{
    fprintf(stderr, "subquad: %s\n", error->message);
    return sq_status_exit_code(error->status);
}

const char *did_you_mean(const char *word, const char *prefix, const char *const *names, int count, char *buffer, size_t size)
{
    const char *name = sq_nearest(word, names, count);
    buffer[0] = '\0';
    if (name) snprintf(buffer, size, "; did you mean '%s%s'?", prefix, name);
    return buffer;
}

bool read_count(const char *text, int64_t low, int64_t high, int64_t *value)
{
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno || end == text || *end || number < low || number > high) return false;
    *value = number;
    return true;
}

static bool read_real(const char *text, double *value)
{
    char *end;
    double number = strtod(text, &end);
    if (end == text || *end || !isfinite(number)) return false;
    *value = number;
    return true;
}

bool same_name(const char *a, const char *b)
{
    for (; *a && *b; a++, b++)
        if (*a != *b && !((*a == '-' || *a == '_') && (*b == '-' || *b == '_'))) return false;
    return *a == *b;
}

/* ---- help ---- */

/* Words of text within the width, from `column` on; `at` characters of the line are written. */
static void print_words(int at, int column, const char *text)
{
    enum { WIDTH = 80 };
    while (*text) {
        int length = (int)strcspn(text, " ");
        if (at < column || at + 1 + length > WIDTH) {
            if (at >= column) {
                printf("\n");
                at = 0;
            }
            printf("%*s", column - at, "");
            at = column;
        } else if (at > 0) {
            printf(" ");
            at++;
        }
        printf("%.*s", length, text);
        at += length;
        text += length;
        text += strspn(text, " ");
    }
    printf("\n");
}

void print_help_row(const char *left, int column, const char *text)
{
    print_words(printf("  %s", left), column, text);
}

/* Lines of any length. */
static void print_summary(const char *text)
{
    char line[1024];
    for (; *text; text += strcspn(text, "\n"), text += *text == '\n') {
        snprintf(line, sizeof line, "%.*s", (int)strcspn(text, "\n"), text);
        print_words(0, 0, line);
    }
}

static void print_help(const usage *u)
{
    printf("usage: subquad %s%s%s\n\n", u->command, *u->synopsis ? " " : "", u->synopsis);
    print_summary(u->summary);
    printf("\n");
    for (int i = 0; i < u->flag_count; i++) {
        const flag *f = &u->flags[i];
        char left[96], letter[8] = "";
        if (f->letter) snprintf(letter, sizeof letter, "-%c, ", f->letter);
        snprintf(left, sizeof left, "%s--%s%s%s", letter, f->name, f->argument ? " " : "", f->argument ? f->argument : "");
        print_help_row(left, 28, f->help);
    }
    print_help_row("-h, --help", 28, "this text");
    if (u->mechanism_options) {
        printf("\nOptions of mechanisms and models (an option goes to all that have it;\n'subquad list NAME' says more):\n");
        print_option_flags();
    }
    if (u->more_help) u->more_help();
}

/* ---- parsing ---- */

static int set_flag(const usage *u, const flag *f, const char *shown, char *value)
{
    switch (f->type) {
    case FLAG_SWITCH:
        *(bool *)f->value = true;
        return -1;
    case FLAG_TEXT:
        *(const char **)f->value = value;
        return -1;
    case FLAG_COUNT:
        if (read_count(value, 0, INT64_MAX, f->value)) return -1;
        return usage_error(u->command, "%s: '%s' is not a whole number from 0 on", shown, value);
    case FLAG_FEW: {
        int64_t number;
        if (!read_count(value, 0, FEW, &number)) return usage_error(u->command, "%s: '%s' is not a whole number from 0 to %d", shown, value, FEW);
        *(int *)f->value = (int)number;
        return -1;
    }
    case FLAG_REAL:
        if (read_real(value, f->value)) return -1;
        return usage_error(u->command, "%s: '%s' is not a number", shown, value);
    case FLAG_PAIR: {
        pairs *all = f->value;
        char *equals = strchr(value, '=');
        if (!equals || equals == value) return usage_error(u->command, "%s: '%s' is not of the form KEY=VALUE", shown, value);
        if (all->count == (int)(sizeof all->item / sizeof *all->item)) return usage_error(u->command, "%s: given too often", shown);
        *equals = '\0';
        all->item[all->count++] = (sq_option){ value, equals + 1 };
        return -1;
    }
    }
    return -1;
}

static int unknown_flag(const usage *u, const char *shown)
{
    const char *names[256];
    char hint[160];
    int count = 0;
    for (; count < u->flag_count && count < 128; count++) names[count] = u->flags[count].name;
    names[count++] = "help";
    if (u->mechanism_options) count += option_names(names + count, 256 - count);
    did_you_mean(shown + strspn(shown, "-"), "--", names, count, hint, sizeof hint);
    return usage_error(u->command, "unknown flag '%s'%s See 'subquad %s --help'", shown, *hint ? hint : ".", u->command);
}

/* A mechanism's option as a flag. A yes-or-no option may stand alone, be followed by true or false, or be
 * switched off by --no-NAME. */
static int set_mechanism_option(const usage *u, const char *name, char *value, int argc, char **argv, int *at)
{
    char shown[80];
    snprintf(shown, sizeof shown, "--%s", name);
    if (!u->mechanism_options) return unknown_flag(u, shown);
    sq_option_type type;
    bool off = false;
    if (!find_option(name, &type)) {
        off = strncmp(name, "no-", 3) == 0 && find_option(name + 3, &type) && type == SQ_OPTION_BOOL;
        if (!off) return unknown_flag(u, shown);
        if (value) return usage_error(u->command, "%s takes no value", shown);
        name += 3;
    }
    static char yes[] = "true", no[] = "false";
    const char *next = *at + 1 < argc ? argv[*at + 1] : "";
    if (type == SQ_OPTION_BOOL && !value && !off && (strcmp(next, yes) == 0 || strcmp(next, no) == 0)) value = argv[++*at];
    if (type == SQ_OPTION_BOOL && !value) value = off ? no : yes;
    if (!value && *at + 1 < argc) value = argv[++*at];
    if (!value) return usage_error(u->command, "%s needs a value", shown);
    pairs *all = u->mechanism_options;
    if (all->count == (int)(sizeof all->item / sizeof *all->item)) return usage_error(u->command, "too many options of mechanisms");
    all->item[all->count++] = (sq_option){ name, value };
    return -1;
}

static int parse_one(const usage *u, int argc, char **argv, int *at)
{
    char *word = argv[*at], *value = NULL;
    bool is_long = word[1] == '-';
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        print_help(u);
        return 0;
    }
    if (is_long && (value = strchr(word, '='))) *value++ = '\0';
    if (!is_long && word[2]) return usage_error(u->command, "'%s': one-letter flags stand alone, as in '-%c VALUE'", word, word[1]);
    const flag *found = NULL;
    for (int i = 0; i < u->flag_count && !found; i++)
        if (is_long ? same_name(word + 2, u->flags[i].name) : word[1] == u->flags[i].letter) found = &u->flags[i];
    if (!found) return is_long ? set_mechanism_option(u, word + 2, value, argc, argv, at) : unknown_flag(u, word);
    if (found->type == FLAG_SWITCH) return value ? usage_error(u->command, "%s takes no value", word) : set_flag(u, found, word, NULL);
    if (!value && *at + 1 < argc) value = argv[++*at];
    if (!value) return usage_error(u->command, "%s needs a value: %s", word, found->argument);
    return set_flag(u, found, word, value);
}

int flags_parse(const usage *u, int argc, char **argv, int *count)
{
    bool only_words = false;
    *count = 0;
    for (int i = 1; i < argc; i++) {
        if (!only_words && strcmp(argv[i], "--") == 0) {
            only_words = true;
        } else if (only_words || argv[i][0] != '-' || !argv[i][1]) {
            argv[1 + (*count)++] = argv[i];
        } else {
            int status = parse_one(u, argc, argv, &i);
            if (status >= 0) return status;
        }
    }
    const char *gap = *u->synopsis ? " " : "";
    if (*count < u->least) return usage_error(u->command, "too few arguments; usage: subquad %s%s%s", u->command, gap, u->synopsis);
    if (u->most >= 0 && *count > u->most)
        return usage_error(u->command, "'%s' is one argument too many; usage: subquad %s%s%s", argv[1 + u->most], u->command, gap, u->synopsis);
    return -1;
}
