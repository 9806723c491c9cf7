#include <math.h>

#include "io/file.h"
#include "report/format.h"
#include "report/metric.h"
#include "report/writers.h"

/* Numbers with all their digits; an empty cell where there is none. */
static void number(FILE *file, double value)
{
    if (isfinite(value)) fprintf(file, ",%.9g", value);
    else putc(',', file);
}

static void quality(FILE *file, sq_target_kind target, const sq_quality *values)
{
    const sq_metric_row *metric;
    for (int i = 0; (metric = sq__metric_of(target, i)); i++) number(file, sq__metric_at(metric, values));
}

static int headings(FILE *file, sq_target_kind target, const char *split)
{
    const sq_metric_row *metric;
    int count = 0;
    for (; (metric = sq__metric_of(target, count)); count++) fprintf(file, ",%s_%s", split, metric->key);
    return count;
}

sq_status sq__write_results_csv(const sq_comparison *c, const char *path, sq_error *error)
{
    sq_output *output;
    SQ_TRY(sq__output_open(&output, path, error));
    FILE *file = sq__output_stream(output);
    fputs("mechanism,seed,baseline,diverged", file);
    const int columns = headings(file, c->target, "test") + headings(file, c->target, "validation");
    fputs(",parameters,epochs,best_epoch,steps,epoch_seconds,clients_per_second,tokens_per_second,train_peak_bytes,"
          "inference_peak_bytes,train_resident_bytes,note\n", file);
    for (int i = 0; i < c->count; i++) {
        const sq_compared *model = &c->models[i];
        for (int r = 0; r < model->run_count; r++) {
            const sq_run_result *run = &model->runs[r];
            sq__put_csv(file, run->mechanism);
            fprintf(file, ",%llu,%d,%d", (unsigned long long)run->seed, model->row.baseline, run->diverged);
            quality(file, c->target, &run->test);
            quality(file, c->target, &run->validation);
            fprintf(file, ",%lld,%lld,%lld,%lld", (long long)run->parameters, (long long)run->epochs, (long long)run->best_epoch, (long long)run->steps);
            number(file, run->epoch_seconds);
            number(file, run->clients_per_second);
            number(file, run->tokens_per_second);
            fprintf(file, ",%zu,%zu,%zu,\n", run->train_peak_bytes, run->inference_peak_bytes, run->train_resident_bytes);
        }
        if (model->run_count == 0) {   /* could not run: named with its reason, not dropped */
            sq__put_csv(file, model->row.mechanism);
            fprintf(file, ",,%d,", model->row.baseline);
            for (int k = 0; k < columns + 11; k++) putc(',', file);
            sq__put_csv(file, model->row.note);
            putc('\n', file);
        }
    }
    return sq__output_commit(&output, error);
}
