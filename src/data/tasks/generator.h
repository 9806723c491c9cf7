/* Built-in tasks: generators that write train.csv, validation.csv, test.csv, a task file and a README.md that says what is planted and
 * what is the best that can be reached. A sequence is a pure function of (seed, file, number). Depends on base, generate.h (draws).
 *
 * To add one: a file with an options table, `sequence` (or `file`) and the texts, its row in generators.c. */
#ifndef SQ_DATA_TASKS_GENERATOR_H
#define SQ_DATA_TASKS_GENERATOR_H

#include "base/fields.h"
#include "data/generate.h"

enum { SQ_PART_TRAIN, SQ_PART_VALIDATION, SQ_PART_TEST, SQ_PARTS };

/* First member of every generator's options. */
typedef struct sq_task_counts { int64_t train, validation, test, seed; } sq_task_counts;
#define SQ_TASK_COUNTS(S, trains, validations, tests)                                                                                  \
    { "train", SQ_FIELD_INT, offsetof(S, counts.train), trains, 1, 1e9, NULL, "sequences to train on" },                                \
    { "validation", SQ_FIELD_INT, offsetof(S, counts.validation), validations, 1, 1e9, NULL, "sequences that choose the best epoch" },   \
    { "test", SQ_FIELD_INT, offsetof(S, counts.test), tests, 1, 1e9, NULL, "sequences to test on" },                                    \
    { "seed", SQ_FIELD_INT, offsetof(S, counts.seed), "1", 0, 1e15, NULL, "the same seed gives the same files" }

/* A file under way. */
typedef struct sq_task_writing {
    const void *config;
    const sq_task_counts *counts;
    void *state;                       /* of `open` */
    int part;
    FILE *out;
    int64_t number;                    /* of the sequence, from 0 */
    sq_draws draws;                    /* its own */
    int64_t events;                    /* written so far, in all files */
} sq_task_writing;

typedef struct sq_generator {
    const char *name, *title, *source, *help;          /* help: a paragraph for --help */
    const char *id;                                    /* the first column: what a sequence is called */
    size_t config_size;
    const sq_field *fields;                            /* its own and SQ_TASK_COUNTS */
    sq_status (*check)(void *config, sq_error *error);                               /* contradictions; may be NULL */
    sq_status (*open)(void **state, void *config, sq_error *error);                  /* scratch, files of the user; may be NULL */
    void (*close)(void *state);                                                     /* NULL allowed as state */
    void (*header)(const void *config, const void *state, FILE *out);                /* the columns */
    void (*sequence)(sq_task_writing *writing);                                     /* rows of one sequence */
    sq_status (*file)(sq_task_writing *writing, sq_error *error);                    /* instead of it: all rows; NULL: sequences */
    int64_t (*longest)(const void *config, const void *state);                       /* events of a sequence, at most */
    void (*data)(const void *config, const void *state, FILE *out);                  /* lines of the section data that say what columns mean */
    void (*settings)(const void *config, FILE *out);                                /* sections model, train, compare */
    void (*readme)(const void *config, const void *state, FILE *out);                /* what is planted, what can be reached */
} sq_generator;

/* ---- for the generators ---- */

/* ",b1,b2,..." and so on: names with a number behind */
void sq__task_columns(FILE *out, const char *name, int64_t count);
/* "  numeric: [{column: b1, transform: none}, ...]": names[count], each with counts[i] columns (0: the name alone) */
void sq__task_inputs(FILE *out, const char *const *names, const int64_t *counts, int count);
/* "  target: {kind: event-bits, columns: [t1, ..., more]}"; more: one more column, or NULL */
void sq__task_bits(FILE *out, int64_t count, const char *more);
/* Sections of the task file that all share, with what differs. */
typedef struct sq_task_settings {
    int layers, width, feed_forward;
    bool causal;
    double dropout, rate;
    int epochs, batch;
    const char *mechanisms, *models, *baselines;   /* to compare: names by comma; models NULL: none */
} sq_task_settings;
void sq__task_settings(FILE *out, const sq_task_settings *settings);

/* ---- bits.c: rows of random binary vectors ---- */

typedef struct sq_bit_rows { int64_t bits, rows; uint8_t *values; } sq_bit_rows;   /* values [rows * bits] */
void sq__bits_draw(sq_bit_rows *rows, sq_draws *draws);
void sq__bits_put(FILE *out, const uint8_t *values, int64_t bits);                  /* ",0,1,1"; values NULL: ",0,0,0" */
void sq__bits_empty(FILE *out, int64_t bits);                                       /* ",,," */

#endif
