#define _GNU_SOURCE   /* posix_spawn_file_actions_addchdir_np */
#include "report/gnuplot.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "io/file.h"

extern char **environ;

static char *file_name(const char *folder, const char *name, const char *ending)
{
    const size_t size = strlen(folder) + strlen(name) + strlen(ending) + 2;
    char *path = sq__alloc(size);
    if (path) snprintf(path, size, "%s/%s%s", folder, name, ending);
    return path;
}

static sq_status open_one(sq_output **output, const char *folder, const char *name, const char *ending, sq_error *error)
{
    char *path = file_name(folder, name, ending);
    const sq_status status = path ? sq__output_open(output, path, error) : sq__no_memory(error);
    sq__free(path);
    return status;
}

static void put_svg(const sq_plot *plot, int width, int height)
{
    fprintf(plot->script,
            "# gnuplot %s.gp draws this figure again, in this folder. As PNG: replace the terminal by\n"
            "#   set terminal pngcairo noenhanced size %d,%d font 'sans-serif,20'\n"
            "if (!exists('output')) output = '%s.svg'\n"
            "set encoding utf8\n"
            "set terminal svg noenhanced size %d,%d dynamic rounded font 'sans-serif,14' background '" SQ_PLOT_PAPER "'\n",
            plot->name, 2 * width, 2 * height, plot->name, width, height);
}

static void put_png(const sq_plot *plot, int width, int height)
{
    fprintf(plot->script,
            "# gnuplot %s.gp draws this figure again, in this folder.\n"
            "if (!exists('output')) output = '%s.png'\n"
            "set encoding utf8\n"
            "set terminal pngcairo noenhanced size %d,%d font 'sans-serif,20' linewidth 2 background '" SQ_PLOT_PAPER "'\n",
            plot->name, plot->name, 2 * width, 2 * height);
}

typedef void (*put_terminal)(const sq_plot *plot, int width, int height);

static sq_status open_plot(sq_plot *plot, const char *folder, const char *name, int width, int height, put_terminal put, sq_error *error)
{
    *plot = (sq_plot){ .folder = folder, .name = name };
    SQ_TRY(open_one(&plot->script_output, folder, name, ".gp", error));
    const sq_status status = open_one(&plot->data_output, folder, name, ".tsv", error);
    if (status != SQ_OK) {
        sq__output_discard(&plot->script_output);
        return status;
    }
    plot->script = sq__output_stream(plot->script_output);
    plot->data = sq__output_stream(plot->data_output);
    put(plot, width, height);
    fprintf(plot->script,
            "set output output\n"
            "data = '%s.tsv'\n"
            "ink = '" SQ_PLOT_INK "'\n"
            "grey = '#a0a7ae'\n"
            "set datafile separator tab\n"
            "set border 3 lc rgb ink lw 1\n"
            "set tics nomirror out scale 0.6 textcolor rgb ink\n"
            "set grid lt 1 lc rgb grey lw 0.3\n"
            "set key textcolor rgb ink\n"
            "set xlabel tc rgb ink\n"
            "set ylabel tc rgb ink\n",
            name);
    return SQ_OK;
}

sq_status sq__plot_open(sq_plot *plot, const char *folder, const char *name, int width, int height, sq_error *error)
{
    return open_plot(plot, folder, name, width, height, put_svg, error);
}

sq_status sq__plot_open_png(sq_plot *plot, const char *folder, const char *name, int width, int height, sq_error *error)
{
    return open_plot(plot, folder, name, width, height, put_png, error);
}

int sq__plot_block(sq_plot *plot)
{
    fputs("\n\n", plot->data);
    return plot->blocks++;
}

sq_status sq__plot_commit(sq_plot *plot, sq_error *error)
{
    const sq_status status = sq__output_commit(&plot->data_output, error);
    if (status == SQ_OK) return sq__output_commit(&plot->script_output, error);
    sq__output_discard(&plot->script_output);
    return status;
}

void sq__plot_discard(sq_plot *plot)
{
    sq__output_discard(&plot->script_output);
    sq__output_discard(&plot->data_output);
}

/* ---- running gnuplot ---- */

/* No shell: the program is looked up in PATH and reads no user settings (-d). It runs in a process group of its own, so that an interrupt
 * from the keyboard reaches only us and no figure is cut short; what it says goes to log. Returns its wait status, or -1 with errno. */
static int spawn(const char *folder, char *const arguments[], int log)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, ordinary;
    pid_t child;
    int status;
    sigemptyset(&none);
    sigemptyset(&ordinary);
    sigaddset(&ordinary, SIGINT);
    sigaddset(&ordinary, SIGTERM);
    sigaddset(&ordinary, SIGPIPE);
    if ((errno = posix_spawn_file_actions_init(&actions))) return -1;
    if ((errno = posix_spawnattr_init(&attributes))) {
        posix_spawn_file_actions_destroy(&actions);
        return -1;
    }
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &ordinary);
    int failed = posix_spawn_file_actions_addchdir_np(&actions, folder);
    if (!failed) failed = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (!failed) failed = posix_spawn_file_actions_adddup2(&actions, log, STDOUT_FILENO);
    if (!failed) failed = posix_spawn_file_actions_adddup2(&actions, log, STDERR_FILENO);
    if (!failed) failed = posix_spawnp(&child, arguments[0], &actions, &attributes, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (failed) {
        errno = failed;
        return -1;
    }
    while (waitpid(child, &status, 0) < 0) {
        if (errno == ECHILD) return 0;   /* the program around us ignores its children's ends; whether the figure is whole shows when it is read */
        if (errno != EINTR) return -1;
    }
    return status;
}

/* The last line of a log: gnuplot shows the line of the script first, then what is wrong with it. */
static void last_line(int log, char *line, size_t size)
{
    char text[2048];
    const ssize_t got = pread(log, text, sizeof text - 1, 0);
    text[got > 0 ? got : 0] = 0;
    char *end = text + strlen(text);
    while (end > text && strchr(" \t\r\n", end[-1])) *--end = 0;
    const char *start = strrchr(text, '\n');
    snprintf(line, size, "%s", start ? start + 1 : text);
}

static sq_status draw(const char *folder, const char *name, const char *ending, const char *partial, const char *whole, sq_error *error)
{
    char script[256], set_output[320], line[256];
    snprintf(script, sizeof script, "%s.gp", name);
    snprintf(set_output, sizeof set_output, "output = '%s%s.partial'", name, ending);
    char *const arguments[] = { "gnuplot", "-d", "-e", set_output, script, NULL };
    FILE *log = tmpfile();
    if (!log) return sq__fail(error, SQ_IO, "cannot make a temporary file: %s", strerror(errno));
    fcntl(fileno(log), F_SETFD, FD_CLOEXEC);
    const int status = spawn(folder, arguments, fileno(log));
    const int reason = errno;
    last_line(fileno(log), line, sizeof line);
    fclose(log);
    if (status == -1 && reason == ENOENT) return sq__fail(error, SQ_NOT_FOUND, "gnuplot is not installed");
    if (status == -1) return sq__fail(error, SQ_IO, "gnuplot does not start: %s", strerror(reason));
    if (!WIFEXITED(status) || WEXITSTATUS(status) == 127)
        return sq__fail(error, SQ_IO, "gnuplot ended early (status %d)", status);
    if (WEXITSTATUS(status) != 0) return sq__fail(error, SQ_IO, "gnuplot: %s", line[0] ? line : script);
    if (rename(partial, whole) != 0) return sq__fail(error, SQ_IO, "%s: %s", whole, strerror(errno));
    return SQ_OK;
}

static sq_status draw_as(const char *folder, const char *name, const char *ending, sq_error *error)
{
    char unfinished[32];
    snprintf(unfinished, sizeof unfinished, "%s.partial", ending);
    char *partial = file_name(folder, name, unfinished), *whole = file_name(folder, name, ending);
    sq_status status = partial && whole ? draw(folder, name, ending, partial, whole, error) : sq__no_memory(error);
    if (status != SQ_OK && partial) unlink(partial);
    sq__free(partial);
    sq__free(whole);
    return status;
}

sq_status sq__plot_draw(const char *folder, const char *name, sq_error *error) { return draw_as(folder, name, ".svg", error); }
sq_status sq__plot_draw_png(const char *folder, const char *name, sq_error *error) { return draw_as(folder, name, ".png", error); }

/* ---- style ---- */

sq_plot_style sq__plot_style(const sq_comparison *c, int model)
{
    static const char *const colours[] = { "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9" };
    static const int filled[] = { 5, 9, 13, 11, 15, 7 }, open[] = { 6, 8, 4, 12, 10 };
    enum { COLOURS = 6, OPEN = 5 };
    int before = 0;
    for (int i = 0; i < model; i++)
        before += c->models[i].row.baseline == c->models[model].row.baseline && strcmp(c->models[i].row.mechanism, "softmax") != 0;
    if (strcmp(c->models[model].row.mechanism, "softmax") == 0) return (sq_plot_style){ SQ_PLOT_INK, 7, 1, 2.5 };
    if (c->models[model].row.baseline) return (sq_plot_style){ "#7f868d", open[before % OPEN], 2 + before % 3, 1.5 };
    return (sq_plot_style){ colours[before % COLOURS], filled[(before + before / COLOURS) % COLOURS], 1 + before / COLOURS % 4, 2 };
}

int sq__plot_height(const sq_comparison *c)
{
    return c->count > 16 ? 440 + 16 * (c->count - 16) : 440;
}

/* gnuplot guesses text wider than it is; 8 pixels a character fit the usual fonts at this size. A row takes 21 pixels times the spacing, and
 * rows that do not fit below each other would be cut off. */
void sq__plot_put_legend(const sq_plot *plot, const sq_comparison *c, int more)
{
    size_t longest = strlen("constant answer");
    for (int i = 0; i < c->count; i++)
        if (strlen(c->models[i].row.mechanism) > longest) longest = strlen(c->models[i].row.mechanism);
    const double room = 62 + 8.0 * ((double)longest + more), fits = (sq__plot_height(c) - 90) / (21.0 * (c->count + 2));
    fprintf(plot->script, "set rmargin at screen %.4f\nset key at graph 1.03,1 left top vertical Left reverse samplen 2.2 spacing %.2f\n",
            1 - room / SQ_PLOT_WIDTH, fits < 1.2 ? fits : 1.2);
}

void sq__plot_put_style(FILE *script, const sq_plot_style *style)
{
    fprintf(script, " lc rgb '%s' pt %d dt %d lw %g", style->colour, style->point, style->dash, style->width);
}
