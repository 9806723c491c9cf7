#include "io/gzip_check.h"

#include <string.h>

enum { TRAILER = 8, HEADER = 10, BLOCK = 1 << 14 };

/* table[k][b]: the checksum's change by byte b with k bytes after it. */
void sq__gzip_begin(sq_gzip_check *check)
{
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t c = b;
        for (int bit = 0; bit < 8; bit++) c = c & 1 ? 0xEDB88320u ^ c >> 1 : c >> 1;
        check->table[0][b] = c;
    }
    for (int k = 1; k < 8; k++)
        for (int b = 0; b < 256; b++) check->table[k][b] = check->table[0][check->table[k - 1][b] & 255] ^ check->table[k - 1][b] >> 8;
    check->crc = 0xFFFFFFFFu;
    check->size = 0;
}

static uint32_t little_endian(const uint8_t *b)
{
    return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

void sq__gzip_add(sq_gzip_check *check, const void *plain, size_t size)
{
    const uint8_t *p = plain;
    uint32_t c = check->crc;
    uint32_t(*t)[256] = check->table;
    check->size += (uint32_t)size;
    for (; size >= 8; p += 8, size -= 8) {   /* eight bytes at once: their tables are independent */
        uint32_t low = c ^ little_endian(p), high = little_endian(p + 4);
        c = t[7][low & 255] ^ t[6][low >> 8 & 255] ^ t[5][low >> 16 & 255] ^ t[4][low >> 24] ^ t[3][high & 255] ^ t[2][high >> 8 & 255] ^
            t[1][high >> 16 & 255] ^ t[0][high >> 24];
    }
    for (; size > 0; p++, size--) c = t[0][(c ^ *p) & 255] ^ c >> 8;
    check->crc = c;
}

/* A member's first bytes: magic, deflate, no reserved flag, a known extra flag and system. By chance once in 2e11 places. */
static bool looks_like_member(const uint8_t *b)
{
    return b[0] == 0x1F && b[1] == 0x8B && b[2] == 8 && (b[3] & 0xE0) == 0 && (b[8] == 0 || b[8] == 2 || b[8] == 4) && (b[9] <= 13 || b[9] == 255);
}

static bool has_second_member(int64_t packed_size, sq_gzip_read read, void *user)
{
    uint8_t block[BLOCK];
    for (int64_t at = 1; at + HEADER <= packed_size;) {
        size_t size = packed_size - at < BLOCK ? (size_t)(packed_size - at) : BLOCK;
        if (!read(user, at, block, size)) return false;
        for (size_t i = 0; i + HEADER <= size; i++)
            if (looks_like_member(block + i)) return true;
        at += (int64_t)size - (HEADER - 1);
    }
    return false;
}

bool sq__gzip_fits(const sq_gzip_check *check, int64_t packed_size, sq_gzip_read read, void *user)
{
    uint8_t trailer[TRAILER];
    if (packed_size < TRAILER || !read(user, packed_size - TRAILER, trailer, TRAILER)) return false;
    if (little_endian(trailer) == (check->crc ^ 0xFFFFFFFFu) && little_endian(trailer + 4) == check->size) return true;
    return little_endian(trailer + 4) != check->size && has_second_member(packed_size, read, user);
}
