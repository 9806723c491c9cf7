#include "report/format.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

static const char *nothing(char *buffer)
{
    return strcpy(buffer, "–");
}

const char *sq__format_count(char *buffer, int64_t value)
{
    char digits[24];
    const int length = snprintf(digits, sizeof digits, "%lld", value < 0 ? -(long long)value : (long long)value);
    char *out = buffer;
    if (value < 0) *out++ = '-';
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0) *out++ = ',';
        *out++ = digits[i];
    }
    *out = 0;
    return buffer;
}

/* Three significant digits below 1000. */
static int decimals_of(double value)
{
    const double size = fabs(value);
    return size >= 99.95 ? 0 : size >= 9.995 ? 1 : size >= 0.9995 || size == 0 ? 2 : 3;
}

const char *sq__format_quantity(char *buffer, double value)
{
    if (!isfinite(value)) return nothing(buffer);
    if (fabs(value) >= 999.5 && fabs(value) < 9e18) return sq__format_count(buffer, (int64_t)llround(value));
    snprintf(buffer, SQ_FIGURE_SIZE, "%.*f", decimals_of(value), value);
    return buffer;
}

const char *sq__format_seconds(char *buffer, double seconds)
{
    static const struct { double below, unit; const char *name; } units[] = {
        { 0.9995e-3, 1e-6, "µs" }, { 0.9995, 1e-3, "ms" }, { 120, 1, "s" }, { 7200, 60, "min" }, { INFINITY, 3600, "h" },
    };
    if (!isfinite(seconds)) return nothing(buffer);
    int i = 0;
    while (fabs(seconds) >= units[i].below) i++;
    const double value = seconds / units[i].unit;
    snprintf(buffer, SQ_FIGURE_SIZE, "%.*f %s", decimals_of(value), value, units[i].name);
    return buffer;
}

const char *sq__format_bytes(char *buffer, double bytes)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    if (!isfinite(bytes)) return nothing(buffer);
    int i = 0;
    for (; i < 4 && fabs(bytes) >= 1023.5; i++) bytes /= 1024;
    snprintf(buffer, SQ_FIGURE_SIZE, "%.*f %s", i == 0 ? 0 : decimals_of(bytes), bytes, units[i]);
    return buffer;
}

/* "10.0 ms" to "10 ms" */
static const char *without_zeros(char *figure)
{
    char *unit = strchr(figure, ' '), *point = strchr(figure, '.');
    if (!unit || !point || point > unit) return figure;
    char *end = unit;
    while (end[-1] == '0') end--;
    if (end[-1] == '.') end--;
    memmove(end, unit, strlen(unit) + 1);
    return figure;
}

const char *sq__format_tick_seconds(char *buffer, double seconds)
{
    sq__format_seconds(buffer, seconds);
    return without_zeros(buffer);
}

const char *sq__format_tick_bytes(char *buffer, double bytes)
{
    sq__format_bytes(buffer, bytes);
    return without_zeros(buffer);
}

const char *sq__format_tick_length(char *buffer, int64_t length)
{
    if (length < 1024 || length % 1024) return sq__format_count(buffer, length);
    sq__format_count(buffer, length / 1024);
    return strcat(buffer, "k");
}

const char *sq__format_fixed(char *buffer, double value, int decimals)
{
    if (!isfinite(value)) return nothing(buffer);
    snprintf(buffer, SQ_FIGURE_SIZE, "%.*f", decimals, fabs(value) < 1e15 ? value : copysign(1e15, value));
    return buffer;
}

const char *sq__format_spread(char *buffer, double mean, double deviation, int decimals)
{
    char second[SQ_FIGURE_SIZE];
    sq__format_fixed(buffer, mean, decimals);
    if (!isfinite(mean) || !isfinite(deviation)) return buffer;
    const size_t used = strlen(buffer);
    snprintf(buffer + used, SQ_FIGURE_SIZE - used, " ± %s", sq__format_fixed(second, deviation, decimals));
    return buffer;
}

/* ---- text from data ---- */

/* XML 1.0, 2.2: Char. Tab, line feed and carriage return are allowed there. */
static bool allowed(uint32_t code)
{
    if (code < 0x20) return code == '\t' || code == '\n' || code == '\r';
    return code != 0x7f && !(code >= 0x80 && code < 0xa0) && !(code >= 0xd800 && code < 0xe000) && code != 0xfffe && code != 0xffff &&
           code <= 0x10ffff;
}

uint32_t sq__utf8_next(const char **at)
{
    const uint8_t *byte = (const uint8_t *)*at;
    if (!*byte) return 0;
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    const int length = *byte < 0x80 ? 1 : *byte >= 0xf0 && *byte < 0xf8 ? 4 : *byte >= 0xe0 && *byte < 0xf0 ? 3 : *byte >= 0xc0 && *byte < 0xe0 ? 2 : 0;
    uint32_t code = length <= 1 ? *byte : *byte & (0x7fu >> length);
    for (int i = 1; i < length; i++) {
        if ((byte[i] & 0xc0) != 0x80) {
            *at += i;
            return 0xfffd;
        }
        code = code << 6 | (byte[i] & 0x3f);
    }
    *at += length ? length : 1;
    return length == 0 || code < least[length] || !allowed(code) ? 0xfffd : code;
}

void sq__utf8_put(FILE *file, uint32_t code)
{
    if (code < 0x80) {
        putc((int)code, file);
        return;
    }
    const int length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    putc((int)((0xf00u >> length & 0xff) | code >> (6 * (length - 1))), file);
    for (int i = length - 2; i >= 0; i--) putc((int)(0x80 | (code >> (6 * i) & 0x3f)), file);
}

void sq__put_xml(FILE *file, const char *text)
{
    for (uint32_t code; (code = sq__utf8_next(&text));) {
        switch (code) {
        case '&': fputs("&amp;", file); break;
        case '<': fputs("&lt;", file); break;
        case '>': fputs("&gt;", file); break;
        case '"': fputs("&quot;", file); break;
        case '\'': fputs("&#39;", file); break;
        default: sq__utf8_put(file, code);
        }
    }
}

void sq__put_csv(FILE *file, const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, file);
        return;
    }
    putc('"', file);
    for (; *text; text++) {
        if (*text == '"') putc('"', file);
        putc(*text, file);
    }
    putc('"', file);
}

/* Within single quotes gnuplot expands nothing. It takes a quote at the start of a string, written twice, for an empty string, so quotes become
 * apostrophes; line ends would end the string and become spaces. */
void sq__put_gnuplot(FILE *file, const char *text, int most)
{
    putc('\'', file);
    int count = 0;
    for (uint32_t code; (code = sq__utf8_next(&text)); count++) {
        if (most > 0 && count == most - 1 && *text) {
            fputs("…", file);
            break;
        }
        sq__utf8_put(file, code == '\'' ? 0x2019 : code < 0x20 ? ' ' : code);
    }
    putc('\'', file);
}
