#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/cpu.h"
#include "base/memory.h"
#include "compare/comparing.h"
#include "io/file.h"
#include "kernels/kernels.h"

static void put(sq_environment *environment, const char *key, const char *value)
{
    if (environment->count == SQ_ENVIRONMENT) return;
    char *text = environment->texts[environment->count];
    snprintf(text, SQ_ENVIRONMENT_TEXT, "%s", value);
    environment->pairs[environment->count++] = (sq_report_pair){ key, text };
}

/* The value of the first line "name : value" of a file such as /proc/cpuinfo, into text; "" when it is not there. */
static void find_line(const char *path, const char *name, char *text, size_t size)
{
    char *content;
    size_t length;
    text[0] = 0;
    if (sq__file_read(path, &content, &length, NULL) != SQ_OK) return;
    const char *line = strstr(content, name), *value = line ? strchr(line, ':') : NULL;
    if (value) {
        value += 1 + strspn(value + 1, " \t\"");
        snprintf(text, size, "%.*s", (int)strcspn(value, "\n"), value);
    }
    sq__free(content);
}

void sq__compare_environment(int threads, sq_environment *environment)
{
    char text[SQ_ENVIRONMENT_TEXT];
    struct utsname system;
    environment->count = 0;
    put(environment, "subquad", sq_version());
    find_line("/proc/cpuinfo", "model name", text, sizeof text);
    if (text[0]) put(environment, "processor", text);
    snprintf(text, sizeof text, "%s in use, %s detected", sq__isa_name(sq__cpu_isa()), sq__isa_name(sq__cpu_detected()));
    put(environment, "instruction set", text);
    snprintf(text, sizeof text, "%s, %.0f GFLOP/s a core measured", sq__gemm_backend(), sq__gemm_peak_gflops());
    put(environment, "matrix products", text);
    snprintf(text, sizeof text, "%d", threads);
    put(environment, "threads", text);
    find_line("/proc/meminfo", "MemTotal", text, sizeof text);
    const double kilobytes = atof(text);
    if (kilobytes > 0) {
        snprintf(text, sizeof text, "%.1f GiB", kilobytes / 1048576);
        put(environment, "memory", text);
    }
    if (uname(&system) == 0) {
        snprintf(text, sizeof text, "%.40s %.64s %.40s", system.sysname, system.release, system.machine);
        put(environment, "system", text);
    }
    put(environment, "compiler", __VERSION__);
}
