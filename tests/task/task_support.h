/* A folder with a small table of events and its task file. The class is whether a client ever bought "gold". */
#ifndef TESTS_TASK_TASK_SUPPORT_H
#define TESTS_TASK_TASK_SUPPORT_H

#include <sys/stat.h>
#include <unistd.h>

#include "support/check.h"

#include "base/memory.h"
#include "base/random.h"
#include "io/file.h"
#include "subquad/task.h"

static char root[64];

static inline int make_root(void **state)
{
    (void)state;
    strcpy(root, "/tmp/subquad-task-XXXXXX");
    return mkdtemp(root) ? 0 : 1;
}

static inline int remove_root(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command);
}

static inline const char *in_root(const char *name)
{
    static char paths[8][256];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", root, name);
    return path;
}

static inline void write_file(const char *name, const char *text)
{
    FILE *file = fopen(in_root(name), "w");
    fputs(text, file);
    fclose(file);
}

static inline void read_file(const char *name, char **text)
{
    size_t size;
    sq_error error;
    assert_ok(sq__file_read(in_root(name), text, &size, &error), &error);
}

/* events.csv: client,step,item,price; labels.csv: client,rich */
static inline void write_tables(int clients, uint64_t seed)
{
    static const char *const items[] = { "bread", "milk", "salt", "soap", "gold" };
    const sq_random draw = sq__random_stream(seed, "tables", 0);
    FILE *events = fopen(in_root("events.csv"), "w"), *labels = fopen(in_root("labels.csv"), "w");
    fputs("client,step,item,price\n", events);
    fputs("client,rich\n", labels);
    for (int i = 0; i < clients; i++) {
        const int n = 5 + (int)sq__random_below(&draw, (uint64_t)(i * 100), 10);
        const bool rich = sq__random_u32(&draw, (uint64_t)(i * 100 + 1)) & 1;
        const int gold = (int)sq__random_below(&draw, (uint64_t)(i * 100 + 2), (uint64_t)n);
        for (int e = 0; e < n; e++) {
            const char *item = rich && e == gold ? items[4] : items[sq__random_below(&draw, (uint64_t)(i * 100 + 10 + e), 4)];
            fprintf(events, "c%d,%d,%s,%.2f\n", i, e, item, 1 + 9 * sq__random_uniform(&draw, (uint64_t)(i * 100 + 50 + e)));
        }
        fprintf(labels, "c%d,%s\n", i, rich ? "yes" : "no");
    }
    fclose(events);
    fclose(labels);
}

static const char task_text[] =
    "data:\n"
    "  files: events.csv\n"
    "  id: client\n"
    "  time: {column: step, format: number}\n"
    "  categorical: [item]\n"
    "  numeric: [{column: price, transform: log}]\n"
    "  target: {column: rich, file: labels.csv}\n"
    "  max_length: 16\n"
    "model: {layers: 1, width: 16, heads: 2, feed_forward: 32, dropout: 0}\n"
    "train:\n"
    "  epochs: 8\n"
    "  batch: 16\n"
    "  learning_rate: 0.01\n"
    "attention:\n"
    "  performer: {features: 16}\n"
    "compare: {mechanisms: [softmax, performer], seeds: 2}\n";

#endif
