#define _GNU_SOURCE
#include "progress.h"

#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define PLAIN_SECONDS 15
#define REDRAW_SECONDS 0.1

const char *duration_text(double seconds, char *buffer, size_t size)
{
    if (!(seconds >= 0) || seconds > 1e7) snprintf(buffer, size, "?");
    else if (seconds >= 3600) snprintf(buffer, size, "%dh%02dm", (int)seconds / 3600, (int)seconds / 60 % 60);
    else if (seconds >= 60) snprintf(buffer, size, "%dm%02ds", (int)seconds / 60, (int)seconds % 60);
    else snprintf(buffer, size, "%.0fs", seconds);
    return buffer;
}

void progress_begin(progress_line *line, bool quiet)
{
    const char *kind = getenv("TERM");
    *line = (progress_line){ .quiet = quiet };
    line->terminal = isatty(STDERR_FILENO) && kind && strcmp(kind, "dumb") != 0;
}

static void append(char *text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void append(char *text, size_t size, const char *format, ...)
{
    size_t used = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + used, size - used, format, arguments);
    va_end(arguments);
}

static void compose(char *text, size_t size, const sq_progress *p)
{
    char left[32];
    text[0] = '\0';
    if (p->mechanism) append(text, size, "%s, ", p->mechanism);
    const bool training = strcmp(p->stage, "training") == 0;
    if (p->mechanism && training) append(text, size, "seed %llu, ", (unsigned long long)p->seed);
    append(text, size, "%s", p->stage);
    if (training && p->epochs > 0) append(text, size, " epoch %lld/%lld", (long long)p->epoch, (long long)p->epochs);
    if (p->total > 0) append(text, size, " %3d%%", (int)(100 * (double)p->done / (double)p->total));
    else if (p->done > 0) append(text, size, " %lld", (long long)p->done);
    if (training && isfinite(p->loss)) append(text, size, ", loss %.4f", p->loss);
    if (training && p->metric && isfinite(p->validation)) append(text, size, ", best %s %.4f", p->metric, p->validation);
    if (isfinite(p->seconds_left)) append(text, size, ", %s left", duration_text(p->seconds_left, left, sizeof left));
    else append(text, size, ", %s", duration_text(p->seconds, left, sizeof left));
}

static int terminal_width(void)
{
    struct winsize window;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 20) return window.ws_col;
    return 80;
}

void progress_show(void *user, const sq_progress *p)
{
    progress_line *line = user;
    char text[512], stage[sizeof line->stage];
    if (p->message) {
        if (line->shown) fputs("\r\033[K", stderr);
        line->shown = false;
        fprintf(stderr, "subquad: %s%s%s\n", p->mechanism ? p->mechanism : "", p->mechanism ? ": " : "", p->message);
        return;
    }
    if (line->quiet) return;
    snprintf(stage, sizeof stage, "%s %s %llu %lld", p->stage, p->mechanism ? p->mechanism : "", (unsigned long long)p->seed, (long long)p->epoch);
    bool changed = strcmp(stage, line->stage) != 0;
    if (!changed && p->seconds < line->next) return;
    line->next = p->seconds + (line->terminal ? REDRAW_SECONDS : PLAIN_SECONDS);
    memcpy(line->stage, stage, sizeof stage);
    compose(text, sizeof text, p);
    if (line->terminal) {
        fprintf(stderr, "\r\033[K%.*s", terminal_width() - 1, text);
        fflush(stderr);
        line->shown = true;
    } else {
        fprintf(stderr, "%s\n", text);
    }
}

void progress_end(progress_line *line)
{
    if (line->shown) fputs("\r\033[K", stderr);
    line->shown = false;
}

/* ---- stopping ---- */

static sq_stop_flag stop_flag;

static void on_signal(int number)
{
    static const char text[] = "\nsubquad: stopping at the next step; once more stops at once\n";
    (void)number;
    stop_flag = 1;
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0) return;
}

sq_stop_flag *stop_on_signal(void)
{
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART | (int)SA_RESETHAND };   /* the second finds the default: it kills */
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    return &stop_flag;
}
