/* What the benchmarks read from the command line. */
#include "bench_words.h"

#include <stdio.h>
#include <string.h>

#include "flags.h"

/* "256..65536": powers of two from the first to the last; "100,1000": as given; both may be mixed. */
int parse_lengths(const char *command, const char *text, int64_t *lengths, int *count)
{
    static const char help[] = "expected lengths such as 1024, or 512,4096, or 256..65536 for powers of two";
    *count = 0;
    for (const char *at = text;; at++) {
        char item[64];
        size_t length = strcspn(at, ",");
        snprintf(item, sizeof item, "%.*s", (int)(length < sizeof item ? length : sizeof item - 1), at);
        char *dots = strstr(item, "..");
        if (dots) *dots = '\0';
        int64_t first, last;
        if (!read_count(item, 1, INT64_C(1) << 40, &first)) return usage_error(command, "--n %s: '%s' is no length; %s", text, item, help);
        last = first;
        if (dots && !read_count(dots + 2, first, INT64_C(1) << 40, &last))
            return usage_error(command, "--n %s: '%s' is no length from %lld on; %s", text, dots + 2, (long long)first, help);
        for (int64_t n = first; n <= last; n *= 2) {
            if (*count == MAX_LENGTHS) return usage_error(command, "--n %s: more than %d lengths", text, MAX_LENGTHS);
            lengths[(*count)++] = n;
        }
        at += length;
        if (!*at) return -1;
    }
}

int parse_choice(const char *command, const char *name, const char *text, const char *const *choices, int count, int *value)
{
    char hint[96];
    for (*value = 0; *value < count; ++*value)
        if (strcmp(text, choices[*value]) == 0) return -1;
    did_you_mean(text, "", choices, count, hint, sizeof hint);
    fprintf(stderr, "subquad: %s: --%s: unknown value '%s'%s expected:", command, name, text, *hint ? hint : ";");
    for (int i = 0; i < count; i++) fprintf(stderr, "%s %s", i ? "," : "", choices[i]);
    fputc('\n', stderr);
    return 2;
}
