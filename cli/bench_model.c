/* subquad bench model: time and memory of whole models against length, or of one event of a stream. */
#include "bench_model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench_words.h"
#include "mechanisms.h"
#include "progress.h"
#include "table.h"

typedef struct request {
    const char *names, *lengths_text, *pass_text, *format_text;
    int64_t batch, layers, width, heads, seed;
    int threads, runs, pass, format;
    bool causal;
    pairs options;
    int name_count, length_count, indices[MAX_MECHANISMS];
    int64_t lengths[MAX_LENGTHS];
} request;

enum { TABLE, JSONL, CSV };
static const char *const passes[] = { "forward", "backward", "step" };

static int resolve(request *r)
{
    static const char *const formats[] = { "table", "jsonl", "csv" };
    static const char command[] = "bench model";
    int status;
    if ((status = parse_choice(command, "format", r->format_text, formats, 3, &r->format)) >= 0) return status;
    if ((status = parse_choice(command, "pass", r->pass_text, passes, 3, &r->pass)) >= 0) return status;
    if ((status = parse_lengths(command, r->lengths_text, r->lengths, &r->length_count)) >= 0) return status;
    if ((status = parse_names(command, strcmp(r->names, "all") == 0 ? NAMES_MODELS : NAMES_ALL, r->names, r->indices, &r->name_count)) >= 0) return status;
    if ((status = check_options(command, r->indices, r->name_count, &r->options)) >= 0) return status;
    const struct { const char *name; int64_t value; } positive[] = { { "batch", r->batch }, { "layers", r->layers }, { "width", r->width },
                                                                     { "heads", r->heads }, { "threads", r->threads } };
    for (size_t i = 0; i < sizeof positive / sizeof *positive; i++)
        if (positive[i].value < 1 || positive[i].value > 65536)
            return usage_error(command, "--%s %lld; expected 1 to 65536", positive[i].name, (long long)positive[i].value);
    return -1;
}

static void print_heading(const request *r)
{
    static bool begun;
    if (begun) return;
    begun = true;
    if (r->format == CSV) printf("model,n,batch,layers,width,heads,threads,pass,causal,ms,peak_bytes\n");
    if (r->format != TABLE) return;
    printf("%lld layers of width %lld, %lld heads, batch %lld, %d thread%s, %s%s\n\n", (long long)r->layers, (long long)r->width, (long long)r->heads,
           (long long)r->batch, r->threads, r->threads == 1 ? "" : "s", r->pass_text, r->causal ? ", causal" : "");
    printf("%-24s%9s%14s%14s\n", "model", "n", r->pass == SQ_BENCH_MODEL_STEP ? "us per event" : "ms", r->pass == SQ_BENCH_MODEL_STEP ? "state" : "peak memory");
}

static void print_case(const request *r, const char *name, int64_t n, const sq_bench_result *b)
{
    char peak[32];
    if (r->format == JSONL)
        printf("{\"model\": \"%s\", \"n\": %lld, \"batch\": %lld, \"layers\": %lld, \"width\": %lld, \"heads\": %lld, \"threads\": %d, \"pass\": \"%s\", "
               "\"causal\": %s, \"ms\": %.6g, \"peak_bytes\": %zu}\n", name, (long long)n, (long long)r->batch, (long long)r->layers, (long long)r->width,
               (long long)r->heads, r->threads, r->pass_text, r->causal ? "true" : "false", b->ms, b->peak_bytes);
    else if (r->format == CSV)
        printf("%s,%lld,%lld,%lld,%lld,%lld,%d,%s,%d,%.6g,%zu\n", name, (long long)n, (long long)r->batch, (long long)r->layers, (long long)r->width,
               (long long)r->heads, r->threads, r->pass_text, r->causal, b->ms, b->peak_bytes);
    else
        printf("%-24s%9lld%14.3f%14s\n", name, (long long)n, r->pass == SQ_BENCH_MODEL_STEP ? 1e3 * b->ms : b->ms, bytes_text((double)b->peak_bytes, peak, sizeof peak));
    fflush(stdout);
}

/* All lengths of one model. What cannot do what is asked is an error when it was asked for by name alone, else a note. */
static int run_one(const request *r, int index, sq_stop_flag *stop)
{
    sq_mechanism_info info;
    sq_option chosen[sizeof r->options.item / sizeof *r->options.item];
    sq_error error;
    if (name_get(index, &info) != SQ_OK) return 0;
    sq_bench_model_case bench = { .model = info.name, .options = chosen, .option_count = options_of(index, &r->options, chosen), .batch = r->batch,
                                  .layers = r->layers, .width = r->width, .heads = r->heads, .causal = r->causal, .threads = r->threads, .runs = r->runs,
                                  .seed = (uint64_t)r->seed };
    bench.pass = r->pass == 0 ? SQ_BENCH_MODEL_FORWARD : r->pass == 1 ? SQ_BENCH_MODEL_BACKWARD : SQ_BENCH_MODEL_STEP;
    for (int i = 0; i < r->length_count && !*stop; i++) {
        sq_bench_result result;
        bench.n = r->lengths[i];
        const sq_status status = sq_bench_model(&bench, &result, &error);
        if (status == SQ_UNSUPPORTED && r->name_count > 1) {
            fprintf(stderr, "subquad: left out: %s\n", error.message);
            return 0;
        }
        if (status != SQ_OK) return report_error(&error);
        print_heading(r);
        print_case(r, info.name, r->lengths[i], &result);
    }
    return 0;
}

int bench_model(int argc, char **argv)
{
    request r = { .names = "all", .lengths_text = "256..4096", .pass_text = "backward", .format_text = "table", .batch = 8, .layers = 2, .width = 128,
                  .heads = 4, .threads = 1, .seed = 1 };
    const flag flags[] = {
        { "model", 'm', FLAG_TEXT, &r.names, "NAMES", "all, or names with commas between, of mechanisms (in an encoder), too (all)" },
        { "n", 'n', FLAG_TEXT, &r.lengths_text, "N", "lengths: 1024, or 512,4096, or 256..65536 for powers of two (256..4096)" },
        { "batch", 0, FLAG_COUNT, &r.batch, "N", "(8)" },
        { "layers", 0, FLAG_COUNT, &r.layers, "N", "(2)" },
        { "width", 0, FLAG_COUNT, &r.width, "N", "(128)" },
        { "heads", 0, FLAG_COUNT, &r.heads, "N", "(4)" },
        { "threads", 0, FLAG_FEW, &r.threads, "N", "(1)" },
        { "pass", 0, FLAG_TEXT, &r.pass_text, "PASS", "forward; backward: both together; step: an event at a time through the state (backward)" },
        { "causal", 0, FLAG_SWITCH, &r.causal, NULL, "encoders: an event sees earlier ones only" },
        { "runs", 0, FLAG_FEW, &r.runs, "N", "of each case, the least counts; 0: about a second's worth (0)" },
        { "seed", 0, FLAG_COUNT, &r.seed, "N", "of the weights (1)" },
        { "format", 0, FLAG_TEXT, &r.format_text, "FORMAT", "table, jsonl or csv (table)" },
    };
    usage u = { .command = "bench model", .synopsis = "[--model NAMES] [--n 256..4096] [--pass forward|backward|step] [--OPTION VALUE] [--format table|jsonl|csv]",
                .summary = "Times whole models over made-up events: embedding, layers, pooling, head.", .flags = flags,
                .flag_count = sizeof flags / sizeof *flags, .most = 0, .mechanism_options = &r.options };
    int count;
    int status = flags_parse(&u, argc, argv, &count);
    if (status < 0) status = resolve(&r);
    if (status >= 0) return status;
    sq_stop_flag *stop = stop_on_signal();
    status = 0;
    for (int i = 0; i < r.name_count && !*stop; i++) {
        const int own = run_one(&r, r.indices[i], stop);
        if (own > status) status = own;
    }
    return *stop ? sq_status_exit_code(SQ_INTERRUPTED) : status;
}
