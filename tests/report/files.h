/* A folder of its own for a test, its files as text, and checks that a text is well-formed markup. */
#ifndef TESTS_REPORT_FILES_H
#define TESTS_REPORT_FILES_H

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char test_folder[64];

static inline int make_test_folder(void **state)
{
    (void)state;
    strcpy(test_folder, "/tmp/sq-test-XXXXXX");
    return mkdtemp(test_folder) ? 0 : -1;
}

static inline void remove_tree(const char *path)
{
    DIR *dir = opendir(path);
    char inner[512];
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        struct stat about;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name) >= (int)sizeof inner) continue;
        if (lstat(inner, &about) == 0 && S_ISDIR(about.st_mode)) remove_tree(inner);
        else unlink(inner);
    }
    if (dir) closedir(dir);
    rmdir(path);
}

static inline int remove_test_folder(void **state)
{
    (void)state;
    remove_tree(test_folder);
    return 0;
}

static inline const char *in_folder(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", test_folder, name);
    return path;
}

/* NULL when it is not there. free. */
static inline char *read_text(const char *name)
{
    FILE *file = fopen(in_folder(name), "rb");
    if (!file) return NULL;
    fseek(file, 0, SEEK_END);
    const long size = ftell(file);
    rewind(file);
    char *text = malloc((size_t)size + 1);
    text[fread(text, 1, (size_t)size, file)] = 0;
    fclose(file);
    return text;
}

static inline int count_of(const char *text, const char *what)
{
    int count = 0;
    for (; (text = strstr(text, what)); text += strlen(what)) count++;
    return count;
}

static inline const char *check_entity(const char *at)
{
    static const char *const known[] = { "&amp;", "&lt;", "&gt;", "&quot;", "&#39;" };
    for (int i = 0; i < 5; i++)
        if (strncmp(at, known[i], strlen(known[i])) == 0) return at + strlen(known[i]);
    return NULL;
}

/* NULL, or where the text stops being well-formed: tags nest, attributes are quoted, & and < are escaped, no control characters.
 * `loose`: HTML's void elements and <!DOCTYPE>. */
static inline const char *malformed(const char *text, int loose)
{
    char open[64][32];
    int depth = 0;
    const char *at = text;
    while (*at) {
        if ((unsigned char)*at < 0x20 && !strchr("\t\n\r", *at)) return at;
        if (*at == '&') {
            const char *after = check_entity(at);
            if (!after) return at;
            at = after;
        } else if (*at != '<') {
            at++;
        } else if (strncmp(at, "<?xml", 5) == 0 || (loose && strncmp(at, "<!DOCTYPE", 9) == 0)) {
            at = strchr(at, '>') + 1;
        } else if (strncmp(at, "<style>", 7) == 0) {
            at = strstr(at, "</style>");
            if (!at) return text;
            at += 8;
        } else if (at[1] == '/') {
            const size_t length = strcspn(at + 2, ">");
            if (depth == 0 || strlen(open[depth - 1]) != length || strncmp(open[depth - 1], at + 2, length) != 0) return at;
            depth--;
            at += 3 + length;
        } else {
            const char *start = at++;
            size_t length = strspn(at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");
            char name[32];
            if (length == 0 || length >= sizeof name) return start;
            snprintf(name, sizeof name, "%.*s", (int)length, at);
            at += length;
            for (;;) {
                at += strspn(at, " \t\r\n");
                if (*at == '>' || strncmp(at, "/>", 2) == 0) break;
                length = strcspn(at, "=<> \t\r\n/");
                if (length == 0) return start;
                at += length + strspn(at + length, " \t\r\n");
                if (*at != '=') {
                    if (loose) continue;
                    return start;
                }
                at += 1 + strspn(at + 1, " \t\r\n");
                const char quote = *at++;
                if (quote != '"' && quote != '\'') return start;
                while (*at != quote) {
                    if (!*at || *at == '<') return start;
                    if (*at == '&' && !check_entity(at)) return at;
                    at++;
                }
                at++;
            }
            const int empty = *at == '/';
            at += empty ? 2 : 1;
            if (empty || (loose && (!strcmp(name, "meta") || !strcmp(name, "br")))) continue;
            if (depth == 64) return start;
            strcpy(open[depth++], name);
        }
    }
    return depth == 0 ? NULL : text;
}

#endif
