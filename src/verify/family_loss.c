/* loss: cross-entropies with their label smoothings, and element losses. */
#include <string.h>

#include "verify/families.h"
#include "verify/module.h"

/* What is differentiated: logits [count,width] against classes, or numbers (width 1) against numbers. */
typedef struct task {
    sq_module *m;
    const char *input;                 /* the tensor's name */
    int rank;
    int64_t shape[SQ_MAX_RANK], count, width;
    const float *values, *numbers;     /* [count,width]; targets [count] */
    const int32_t *classes;            /* targets [count] */
    sq_cross_entropy entropy;
    sq_regression regression;
    float parameter;                   /* beta, delta, smoothing */
    int32_t padding;
    sq_var *(*loss)(const struct task *task, sq_var *x, int64_t first, bool sum);   /* of rows `first` and on */
} task;

static sq_var *entropy(const task *t, sq_var *x, int64_t first, bool sum)
{
    sq_cross_entropy options = t->entropy;
    options.sum = sum;
    return sq__cross_entropy(t->m->tape, x, t->classes + first, &options);
}

static sq_var *divergence(const task *t, sq_var *x, int64_t first, bool sum)
{
    (void)sum;   /* it is always summed */
    return sq__smoothed_divergence(t->m->tape, x, t->classes + first, t->parameter, t->padding);
}

static sq_var *regression(const task *t, sq_var *x, int64_t first, bool sum)
{
    return sq__regression(t->m->tape, x, t->numbers + first, t->regression, t->parameter, sum);
}

/* ---- reading ---- */

static void read_input(task *t, const char *name, int rank)
{
    static const int64_t any[SQ_MAX_RANK] = { SQ_ANY, SQ_ANY, SQ_ANY, SQ_ANY, SQ_ANY };
    const sq_st_tensor *tensor = sq__golden_tensor(t->m->golden, name, rank, any);
    if (!tensor) return;
    t->input = name;
    t->rank = rank;
    memcpy(t->shape, tensor->shape, (size_t)rank * sizeof *t->shape);
    t->values = sq__golden_floats(t->m->golden, name, rank, tensor->shape);
    t->count = tensor->count;
    t->width = 1;
}

static void read_classes(task *t, int32_t ignore)
{
    sq_golden *golden = t->m->golden;
    read_input(t, "logits", 2);
    if (!t->values) return;
    t->count = t->shape[0];
    t->width = t->shape[1];
    t->classes = sq__golden_ints(golden, "target", SQ_SHAPE(t->count));
    for (int64_t i = 0; t->classes && i < t->count; i++)
        if (t->classes[i] != ignore && (t->classes[i] < 0 || t->classes[i] >= t->width))
            sq__golden_fail(golden, "target holds %d; expected 0 to %lld, or %d", t->classes[i], (long long)(t->width - 1), ignore);
}

static void read_entropy(task *t, const char *ignore_key)
{
    sq_golden *golden = t->m->golden;
    const int32_t ignore = (int32_t)sq__golden_number(golden, ignore_key, -100);
    t->entropy = (sq_cross_entropy){ .label_smoothing = (float)sq__golden_number(golden, "label_smoothing", 0), .ignore = ignore };
    t->loss = entropy;
    read_classes(t, ignore);
    if (t->values && sq__golden_has(golden, "class_weight")) t->entropy.class_weights = sq__golden_floats(golden, "class_weight", SQ_SHAPE(t->width));
}

static void read_divergence(task *t)
{
    sq_golden *golden = t->m->golden;
    t->padding = (int32_t)sq__golden_number(golden, "padding_index", 0);
    t->parameter = (float)sq__golden_number(golden, "label_smoothing", 0);
    t->loss = divergence;
    read_classes(t, t->padding);
}

static void read_regression(task *t, sq_regression kind, const char *parameter)
{
    sq_golden *golden = t->m->golden;
    t->regression = kind;
    t->parameter = (float)(parameter ? sq__golden_number(golden, parameter, 1) : 1);
    t->loss = regression;
    read_input(t, "input", sq__golden_rank(golden, "input"));
    if (t->values) t->numbers = sq__golden_floats(golden, "target", t->rank, t->shape);
}

typedef enum reduction { MEAN, SUM, NONE } reduction;

/* Which loss, and how its rows are put together. */
static reduction read_task(task *t)
{
    static const struct { const char *file; sq_regression kind; const char *parameter; } element[] = {
        { "mse_loss", SQ_MSE, NULL }, { "binary_cross_entropy_with_logits", SQ_BCE_WITH_LOGITS, NULL },
        { "smooth_l1_loss", SQ_SMOOTH_L1, "arguments.beta" },
        { "huber_loss", SQ_HUBER, "arguments.delta" }, { "l1_loss", SQ_L1, NULL },
    };
    sq_golden *golden = t->m->golden;
    const char *file = sq__golden_text(golden, "file", NULL);
    const char *how = sq__golden_text(golden, "reduction", sq__golden_text(golden, "arguments.reduction", "mean"));
    const bool fairseq = strstr(file, "label_smoothed_cross_entropy") != NULL, annotated = strstr(file, "annotated_transformer") != NULL;
    if (fairseq) read_entropy(t, "padding_index");
    else if (annotated) read_divergence(t);
    else if (strstr(file, "functional.cross_entropy")) read_entropy(t, "ignore_index");
    for (size_t i = 0; !t->loss && i < sizeof element / sizeof *element; i++)
        if (strstr(file, element[i].file)) read_regression(t, element[i].kind, element[i].parameter);
    if (!t->loss) sq__golden_skip(golden, "loss '%.60s' is unknown to this build", file);
    if (fairseq || annotated || strcmp(how, "sum") == 0) return SUM;
    if (strcmp(how, "none") == 0) return NONE;
    if (strcmp(how, "mean") != 0) sq__golden_skip(golden, "reduction '%.30s' is unknown to this build", how);
    return MEAN;
}

/* ---- running ---- */

static void run_whole(task *t, bool sum)
{
    sq_module *m = t->m;
    sq_golden *golden = m->golden;
    sq_var *x = sq__module_input(m, t->input, t->rank, t->shape);
    if (!x) return;
    if (sq__golden_has(golden, "nll")) {   /* fairseq stores the loss without smoothing beside the other */
        task plain = *t;
        plain.entropy.label_smoothing = 0;
        sq_var *nll = plain.loss(&plain, x, 0, sum);
        if (sq__module_going(m)) sq__golden_compare(golden, "nll", nll->value, 1);
    }
    sq_var *loss = t->loss(t, x, 0, sum);
    if (!sq__module_going(m)) return;
    sq__golden_compare(golden, "loss", loss->value, 1);
    sq__module_backward(m, loss, NULL);
}

/* No reduction: a loss for every row; what is differentiated is sum(loss * g). */
static void run_rows(task *t)
{
    sq_module *m = t->m;
    sq_golden *golden = m->golden;
    const bool backward = sq__golden_has(golden, "g");
    const float *g = backward ? sq__golden_floats(golden, "g", t->width > 1 ? 1 : t->rank, t->shape) : NULL;
    float *losses = sq__golden_room(golden, t->count), *gradient = sq__golden_room(golden, t->count * t->width);
    sq_var **x = sq__golden_memory(golden, t->count, sizeof *x), *total = NULL;
    for (int64_t i = 0; sq__module_going(m) && i < t->count; i++) {
        x[i] = sq__module_values(m, SQ_SHAPE(1, t->width), t->values + i * t->width, true);
        sq_var *loss = t->loss(t, x[i], i, true);
        if (!sq__module_going(m)) return;
        losses[i] = loss->value[0];
        sq_var *term = backward ? sq__scale(m->tape, loss, g[i]) : NULL;
        total = total ? sq__add(m->tape, total, term) : term;
    }
    sq__golden_compare(golden, "loss", losses, t->count);
    if (!backward) return;
    sq__module_backward(m, total, NULL);
    for (int64_t i = 0; sq__golden_going(golden) && i < t->count; i++)
        if (x[i]->gradient) memcpy(gradient + i * t->width, x[i]->gradient, (size_t)t->width * sizeof(float));
    sq__golden_compare(golden, t->width > 1 ? "grad.logits" : "grad.input", gradient, t->count * t->width);
}

void sq__family_loss(sq_golden *golden)
{
    sq_module module;
    task t = { .m = &module };
    if (!sq__module_open(&module, golden)) return;
    const reduction how = read_task(&t);
    if (sq__golden_going(golden)) {
        if (how == NONE) run_rows(&t);
        else run_whole(&t, how == SUM);
    }
    sq__module_close(&module);
}
