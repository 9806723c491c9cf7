#include "report/plots.h"

const sq_figure sq__figures[SQ_FIGURES] = {
    { "pareto-training", "Quality against training time", "Mean over seeds with one standard deviation. Whatever lies off the dotted "
      "staircase is beaten in both by a model on it.", SQ_COST_TRAINING, false, sq__figure_pareto },
    { "pareto-inference", "Quality against inference time", "The same models when they answer for the test split.", SQ_COST_INFERENCE, false, sq__figure_pareto },
    { "curves-metric", "Learning curves", "Validation metric after each epoch: mean and band of one standard deviation over seeds; the other models in grey. "
      "Epochs are shown while at least half of the seeds still train.", SQ_CURVE_METRIC, true, sq__figure_curves },
    { "curves-loss", "Loss", "Training loss (dashed line: validation loss), the same way; grey: training loss of the others.", SQ_CURVE_LOSS, true,
      sq__figure_curves },
    { "time-training", "Time of a training step against length", "Forward and backward of one attention call at the heads and head size of this model; n^x is "
      "the fitted growth.", SQ_SWEEP_TIME_TRAINING, false, sq__figure_sweep },
    { "memory-training", "Memory of a training step against length", "The most that is held above the inputs: output, gradients, saved values, workspace, the "
      "mechanism's own tensors.", SQ_SWEEP_MEMORY_TRAINING, false, sq__figure_sweep },
    { "time-forward", "Time of inference against length", "Forward alone.", SQ_SWEEP_TIME_FORWARD, false, sq__figure_sweep },
    { "memory-forward", "Memory of inference against length", "Forward alone.", SQ_SWEEP_MEMORY_FORWARD, false, sq__figure_sweep },
    { "confusion", "What each model takes for what", "Of the test clients of each true class (row), the share predicted as each class (column), over all "
      "seeds.", 0, true,
      sq__figure_confusion },
};
