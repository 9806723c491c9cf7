#include "io/utf8.h"

#include <stdint.h>
#include <string.h>

/* Length of the character that begins at s (left bytes remain), or 0 when it is malformed, overlong, a surrogate or past U+10FFFF. */
static size_t character(const unsigned char *s, size_t left)
{
    unsigned char low = 0x80, high = 0xBF;
    size_t length;
    if (s[0] < 0x80) return s[0] != 0;
    if (s[0] >= 0xC2 && s[0] <= 0xDF) length = 2;
    else if (s[0] >= 0xE0 && s[0] <= 0xEF) length = 3;
    else if (s[0] >= 0xF0 && s[0] <= 0xF4) length = 4;
    else return 0;
    if (s[0] == 0xE0) low = 0xA0;
    if (s[0] == 0xED) high = 0x9F;
    if (s[0] == 0xF0) low = 0x90;
    if (s[0] == 0xF4) high = 0x8F;
    if (left < length || s[1] < low || s[1] > high) return 0;
    for (size_t i = 2; i < length; i++)
        if ((s[i] & 0xC0) != 0x80) return 0;
    return length;
}

size_t sq__utf8_bad(const char *text, size_t size)
{
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    for (size_t i = 0; i < size;) {
        uint64_t word;
        if (size - i >= sizeof word) {   /* eight ASCII bytes, none of them zero */
            memcpy(&word, text + i, sizeof word);
            if (!((word | (word - ones)) & tops)) {
                i += sizeof word;
                continue;
            }
        }
        size_t length = character((const unsigned char *)text + i, size - i);
        if (!length) return i;
        i += length;
    }
    return size;
}

size_t sq__utf8_count(const char *text, size_t size)
{
    size_t count = 0;
    for (size_t i = 0; i < size; i++) count += (text[i] & 0xC0) != 0x80;
    return count;
}
