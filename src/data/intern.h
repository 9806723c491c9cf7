/* Texts to dense numbers in order of first appearance. Depends on base. */
#ifndef SQ_DATA_INTERN_H
#define SQ_DATA_INTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sq_intern sq_intern;
sq_intern *sq__intern_create(void);                    /* NULL: no memory */
void sq__intern_destroy(sq_intern **intern);           /* NULL allowed */
/* The number of a text, new when it was not there. False: no memory, or more than 2^31 - 1 texts. */
bool sq__intern_add(sq_intern *intern, const char *text, size_t size, int32_t *number);
int32_t sq__intern_find(const sq_intern *intern, const char *text, size_t size);   /* -1: not there */
int32_t sq__intern_count(const sq_intern *intern);
const char *sq__intern_text(const sq_intern *intern, int32_t number);  /* NUL-terminated; valid until the next add */
size_t sq__intern_size(const sq_intern *intern, int32_t number);       /* bytes of the text */

#endif
