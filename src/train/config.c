#include <stddef.h>
#include <string.h>

#include "report/metric.h"
#include "train/schedule.h"
#include "train/train.h"

static const char *const schedules[] = { [SQ_SCHEDULE_COSINE] = "cosine", [SQ_SCHEDULE_CONSTANT] = "constant", [SQ_SCHEDULE_LINEAR] = "linear", NULL };
static const char *const weightings[] = { "none", "balanced", NULL };
static const char *const metrics[] = { "auto", "auc", "accuracy", "f1", "log-loss", "perplexity", "mse", "mae", "r2", "bits", "bit-errors", "exact", NULL };

const sq_field sq__train_fields[] = {
    SQ_INT(sq_train_config, epochs, "20", 1, 100000, "most passes over the training clients"),
    SQ_INT(sq_train_config, batch, "32", 1, 65536, "clients per step"),
    SQ_FLOAT(sq_train_config, learning_rate, "0.001", 0, 100, "highest rate of AdamW"),
    SQ_FLOAT(sq_train_config, weight_decay, "0.01", 0, 100, "decoupled decay of matrices (not of biases, norms, embeddings)"),
    SQ_FLOAT(sq_train_config, beta1, "0.9", 0, 0.999999, "decay of the mean gradient"),
    SQ_FLOAT(sq_train_config, beta2, "0.999", 0, 0.99999999, "decay of the mean squared gradient"),
    SQ_FLOAT(sq_train_config, epsilon, "1e-08", 0, 1, "added to the root of the mean squared gradient"),
    SQ_FLOAT(sq_train_config, warmup, "0.1", 0, 1, "fraction of all steps over which the rate rises from 0"),
    SQ_CHOICE(sq_train_config, schedule, "cosine", schedules, "the rate after the warm-up"),
    SQ_FLOAT(sq_train_config, clip, "1", 0, 1e9, "largest norm of the whole gradient; 0: no limit"),
    SQ_FLOAT(sq_train_config, label_smoothing, "0", 0, 0.999, "share of the target spread over all classes"),
    SQ_CHOICE(sq_train_config, class_weights, "none", weightings, "balanced: each class weighs the same in the loss"),
    SQ_INT(sq_train_config, patience, "5", 0, 100000, "epochs without a better validation metric before stopping; 0: never stop early"),
    SQ_CHOICE(sq_train_config, metric, "auto", metrics, "validation metric that chooses the best epoch; auto: auc, of a number mse, of events log-loss, of bits bits"),
    SQ_INT(sq_train_config, segment, "0", 0, 1 << 24, "events per segment for truncated back-propagation: an update each, the state carried on; 0: whole sequences"),
    SQ_INT(sq_train_config, redraw, "1000", 0, 1000000000, "steps between redraws of random features; 0: never"),
    SQ_FLOAT(sq_train_config, checkpoint_seconds, "60", 0, 1e9, "least time between checkpoints within an epoch; each epoch ends with one"),
    SQ_INT(sq_train_config, checkpoint_steps, "0", 0, 1000000000, "checkpoint also after so many steps; 0: by time alone"),
    SQ_INT(sq_train_config, max_steps, "0", 0, 1000000000000, "stop after so many steps; 0: no limit"),
    SQ_FIELDS_END
};

const char *sq__train_metric(const sq_train_config *config, sq_target_kind target)
{
    return config->metric ? metrics[config->metric] : sq__metric_usual(target);
}

sq_status sq__train_config_check(const sq_train_config *config, sq_target_kind target, const char **key, sq_error *error)
{
    static const char *const asked[] = { "a class", "a number", "a class of events", "bits of events" };
    const sq_metric_row *row = sq__metric_find(sq__train_metric(config, target)), *other;
    const bool classes = target == SQ_TARGET_CLASS || target == SQ_TARGET_EVENT_CLASS;
    const char *ignored;
    char list[128] = "";
    if (!key) key = &ignored;
    *key = "metric";
    for (int i = 0; (other = sq__metric_of(target, i)); i++) snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "", other->name);
    if (!(row->targets >> target & 1))
        return sq__fail(error, SQ_INVALID, "train: metric is '%s', but the target is %s; expected auto or one of %s", row->name, asked[target], list);
    *key = "class_weights";
    if (!classes && config->class_weights) return sq__fail(error, SQ_INVALID, "train: class_weights is '%s', but the target is %s", weightings[config->class_weights], asked[target]);
    *key = "label_smoothing";
    if (!classes && config->label_smoothing > 0) return sq__fail(error, SQ_INVALID, "train: label_smoothing is %g, but the target is %s", config->label_smoothing, asked[target]);
    *key = NULL;
    return SQ_OK;
}
