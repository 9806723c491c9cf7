/* Is it text? Depends on nothing. */
#ifndef SQ_IO_UTF8_H
#define SQ_IO_UTF8_H

#include <stddef.h>

/* Offset of the first byte that is not valid UTF-8 (RFC 3629) or is a zero byte; size when all is well. */
size_t sq__utf8_bad(const char *text, size_t size);
/* Characters in valid UTF-8; every byte that begins none is not counted. */
size_t sq__utf8_count(const char *text, size_t size);

#endif
