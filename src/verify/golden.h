/* A file of reference vectors while it is checked: what it holds, what has been read, what has been compared.
 *
 * The first thing that is wrong is kept (a skip, a failure with its reason, or a status such as out of memory); from then on every
 * call returns NULL or does nothing, so a family reads top to bottom without a check on every line. Pointers live until the end.
 * Every tensor of the file must have been read or compared when a family returns: what was overlooked is reported.
 * Depends on io, base. */
#ifndef SQ_VERIFY_GOLDEN_H
#define SQ_VERIFY_GOLDEN_H

#include "base/memory.h"
#include "base/status.h"
#include "io/safetensors.h"
#include "subquad/tools.h"

/* How far a tensor may be off.
 * fixed: output (or gradient) * max|reference| + floor, as the mechanism's README derives it from the measured float32 errors; a tensor
 *        that is zero in exact arithmetic: 10 * its recorded absolute error + floor.
 * else:  max(1e-5, 10 * recorded relative error) * max|reference|, at least 10 * the absolute error where one is recorded for all
 *        gradients; a tensor that is zero in exact arithmetic: 1e-5 of the largest other gradient. */
typedef struct sq_golden_rule { bool fixed; double output, gradient, floor; } sq_golden_rule;

typedef struct sq_golden sq_golden;

/* ---- state ---- */

bool sq__golden_going(const sq_golden *golden);                 /* nothing wrong so far */
void sq__golden_skip(sq_golden *golden, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sq__golden_fail(sq_golden *golden, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A library call returned this: SQ_UNSUPPORTED skips, SQ_NO_MEMORY ends the check with that status, anything else fails. */
void sq__golden_status(sq_golden *golden, sq_status status, const sq_error *error);
void *sq__golden_memory(sq_golden *golden, int64_t count, size_t size);   /* zeroed; NULL: failed (kept) */
float *sq__golden_room(sq_golden *golden, int64_t floats);

/* ---- tensors ---- */

#define SQ_ANY -1
bool sq__golden_has(const sq_golden *golden, const char *name);
const char *sq__golden_name(const sq_golden *golden, int index);   /* NULL past the last */
int sq__golden_rank(const sq_golden *golden, const char *name);    /* 0: no such tensor */
/* shape[rank], SQ_ANY where any size will do; what else is there fails with a reason. */
const sq_st_tensor *sq__golden_tensor(sq_golden *golden, const char *name, int rank, const int64_t *shape);
const float *sq__golden_floats(sq_golden *golden, const char *name, int rank, const int64_t *shape);
const int32_t *sq__golden_ints(sq_golden *golden, const char *name, int rank, const int64_t *shape);
const uint8_t *sq__golden_mask(sq_golden *golden, const char *name, int rank, const int64_t *shape);   /* values 0 or 1 */
#define SQ_SHAPE(...) (sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)), (const int64_t[]){ __VA_ARGS__ }

/* ---- metadata ---- */

/* A key may lead into a JSON text: "betas[1]", "arguments.beta". */
const char *sq__golden_text(sq_golden *golden, const char *key, const char *otherwise);   /* otherwise NULL: the key is needed */
double sq__golden_number(sq_golden *golden, const char *key, double otherwise);          /* 3, 1e-5, true, False; otherwise NAN: needed */
int64_t sq__golden_count(sq_golden *golden, const char *key, int64_t otherwise);         /* a whole number from 0; otherwise < 0: needed */
bool sq__golden_flag(sq_golden *golden, const char *key, bool otherwise);
const char *sq__golden_numbered(sq_golden *golden, const char *stem, int64_t number);   /* stem holds one "%d" */
const char *sq__golden_digits(sq_golden *golden, int64_t number);   /* as an option's value */
bool sq__golden_starts(const char *text, const char *prefix);
bool sq__golden_variant(const char *variant, const char *prefix);   /* "relu_" fits "relu_n50" and "relu" */

/* ---- comparing ---- */

/* ours [count] against tensor `name`. A tensor whose name says so (grad.NAME, or dNAME beside a tensor NAME) is a gradient. */
void sq__golden_compare(sq_golden *golden, const char *name, const float *ours, int64_t count);
void sq__golden_compare_doubles(sq_golden *golden, const char *name, const double *ours, int64_t count);
/* ours [outer, rows, inner]; where the file has out_rows, `name` holds these rows only. */
void sq__golden_compare_rows(sq_golden *golden, const char *name, const float *ours, int64_t outer, int64_t rows, int64_t inner);

/* ---- for verify.c ---- */

sq_status sq__golden_open(sq_golden **golden, const char *path, sq_verify_result *result, sq_error *error);
void sq__golden_rule(sq_golden *golden, const sq_golden_rule *rule);
/* Settles tolerances, looks for tensors that nobody read, fills the result. Closes golden. */
sq_status sq__golden_close(sq_golden **golden, sq_error *error);

#endif
