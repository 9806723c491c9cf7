/* The checksum at the end of a gzip file (RFC 1952), which libarchive does not compare. Depends on nothing. */
#ifndef SQ_IO_GZIP_CHECK_H
#define SQ_IO_GZIP_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sq_gzip_check { uint32_t table[8][256], crc, size; } sq_gzip_check;

void sq__gzip_begin(sq_gzip_check *check);
void sq__gzip_add(sq_gzip_check *check, const void *plain, size_t size);

/* After all plain bytes: do they fit the trailer? read copies bytes of the packed file, false when it cannot.
 * A file of several members has a checksum for each: such a file is taken as it is. */
typedef bool (*sq_gzip_read)(void *user, int64_t offset, void *bytes, size_t size);
bool sq__gzip_fits(const sq_gzip_check *check, int64_t packed_size, sq_gzip_read read, void *user);

#endif
