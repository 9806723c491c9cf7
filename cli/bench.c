/* subquad bench: time and memory of attention against length; of whole models: bench_model.c. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench_model.h"
#include "bench_words.h"
#include "command.h"
#include "mechanisms.h"
#include "progress.h"
#include "table.h"

typedef enum output_format { FORMAT_TABLE, FORMAT_JSONL, FORMAT_CSV } output_format;

typedef struct bench_request {
    const char *attention, *lengths_text, *dtype, *pass_text, *format_text;
    int64_t heads, dim, batch, seed;
    int threads, runs;
    bool causal;
    pairs options;
    sq_pass pass;
    output_format format;
    int mechanism_count, length_count, mechanisms[MAX_MECHANISMS];
    int64_t lengths[MAX_LENGTHS];
} bench_request;

static int resolve(bench_request *r)
{
    static const char *const formats[] = { "table", "jsonl", "csv" }, *const passes[] = { "forward", "backward" };
    int format, pass, status;
    if ((status = parse_choice("bench", "format", r->format_text, formats, 3, &format)) >= 0) return status;
    if ((status = parse_choice("bench", "pass", r->pass_text, passes, 2, &pass)) >= 0) return status;
    if ((status = parse_lengths("bench", r->lengths_text, r->lengths, &r->length_count)) >= 0) return status;
    if ((status = parse_names("bench", NAMES_ATTENTION, r->attention, r->mechanisms, &r->mechanism_count)) >= 0) return status;
    if ((status = check_options("bench", r->mechanisms, r->mechanism_count, &r->options)) >= 0) return status;
    const struct { const char *name; int64_t value; } positive[] = { { "heads", r->heads }, { "dim", r->dim }, { "batch", r->batch },
                                                                     { "threads", r->threads } };
    for (size_t i = 0; i < sizeof positive / sizeof *positive; i++)
        if (positive[i].value < 1 || positive[i].value > 1000000)
            return usage_error("bench", "--%s %lld; expected 1 to 1000000", positive[i].name, (long long)positive[i].value);
    r->format = (output_format)format;
    r->pass = pass == 0 ? SQ_FORWARD : SQ_BACKWARD;
    return -1;
}

static void print_begin(const bench_request *r)
{
    if (r->format == FORMAT_CSV) printf("mechanism,n,heads,dim,batch,threads,dtype,pass,causal,ms,gflops,roofline,workspace_bytes,peak_bytes\n");
    if (r->format == FORMAT_TABLE) {
        printf("%lld heads of %lld, batch %lld, %lld thread%s, %s, %s%s\n\n", (long long)r->heads, (long long)r->dim, (long long)r->batch,
               (long long)r->threads, r->threads == 1 ? "" : "s", r->dtype, r->pass_text, r->causal ? ", causal" : "");
        printf("%-18s%9s%11s%9s%9s%12s%12s\n", "mechanism", "n", "ms", "GFLOP/s", "of peak", "workspace", "peak memory");
    }
}

/* Before the first case, so that a refusal stands alone. */
static void print_begin_once(const bench_request *r)
{
    static bool begun;
    if (!begun) print_begin(r);
    begun = true;
}

static void print_case(const bench_request *r, const char *name, int64_t n, const sq_bench_result *b)
{
    char workspace[32], peak[32];
    switch (r->format) {
    case FORMAT_JSONL:
        printf("{\"mechanism\": \"%s\", \"n\": %lld, \"heads\": %lld, \"dim\": %lld, \"batch\": %lld, \"threads\": %lld, \"dtype\": \"%s\", \"pass\": \"%s\","
               " \"causal\": %s, \"ms\": %.6g, \"gflops\": %.6g, \"roofline\": %.4g, \"workspace_bytes\": %zu, \"peak_bytes\": %zu}\n",
               name, (long long)n, (long long)r->heads, (long long)r->dim, (long long)r->batch, (long long)r->threads, r->dtype, r->pass_text,
               r->causal ? "true" : "false", b->ms, b->gflops, b->roofline, b->workspace_bytes, b->peak_bytes);
        break;
    case FORMAT_CSV:
        printf("%s,%lld,%lld,%lld,%lld,%lld,%s,%s,%d,%.6g,%.6g,%.4g,%zu,%zu\n", name, (long long)n, (long long)r->heads, (long long)r->dim,
               (long long)r->batch, (long long)r->threads, r->dtype, r->pass_text, r->causal, b->ms, b->gflops, b->roofline, b->workspace_bytes,
               b->peak_bytes);
        break;
    case FORMAT_TABLE:
        printf("%-18s%9lld%11.3f%9.1f%8.0f%%%12s%12s\n", name, (long long)n, b->ms, b->gflops, 100 * b->roofline,
               bytes_text((double)b->workspace_bytes, workspace, sizeof workspace), bytes_text((double)b->peak_bytes, peak, sizeof peak));
        break;
    }
    fflush(stdout);
}

typedef struct curve { const char *name; int count; double n[MAX_LENGTHS], ms[MAX_LENGTHS], bytes[MAX_LENGTHS]; } curve;

/* All lengths of one mechanism. A mechanism that cannot do what is asked is an error when it was asked for by name alone, else a note. */
static int run_mechanism(const bench_request *r, int mechanism, sq_stop_flag *stop, curve *c)
{
    sq_mechanism_info info;
    sq_option chosen[sizeof r->options.item / sizeof *r->options.item];
    sq_error error;
    if (sq_mechanism_get(mechanism, &info) != SQ_OK) return 0;
    *c = (curve){ .name = info.name };
    sq_bench_case bench = { .pass = r->pass, .dtype = r->dtype, .runs = r->runs };
    bench.desc = (sq_attention_desc){ .mechanism = info.name, .options = chosen,
                                      .option_count = options_of(mechanism, &r->options, chosen), .B = r->batch,
                                      .H = r->heads, .D = r->dim, .M = r->dim, .causal = r->causal, .threads = r->threads, .seed = (uint64_t)r->seed };
    for (int i = 0; i < r->length_count && !*stop; i++) {
        sq_bench_result result;
        bench.desc.T = bench.desc.N = r->lengths[i];
        sq_status status = sq_bench_attention(&bench, &result, &error);
        if (status == SQ_UNSUPPORTED && r->mechanism_count > 1) {
            fprintf(stderr, "subquad: left out: %s\n", error.message);
            return 0;
        }
        if (status == SQ_NO_MEMORY) {
            fprintf(stderr, "subquad: %s at n = %lld: %s\n", info.name, (long long)r->lengths[i], error.message);
            return sq_status_exit_code(status);
        }
        if (status != SQ_OK) return report_error(&error);
        print_begin_once(r);
        print_case(r, info.name, r->lengths[i], &result);
        c->n[c->count] = (double)r->lengths[i];
        c->ms[c->count] = result.ms;
        c->bytes[c->count++] = (double)result.peak_bytes;
    }
    return 0;
}

static int run_all(const bench_request *r)
{
    static curve curves[MAX_MECHANISMS];
    sq_stop_flag *stop = stop_on_signal();
    int status = 0;
    for (int i = 0; i < r->mechanism_count && !*stop; i++) {
        int own = run_mechanism(r, r->mechanisms[i], stop, &curves[i]);
        if (own > status) status = own;
    }
    bool headed = false;
    for (int i = 0; i < r->mechanism_count && r->format == FORMAT_TABLE; i++) {
        if (curves[i].count < 2) continue;
        if (!headed) printf("\nfitted over these lengths: time and memory grow as\n");
        headed = true;
        printf("%-20stime n^%.2f, memory n^%.2f\n", curves[i].name, sq_fitted_exponent(curves[i].n, curves[i].ms, curves[i].count),
               sq_fitted_exponent(curves[i].n, curves[i].bytes, curves[i].count));
    }
    return *stop ? sq_status_exit_code(SQ_INTERRUPTED) : status;
}

static int bench_attention(int argc, char **argv)
{
    bench_request r = { .attention = "all", .lengths_text = "256..16384", .dtype = "f32", .pass_text = "forward", .format_text = "table",
                        .heads = 8, .dim = 64, .batch = 1, .threads = 1, .seed = 1 };
    const flag flags[] = {
        { "attention", 'a', FLAG_TEXT, &r.attention, "NAMES", "all, or names with commas between (all)" },
        { "n", 'n', FLAG_TEXT, &r.lengths_text, "N", "lengths: 1024, or 512,4096, or 256..65536 for powers of two (256..16384)" },
        { "heads", 0, FLAG_COUNT, &r.heads, "N", "(8)" },
        { "dim", 0, FLAG_COUNT, &r.dim, "N", "size of a head (64)" },
        { "batch", 0, FLAG_COUNT, &r.batch, "N", "(1)" },
        { "threads", 0, FLAG_FEW, &r.threads, "N", "(1)" },
        { "dtype", 0, FLAG_TEXT, &r.dtype, "TYPE", "f32 (f32)" },
        { "pass", 0, FLAG_TEXT, &r.pass_text, "PASS", "forward, or backward: both together (forward)" },
        { "causal", 0, FLAG_SWITCH, &r.causal, NULL, "query i sees keys up to i" },
        { "runs", 0, FLAG_FEW, &r.runs, "N", "of each case, the least counts; 0: about a second's worth (0)" },
        { "seed", 0, FLAG_COUNT, &r.seed, "N", "of the mechanism's draws (1)" },
        { "format", 0, FLAG_TEXT, &r.format_text, "FORMAT", "table, jsonl or csv (table)" },
    };
    usage u = { .command = "bench attention", .synopsis = "[--attention NAMES] [--n 256..65536] [--OPTION VALUE] [--format table|jsonl|csv]",
                .summary = "Times attention alone. The result of every case is checked first: a wrong one is an error, not a figure.", .flags = flags,
                .flag_count = sizeof flags / sizeof *flags, .most = 0, .mechanism_options = &r.options };
    int count;
    int status = flags_parse(&u, argc, argv, &count);
    if (status >= 0) return status;
    status = resolve(&r);
    return status >= 0 ? status : run_all(&r);
}

int command_bench(int argc, char **argv)
{
    static const char *const names[] = { "attention", "model" };
    char hint[64];
    if (argc > 1 && strcmp(argv[1], "attention") == 0) return bench_attention(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "model") == 0) return bench_model(argc - 1, argv + 1);
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        printf("usage: subquad bench attention|model ...\n\n  attention  time and memory of attention alone against length\n"
               "  model      of whole models: forward, forward and backward, or event by event\n\n'subquad bench attention --help' says more.\n");
        return 0;
    }
    if (argc < 2) return usage_error("bench", "expected: attention or model");
    return usage_error("bench", "unknown benchmark '%s'%s", argv[1], did_you_mean(argv[1], "", names, 2, hint, sizeof hint));
}
