/* Progress with time left on stderr, and stopping by Ctrl-C. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>

#include "subquad/subquad.h"

typedef struct progress_line {
    bool terminal, shown, quiet;
    double next;                       /* seconds of the call at which a plain line is due */
    char stage[96];
} progress_line;

/* On a terminal one line that is rewritten; elsewhere a plain line when the stage changes and every 15 seconds. */
void progress_begin(progress_line *line, bool quiet);
void progress_show(void *line, const sq_progress *progress);   /* an sq_progress_fn */
void progress_end(progress_line *line);                        /* leaves the terminal's line empty */

/* "1h05m", "2m10s", "9s" */
const char *duration_text(double seconds, char *buffer, size_t size);

/* The first SIGINT or SIGTERM sets the flag that this returns: the work stops at its next step. A second one kills. */
sq_stop_flag *stop_on_signal(void);

#endif
