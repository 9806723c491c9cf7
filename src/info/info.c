/* What this build is: version, instruction sets, the libraries it runs on. */
#include <archive.h>
#include <cblas.h>
#include <csv.h>
#include <jansson.h>
#include <protobuf-c/protobuf-c.h>
#include <sqlite3.h>
#include <string.h>
#include <yaml.h>

#if defined(SQ_HAVE_LIBXSMM)
#include <libxsmm_version.h>
#endif

#include "base/cpu.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/status.h"
#include "kernels/kernels.h"
#include "subquad/tools.h"

static void isa_compiled(char *text, size_t size)
{
    size_t used = 0;
    for (int isa = 0; isa < SQ_ISA_COUNT && used < size; isa++) {
#if !defined(SQ_HAVE_X86)
        if (isa != SQ_ISA_REFERENCE) continue;
#endif
        used += (size_t)snprintf(text + used, size - used, "%s%s", used ? " " : "", sq__isa_name((sq_isa)isa));
    }
}

sq_status sq_build_info(char **text, sq_error *error)
{
    char compiled[64], *lines = sq__alloc(2048);
    *text = NULL;
    if (!lines) return sq__no_memory(error);
    isa_compiled(compiled, sizeof compiled);
    int used = snprintf(lines, 2048,
                        "version: %s\n"
                        "compiler: %s\n"
                        "instruction sets compiled: %s\n"
                        "instruction sets detected: %s (in use: %s)\n"
                        "matrix products: %s (one core's measured peak: %.0f GFLOP/s float32)\n"
                        "threads: %d\n",
                        sq_version(), __VERSION__, compiled, sq__isa_name(sq__cpu_detected()), sq__kernels()->isa, sq__gemm_backend(),
                        sq__gemm_peak_gflops(), sq__threads_available());
#if defined(SQ_HAVE_LIBXSMM)
    used += snprintf(lines + used, 2048 - (size_t)used, "LIBXSMM: %s\n", LIBXSMM_CONFIG_VERSION);
#endif
    snprintf(lines + used, 2048 - (size_t)used,
             "OpenBLAS: %s\n"
             "libarchive: %s\n"
             "libyaml: %s\n"
             "jansson: %s\n"
             "libcsv: %d.%d.%d\n"
             "SQLite: %s\n"
             "protobuf-c: %s\n",
             openblas_get_config(), archive_version_string(), yaml_get_version_string(), jansson_version_str(), CSV_MAJOR, CSV_MINOR,
             CSV_RELEASE, sqlite3_libversion(), protobuf_c_version());
    *text = lines;
    return SQ_OK;
}
