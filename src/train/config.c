#include <stddef.h>

#include "train/schedule.h"
#include "train/train.h"

static const char *const schedules[] = { [SQ_SCHEDULE_COSINE] = "cosine", [SQ_SCHEDULE_CONSTANT] = "constant", [SQ_SCHEDULE_LINEAR] = "linear", NULL };
static const char *const weightings[] = { "none", "balanced", NULL };
static const char *const metrics[] = { "auc", "accuracy", "f1", "log-loss", NULL };

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
    SQ_CHOICE(sq_train_config, metric, "auc", metrics, "validation metric that chooses the best epoch"),
    SQ_INT(sq_train_config, redraw, "1000", 0, 1000000000, "steps between redraws of random features; 0: never"),
    SQ_FLOAT(sq_train_config, checkpoint_seconds, "60", 0, 1e9, "least time between checkpoints within an epoch; each epoch ends with one"),
    SQ_INT(sq_train_config, checkpoint_steps, "0", 0, 1000000000, "checkpoint also after so many steps; 0: by time alone"),
    SQ_INT(sq_train_config, max_steps, "0", 0, 1000000000000, "stop after so many steps; 0: no limit"),
    SQ_FIELDS_END
};
