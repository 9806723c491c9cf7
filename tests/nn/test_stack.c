/* Stacks of layers that are kept, recomputed, reversible or one layer again and again: against one another, over mechanisms of every sort. */
#include "naive.h"
#include "nn/stack.h"

#include "autograd/node.h"

enum { B = 2, T = 19, E = 8, LAYERS = 3 };

static const int32_t lengths[B] = { 19, 11 };

typedef struct built { sq_parameters set; sq_stack stack; } built;

static sq_stack_config config_of(const char *mechanism, sq_stack_keeps keeps)
{
    return (sq_stack_config){ .layer = { .attention = { .mechanism = mechanism, .width = E, .heads = 2, .max_length = T, .lengths = true, .bias = true, .threads = 1, .seed = 4 },
                                         .feed_forward = 12, .activation = SQ_GELU, .pre_norm = true, .dropout = 0.2f, .eps = 1e-5f },
                              .layers = LAYERS, .keeps = keeps };
}

static void build(built *b, const sq_stack_config *config)
{
    sq_error error;
    *b = (built){ .set = { .seed = 3 } };
    assert_ok(sq__stack_create(&b->stack, &b->set, "encoder", config, &error), &error);
    shake(&b->set);
}

static void drop(built *b)
{
    sq__stack_clear(&b->stack);
    sq__parameters_clear(&b->set);
}

/* Draws are keyed by places on the tape. A stack that is recomputed or reversible takes one before what it runs, and sums regularisers
 * behind it; by hand that is done with places set right. */
typedef sq_var *run_fn(const built *b, sq_tape *tape, sq_var *x, sq_var **auxiliary);

static sq_var *as_made(const built *b, sq_tape *tape, sq_var *x, sq_var **auxiliary)
{
    return sq__stack_run(&b->stack, tape, &(sq_transformer_inputs){ .x = x, .lengths = lengths, .auxiliary = auxiliary }, sq__scope_begin(tape));
}

static sq_var *added(sq_tape *tape, sq_var *x, sq_var *y, bool takes_a_place)
{
    if (!x || !y) return x ? x : y;
    sq_var *sum = sq__add(tape, x, y);
    if (!takes_a_place) tape->places--;
    return sum;
}

/* Every layer kept. */
static sq_var *layer_by_layer(const built *b, sq_tape *tape, sq_var *x, sq_var **auxiliary)
{
    for (int i = 0; i < LAYERS; i++) {
        sq_var *term = NULL;
        tape->places++;
        x = sq__transformer_layer_run(&b->stack.layers[i], tape, &(sq_transformer_inputs){ .x = x, .lengths = lengths, .auxiliary = &term });
        *auxiliary = added(tape, *auxiliary, term, true);
    }
    return sq__norm_run(&b->stack.norm, tape, x);
}

/* Every part on two streams that the tape keeps. */
static sq_var *unrolled(const built *b, sq_tape *tape, sq_var *x, sq_var **auxiliary)
{
    sq_var *x1 = x, *x2 = x;
    tape->places++;
    for (int i = 0; i < LAYERS; i++) {
        const sq_transformer_layer *layer = &b->stack.layers[i];
        const float dropout = layer->config.dropout;
        sq_var *term = NULL;
        x1 = added(tape, x1, sq__attention_block_run(&layer->attention, tape, &(sq_attention_block_inputs){ .x = sq__norm_run(&layer->attention_norm, tape, x2),
                             .lengths = lengths, .query_lengths = lengths, .dropout = dropout, .auxiliary = &term }), false);
        *auxiliary = added(tape, *auxiliary, term, false);
        x2 = added(tape, x2, sq__feed_forward_run(&layer->feed_forward, tape, sq__norm_run(&layer->feed_forward_norm, tape, x1), dropout, NULL), false);
    }
    return sq__norm_run(&b->stack.norm, tape, sq__concatenate(tape, (sq_var *[]){ x1, x2 }, 2));
}

typedef struct outcome { float *out, *dx; int64_t count; float auxiliary; } outcome;

/* A training step of sum(out g) + auxiliary; gradients of parameters stay in the set. Rows beyond a length are rubbish: 0 here. */
static outcome step(const built *b, run_fn *run, const float *x)
{
    outcome o = { .dx = malloc(B * T * E * sizeof(float)) };
    sq_error error;
    sq_tape *tape = sq__tape_create(true);
    sq__tape_mode(tape, true, 9, 4);
    sq_var *in = sq__tape_input(tape, 3, (int64_t[]){ B, T, E }, x, true), *auxiliary = NULL;
    sq_var *out = run(b, tape, in, &auxiliary);
    assert_ok(sq__tape_status(tape, &error), &error);
    const int64_t width = out->shape[2];
    float *g = draw("g", out->count);
    o.count = out->count;
    o.out = malloc((size_t)o.count * sizeof(float));
    o.auxiliary = auxiliary->value[0];
    for (int64_t i = 0; i < o.count; i++) {
        const bool real = i / width % T < lengths[i / width / T];
        o.out[i] = real ? out->value[i] : 0;
        g[i] = real ? g[i] : 0;
    }
    sq_var *loss = sq__sum(tape, sq__multiply(tape, out, sq__tape_input(tape, 3, out->shape, g, false)));
    assert_ok(sq__tape_backward(tape, sq__add(tape, loss, auxiliary), NULL, &error), &error);
    memcpy(o.dx, in->gradient, B * T * E * sizeof(float));
    free(g);
    sq__tape_destroy(tape);
    return o;
}

static void forget(outcome *o)
{
    free(o->out);
    free(o->dx);
}

typedef struct distance { double most, scale; } distance;

static void compare(distance *d, const float *a, const float *b, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        d->most = fmax(d->most, fabs((double)a[i] - b[i]));
        d->scale = fmax(d->scale, fabs(b[i]));
    }
}

/* Largest difference of gradients over the largest gradient; values must be the same, moved or not. */
static double sets_apart(const sq_parameters *a, const sq_parameters *b)
{
    distance d = { 0, 0 };
    assert_int_equal(a->count, b->count);
    for (int i = 0; i < a->count; i++) {
        assert_memory_equal(a->items[i].value, b->items[i].value, (size_t)a->items[i].count * sizeof(float));
        if (a->items[i].trainable) compare(&d, a->items[i].gradient, b->items[i].gradient, a->items[i].count);
    }
    return d.most / d.scale;
}

static double rows_apart(const float *a, const float *b)
{
    distance d = { 0, 0 };
    compare(&d, a, b, B * T * E);
    return d.most / d.scale;
}

/* Of every sort: a regulariser, means that move with the data, noise and samples drawn while running, random features, further inputs. */
static const char *const mechanisms[] = { "softmax", "reformer", "routing", "performer", "linformer", "sinkhorn", "longformer", "synthesizer", "probsparse" };
enum { MECHANISMS = sizeof mechanisms / sizeof *mechanisms };

static void over_mechanisms(sq_stack_keeps keeps, run_fn *by_hand, double bound)
{
    float *x = draw("x", B * T * E);
    for (int i = 0; i < MECHANISMS; i++) {
        sq_stack_config config = config_of(mechanisms[i], keeps);
        const sq_option commitment = { "commitment", "0.5" };
        const bool routing = strcmp(mechanisms[i], "routing") == 0;
        built a, b;
        if (routing) config.layer.attention.options = &commitment, config.layer.attention.option_count = 1;
        build(&a, &config);
        build(&b, &config);
        outcome made = step(&a, as_made, x), hand = step(&b, by_hand, x);
        assert_memory_equal(made.out, hand.out, (size_t)made.count * sizeof(float));
        const double dx = rows_apart(made.dx, hand.dx), dw = sets_apart(&a.set, &b.set);
        print_message("%-12s dx %.1g, dw %.1g off; regulariser %.2g\n", mechanisms[i], dx, dw, (double)made.auxiliary);
        assert_true(dx <= bound && dw <= bound);
        assert_true(fabsf(made.auxiliary - hand.auxiliary) <= 1e-6f * fabsf(hand.auxiliary) && (made.auxiliary > 0) == routing);
        forget(&made);
        forget(&hand);
        drop(&a);
        drop(&b);
    }
    free(x);
}

/* The same bits. */
static void recomputed_is_kept(void **state)
{
    (void)state;
    over_mechanisms(SQ_STACK_RECOMPUTED, layer_by_layer, 0);
}

/* What is computed back is off by the rounding of sums: measured 5e-6 at most, of the largest gradient. */
static void reversible_is_unrolled(void **state)
{
    (void)state;
    over_mechanisms(SQ_STACK_REVERSIBLE, unrolled, 1e-5);
}

static void shared_layers_are_one(void **state)
{
    (void)state;
    float *x = draw("x", B * T * E);
    static const char *const some[] = { "softmax", "sparse-transformer", "linformer" };
    for (int i = 0; i < 3; i++)
        for (int keeps = SQ_STACK_KEPT; keeps <= SQ_STACK_REVERSIBLE; keeps++) {
            sq_stack_config config = config_of(some[i], (sq_stack_keeps)keeps), apart_ = config;
            built shared, copies;
            config.share = true;
            config.layer.dropout = apart_.layer.dropout = 0;
            build(&shared, &config);
            build(&copies, &apart_);
            for (int p = 0; p < copies.set.count; p++) {   /* layer I's from layer 0's */
                char name[96];
                snprintf(name, sizeof name, "%s", copies.set.items[p].name);
                if (strncmp(name, "encoder.norm", 12) != 0) name[8] = '0';
                memcpy(copies.set.items[p].value, sq__parameters_find(&shared.set, name)->value, (size_t)copies.set.items[p].count * sizeof(float));
            }
            outcome a = step(&shared, as_made, x), b = step(&copies, as_made, x);
            assert_memory_equal(a.out, b.out, (size_t)a.count * sizeof(float));
            assert_true(rows_apart(a.dx, b.dx) < 5e-6);
            for (int p = 0; p < shared.set.count; p++) {   /* its gradient is their sum */
                const sq_parameter *one = &shared.set.items[p];
                float *sum = calloc((size_t)one->count, sizeof *sum);
                for (int layer = 0; one->trainable && layer < LAYERS; layer++) {
                    char name[96];
                    snprintf(name, sizeof name, "%s", one->name);
                    if (strncmp(name, "encoder.norm", 12) != 0) name[8] = (char)('0' + layer);
                    else if (layer) break;
                    for (int64_t j = 0; j < one->count; j++) sum[j] += sq__parameters_find(&copies.set, name)->gradient[j];
                }
                for (int64_t j = 0; one->trainable && j < one->count; j++) assert_true(fabsf(sum[j] - one->gradient[j]) < 1e-4f);
                free(sum);
            }
            forget(&a);
            forget(&b);
            drop(&shared);
            drop(&copies);
        }
    free(x);
}

static void what_cannot_be(void **state)
{
    (void)state;
    sq_stack_config config = config_of("softmax", SQ_STACK_REVERSIBLE);
    sq_parameters set = { .seed = 1 };
    sq_stack stack;
    sq_error error;
    config.layer.pre_norm = false;
    assert_int_equal(sq__stack_create(&stack, &set, "encoder", &config, &error), SQ_UNSUPPORTED);
    assert_contains(error.message, "norm must be pre");
    sq__stack_clear(&stack);
    sq__parameters_clear(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recomputed_is_kept), cmocka_unit_test(reversible_is_unrolled), cmocka_unit_test(shared_layers_are_one), cmocka_unit_test(what_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
