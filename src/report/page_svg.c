#include <string.h>

#include "base/memory.h"
#include "io/file.h"
#include "report/format.h"
#include "report/page.h"

/* Inside tags only, so that text from data stays as it is. Ink becomes the colour of the surrounding text and paper none; gnuplot gives
 * every figure the same names for its markers, which must differ within one page. */
static const struct { const char *from, *to; bool prefix; } replacements[] = {
    { "rgb( 27,  31,  36)", "currentColor", false },
    { "rgb(27,31,36)", "currentColor", false },
    { "fill=\"" SQ_PLOT_PAPER "\"", "fill=\"none\"", false },
    { " color=\"black\"", "", false },
    { "color='#FFFFFF'", "style='color:var(--paper)'", false },
    { "gpPt", "-pt", true },
    { "gpDot", "-dot", true },
    { "gnuplot_canvas", "-canvas", true },
    { "gnuplot_plot", "-plot", true },
    { "'textbox'", "-textbox", true },
    { "'greybox'", "-greybox", true },
};
enum { REPLACEMENTS = sizeof replacements / sizeof replacements[0] };

/* Length of what was replaced at `at`; 0: nothing. */
static size_t replace(const char *at, const char *name, FILE *file)
{
    for (int i = 0; i < REPLACEMENTS; i++) {
        const size_t length = strlen(replacements[i].from);
        if (strncmp(at, replacements[i].from, length) != 0) continue;
        const bool quoted = replacements[i].from[0] == '\'';
        fprintf(file, "%s%s%s%s", quoted ? "'" : "", replacements[i].prefix ? name : "", replacements[i].to, quoted ? "'" : "");
        return length;
    }
    return 0;
}

/* gnuplot opens and closes many groups with nothing in them, and titles each figure with its file name: length of such a piece at `at`. */
static size_t useless(const char *at)
{
    if (strncmp(at, "<title>", 7) == 0 || strncmp(at, "<desc>", 6) == 0) return strcspn(at, "\n");
    if (strncmp(at, "<g ", 3) != 0) return 0;
    const size_t opening = strcspn(at, ">");
    static const char closing[] = ">\n</g>\n";
    return strncmp(at + opening, closing, sizeof closing - 1) == 0 ? opening + sizeof closing - 1 : 0;
}

sq_status sq__page_svg(const char *folder, const char *name, const char *title, FILE *file, sq_error *error)
{
    char base[128], *text;
    size_t size;
    snprintf(base, sizeof base, "%s.svg", name);
    char *path = sq__path_join(folder, base);
    if (!path) return sq__no_memory(error);
    sq_status status = sq__file_read(path, &text, &size, error);
    if (status == SQ_OK) {
        const char *at = strstr(text, "<svg");
        if (at && strstr(at, "</svg>")) {
            fputs("<svg role=\"img\" aria-label=\"", file);
            sq__put_xml(file, title);
            putc('"', file);
            at += 4;
        } else {
            status = sq__fail(error, SQ_FORMAT, "%s: not a whole SVG file", path);
        }
        bool tag = true;
        while (status == SQ_OK && *at) {
            size_t skip = *at == '<' ? useless(at) : 0;
            if (!skip && tag) skip = replace(at, name, file);
            if (skip) {
                at += skip;
                continue;
            }
            if (*at == '<') tag = true;
            if (*at == '>') tag = false;
            putc(*at++, file);
        }
        sq__free(text);
    }
    sq__free(path);
    return status;
}
