#include <math.h>

#include "io/file.h"
#include "report/format.h"
#include "report/writers.h"

/* Numbers with all their digits; an empty cell where there is none. */
static void number(FILE *file, double value)
{
    if (isfinite(value)) fprintf(file, ",%.9g", value);
    else putc(',', file);
}

static void quality(FILE *file, const sq_quality *values)
{
    number(file, values->accuracy);
    number(file, values->auc);
    number(file, values->f1);
    number(file, values->log_loss);
}

sq_status sq__write_results_csv(const sq_comparison *c, const char *path, sq_error *error)
{
    sq_output *output;
    SQ_TRY(sq__output_open(&output, path, error));
    FILE *file = sq__output_stream(output);
    fputs("mechanism,seed,baseline,diverged,test_accuracy,test_auc,test_f1,test_log_loss,validation_accuracy,validation_auc,validation_f1,"
          "validation_log_loss,parameters,epochs,best_epoch,steps,epoch_seconds,clients_per_second,tokens_per_second,train_peak_bytes,"
          "inference_peak_bytes,train_resident_bytes,note\n", file);
    for (int i = 0; i < c->count; i++) {
        const sq_compared *model = &c->models[i];
        for (int r = 0; r < model->run_count; r++) {
            const sq_run_result *run = &model->runs[r];
            sq__put_csv(file, run->mechanism);
            fprintf(file, ",%llu,%d,%d", (unsigned long long)run->seed, model->row.baseline, run->diverged);
            quality(file, &run->test);
            quality(file, &run->validation);
            fprintf(file, ",%lld,%lld,%lld,%lld", (long long)run->parameters, (long long)run->epochs, (long long)run->best_epoch, (long long)run->steps);
            number(file, run->epoch_seconds);
            number(file, run->clients_per_second);
            number(file, run->tokens_per_second);
            fprintf(file, ",%zu,%zu,%zu,\n", run->train_peak_bytes, run->inference_peak_bytes, run->train_resident_bytes);
        }
        if (model->run_count == 0) {   /* could not run: named with its reason, not dropped */
            sq__put_csv(file, model->row.mechanism);
            fprintf(file, ",,%d,,,,,,,,,,,,,,,,,,,,", model->row.baseline);
            sq__put_csv(file, model->row.note);
            putc('\n', file);
        }
    }
    return sq__output_commit(&output, error);
}
