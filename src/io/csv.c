#include "io/csv.h"

#include <csv.h>
#include <string.h>

#include "base/memory.h"
#include "io/utf8.h"

enum { MOST_RECORD = 16 << 20, MOST_CELLS = 1 << 16, FIRST_BUFFER = 1 << 18, LIBCSV_BLOCK = 1 << 18 };

struct sq_csv {
    sq_stream *stream;
    sq_csv_options options;
    char *buffer;                      /* buffer[start .. end): read and not yet consumed; a row begins at start */
    size_t start, end, room;
    size_t record_end;                 /* of the current row, with its newline */
    bool ended;                        /* the stream has no more */
    int64_t line;                      /* of buffer[start] */
    int64_t record_lines;
    sq_csv_row row;
    sq_csv_cell *cells;
    int cell_room;
    struct csv_parser parser;
    bool parser_open;
    char *scratch;                     /* texts of a quoted row, one after the other */
    size_t scratch_used, scratch_room;
    bool row_done, no_memory, too_many;
};

static int is_newline(unsigned char c) { return c == '\n'; }
static int is_blank(unsigned char c) { return c == ' ' || c == '\t' || c == '\r'; }
static int is_blank_not_tab(unsigned char c) { return c == ' ' || c == '\r'; }

static void close_parser(sq_csv *csv)
{
    if (csv->parser_open) csv_free(&csv->parser);
    csv->parser_open = false;
}

static void open_parser(sq_csv *csv)
{
    close_parser(csv);
    csv_init(&csv->parser, CSV_STRICT | CSV_STRICT_FINI);
    csv_set_delim(&csv->parser, (unsigned char)csv->options.delimiter);
    csv_set_term_func(&csv->parser, is_newline);
    csv_set_space_func(&csv->parser, csv->options.delimiter == '\t' ? is_blank_not_tab : is_blank);
    csv_set_realloc_func(&csv->parser, sq__realloc);
    csv_set_free_func(&csv->parser, sq__free);
    csv_set_blk_size(&csv->parser, LIBCSV_BLOCK);
    csv->parser_open = true;
}

sq_status sq__csv_open(sq_csv **csv, sq_stream **stream, const sq_csv_options *options, sq_error *error)
{
    sq_csv *fresh = *csv = sq__alloc_zero(sizeof *fresh);
    if (fresh) {
        fresh->stream = *stream;
        *stream = NULL;
        fresh->options = *options;
        fresh->line = 1;
        fresh->buffer = sq__alloc(fresh->room = FIRST_BUFFER);
        fresh->cells = sq__alloc((size_t)(fresh->cell_room = 64) * sizeof *fresh->cells);
    }
    if (fresh && fresh->buffer && fresh->cells) return SQ_OK;
    sq__stream_close(stream);
    sq__csv_close(csv);
    return sq__no_memory(error);
}

void sq__csv_close(sq_csv **csv)
{
    if (!csv || !*csv) return;
    close_parser(*csv);
    sq__stream_close(&(*csv)->stream);
    sq__free((*csv)->buffer);
    sq__free((*csv)->cells);
    sq__free((*csv)->scratch);
    sq__free(*csv);
    *csv = NULL;
}

const sq_stream *sq__csv_stream(const sq_csv *csv)
{
    return csv->stream;
}

/* Append the next block; what was consumed makes room first. */
static sq_status read_more(sq_csv *csv, sq_error *error)
{
    const char *block;
    size_t size;
    SQ_TRY(sq__stream_next(csv->stream, &block, &size, error));
    bool first = csv->line == 1 && csv->end == 0;
    csv->ended = size == 0;
    if (csv->start) memmove(csv->buffer, csv->buffer + csv->start, csv->end - csv->start);
    csv->end -= csv->start;
    csv->start = 0;
    if (csv->end > MOST_RECORD)
        return sq__fail(error, SQ_FORMAT, "%s:%lld: a row longer than 16 MiB; is it a table?", sq__stream_name(csv->stream), (long long)csv->line);
    if (size > csv->room - csv->end) {
        size_t room = 2 * csv->room > csv->end + size ? 2 * csv->room : csv->end + size;
        char *larger = sq__realloc(csv->buffer, room);
        if (!larger) return sq__no_memory(error);
        csv->buffer = larger;
        csv->room = room;
    }
    if (size) memcpy(csv->buffer + csv->end, block, size);
    csv->end += size;
    if (first && csv->end >= 3 && memcmp(csv->buffer, "\xEF\xBB\xBF", 3) == 0) csv->start = 3;
    return SQ_OK;
}

static bool add_cell(sq_csv *csv, const char *text, size_t size)
{
    if (csv->row.count == csv->cell_room) {
        sq_csv_cell *larger = csv->cell_room >= MOST_CELLS ? NULL : sq__realloc(csv->cells, 2 * (size_t)csv->cell_room * sizeof *larger);
        if (!larger) {
            csv->too_many = csv->cell_room >= MOST_CELLS;
            csv->no_memory = !csv->too_many;
            return false;
        }
        csv->cells = larger;
        csv->cell_room *= 2;
    }
    csv->cells[csv->row.count++] = (sq_csv_cell){ text, size };
    return true;
}

static void trim(const sq_csv *csv, const char **text, const char **end)
{
    if (!csv->options.quotes || *text == *end || (**text > ' ' && (*end)[-1] > ' ')) return;
    int (*blank)(unsigned char) = csv->options.delimiter == '\t' ? is_blank_not_tab : is_blank;
    while (*text < *end && blank((unsigned char)**text)) ++*text;
    while (*text < *end && blank((unsigned char)(*end)[-1])) --*end;
}

/* A line without quotes, [text, end) without its newline. False: blank, or a flag says why not. */
static bool split_line(sq_csv *csv, const char *text, const char *end)
{
    const char delimiter = csv->options.delimiter;
    if (text < end && end[-1] == '\r') end--;
    for (const char *at = text;; at++) {
        if (at < end && *at != delimiter) continue;
        const char *cell = text, *cell_end = at;
        trim(csv, &cell, &cell_end);
        if (at == end && csv->row.count == 0 && cell == cell_end) return false;
        if (!add_cell(csv, cell, (size_t)(cell_end - cell))) return false;
        if (at == end) return true;
        text = at + 1;
    }
}

/* libcsv callbacks. Texts are kept as offsets, because scratch may move while it grows. */
static void on_cell(void *text, size_t size, void *user)
{
    sq_csv *csv = user;
    if (csv->no_memory || csv->too_many) return;
    if (size > csv->scratch_room - csv->scratch_used) {
        size_t room = 2 * (csv->scratch_used + size) + 4096;
        char *larger = sq__realloc(csv->scratch, room);
        if (!larger) {
            csv->no_memory = true;
            return;
        }
        csv->scratch = larger;
        csv->scratch_room = room;
    }
    if (size) memcpy(csv->scratch + csv->scratch_used, text, size);
    if (add_cell(csv, (const char *)(uintptr_t)csv->scratch_used, size)) csv->scratch_used += size;
}

static void on_row(int newline, void *user)
{
    (void)newline;
    ((sq_csv *)user)->row_done = true;
}

static void place_of(const sq_csv *csv, size_t offset, int64_t *line, int64_t *column)
{
    size_t from = csv->start;
    *line = csv->line;
    for (size_t i = csv->start; i < offset; i++)
        if (csv->buffer[i] == '\n') {
            ++*line;
            from = i + 1;
        }
    *column = 1 + (int64_t)sq__utf8_count(csv->buffer + from, offset - from);
}

/* Where a cell of the row in buffer[start .. end) begins. */
static size_t cell_offset(const sq_csv *csv, int cell, size_t end)
{
    size_t at = csv->start;
    bool quoted = false;
    for (; at < end && cell > 0; at++) {
        if (csv->buffer[at] == '"' && csv->options.quotes) quoted = !quoted;   /* a doubled quote toggles twice */
        else if (csv->buffer[at] == csv->options.delimiter && !quoted) cell--;
    }
    return at;
}

static void broken(sq_csv *csv, const char *why, size_t offset)
{
    csv->row.broken = why;
    csv->row.count = 0;
    place_of(csv, offset, &csv->row.line, &csv->row.column);
}

/* End of the line that begins at csv->start + from; the stream is read on as needed. Offsets count from csv->start, which may move. */
static sq_status find_line(sq_csv *csv, size_t from, size_t *length, sq_error *error)
{
    for (size_t scanned = from;;) {
        char *line = csv->buffer + csv->start;
        size_t held = csv->end - csv->start;
        char *newline = held > scanned ? memchr(line + scanned, '\n', held - scanned) : NULL;
        if (newline || csv->ended) {
            *length = newline ? (size_t)(newline - line) + 1 : held;
            return SQ_OK;
        }
        scanned = held;
        SQ_TRY(read_more(csv, error));
    }
}

static sq_status read_quoted(sq_csv *csv, size_t length, sq_error *error)
{
    size_t fed = 0, first_line = length;
    if (!csv->parser_open) open_parser(csv);
    csv->row_done = false;
    csv->scratch_used = 0;
    for (;;) {
        size_t took = csv_parse(&csv->parser, csv->buffer + csv->start + fed, length - fed, on_cell, on_row, csv);
        if (took != length - fed) {
            if (csv_error(&csv->parser) == CSV_ENOMEM) return sq__no_memory(error);
            broken(csv, "a quote inside a cell; expected it doubled and the cell in quotes (or data.quote: no)", csv->start + fed + took);
            break;
        }
        fed = length;
        if (csv->row_done) break;
        if (csv->end - csv->start == fed && csv->ended) {
            int whole = csv->row.count;
            if (csv_fini(&csv->parser, on_cell, on_row, csv) != 0) {
                broken(csv, "a quote that is never closed", cell_offset(csv, whole, csv->start + fed));
                length = first_line;   /* the lines after it are read as rows of their own */
            }
            break;
        }
        csv->record_lines++;
        SQ_TRY(find_line(csv, fed, &length, error));
    }
    if (csv->row.broken) close_parser(csv);   /* its state is in the middle of a row */
    if (length == first_line) csv->record_lines = 1;
    csv->record_end = csv->start + length;
    for (int i = 0; i < csv->row.count; i++) csv->cells[i].text = csv->scratch + (uintptr_t)csv->cells[i].text;
    return SQ_OK;
}

sq_status sq__csv_next(sq_csv *csv, const sq_csv_row **row, sq_error *error)
{
    *row = NULL;
    for (;;) {
        if (csv->record_end) {
            csv->line += csv->record_lines;
            csv->start = csv->record_end;
            csv->record_end = 0;
        }
        size_t length;
        SQ_TRY(find_line(csv, 0, &length, error));
        if (length == 0) return SQ_OK;
        char *text = csv->buffer + csv->start;
        bool newline = text[length - 1] == '\n';
        csv->record_end = csv->start + length;
        csv->record_lines = 1;
        csv->row = (sq_csv_row){ .line = csv->line, .column = 1 };
        csv->too_many = csv->no_memory = false;
        bool filled = true;
        if (csv->options.quotes && memchr(text, '"', length)) SQ_TRY(read_quoted(csv, length, error));
        else filled = split_line(csv, text, text + length - newline);
        if (csv->no_memory) return sq__no_memory(error);
        if (csv->too_many) broken(csv, "more than 65536 cells", csv->start);
        else if (!filled) continue;   /* a blank line */
        size_t size = csv->record_end - csv->start, bad = csv->row.broken ? size : sq__utf8_bad(csv->buffer + csv->start, size);
        if (bad < size) broken(csv, "not UTF-8 text", csv->start + bad);
        csv->row.cells = csv->cells;
        *row = &csv->row;
        return SQ_OK;
    }
}

void sq__csv_place(const sq_csv *csv, int cell, int64_t *line, int64_t *column)
{
    place_of(csv, cell_offset(csv, cell, csv->record_end), line, column);
}
