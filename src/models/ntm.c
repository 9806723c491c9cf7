/* Neural Turing Machine (nn/ntm.h): ntm.controller.K.{weight_ih,weight_hh,bias_ih,bias_hh}, ntm.heads.{weight,bias}, ntm.initial.{memory,
 * weights,reads,hidden,cell}. A row is what the controller gives and what the heads read. Carried: ntm.memory [slot_size, slots],
 * ntm.weights [heads, slots], ntm.reads [read heads, slot_size] and, of an LSTM controller, ntm.K.hidden and ntm.K.cell. */
#include "models/backbone.h"
#include "nn/ntm.h"

enum { LSTM, FEED_FORWARD, MOST_SLOTS = 3 + 2 * SQ_NTM_LAYERS };
static const char *const controllers[] = { "lstm", "feed-forward", NULL };
static const char *const memories[] = { "constant", "random", "learned", NULL };    /* sq_ntm_memory */
static const char *const weightings[] = { "first", "nowhere", "learned", NULL };    /* sq_ntm_weights */

typedef struct options {
    int64_t slots, slot_size, read_heads, write_heads, hidden, shift;
    int controller, initial_memory, initial_weights;
    bool squash;
} options;

static const sq_field fields[] = {
    SQ_INT(options, slots, "128", 1, 65536, "places of the memory"),
    SQ_INT(options, slot_size, "20", 1, 4096, "numbers in each"),
    SQ_INT(options, read_heads, "1", 1, SQ_NTM_HEADS, "heads that read"),
    SQ_INT(options, write_heads, "1", 1, SQ_NTM_HEADS, "heads that write"),
    SQ_INT(options, hidden, "0", 0, 65536, "units of the recurrent layers; 0: width"),
    SQ_CHOICE(options, controller, "lstm", controllers, "what rules the heads: `layers` LSTM or tanh layers, 1 or 2"),
    SQ_INT(options, shift, "1", 0, 64, "places that a head can move in a step, to either side"),
    SQ_CHOICE(options, initial_memory, "constant", memories, "what the memory holds at first: 1e-6 everywhere, or drawn, or trained"),
    SQ_CHOICE(options, initial_weights, "first", weightings, "where the heads stand at first: on the first slot, nowhere (zeros), or trained"),
    SQ_BOOL(options, squash, "true", "tanh on keys and on what is written"),
    SQ_FIELDS_END,
};

typedef struct ntm { sq_backbone base; sq_ntm_machine machine; int slots[MOST_SLOTS], slot_count; } ntm;

/* In the order of the operation's state. */
static sq_status add_slots(ntm *n, const sq_ntm_shape *s, sq_carry_layout *layout, sq_error *error)
{
    SQ_TRY(sq__carry_add(layout, "ntm", "memory", 2, (const int64_t[]){ s->slot_size, s->slots }, &n->slots[n->slot_count++], error));
    SQ_TRY(sq__carry_add(layout, "ntm", "weights", 2, (const int64_t[]){ s->read_heads + s->write_heads, s->slots }, &n->slots[n->slot_count++], error));
    SQ_TRY(sq__carry_add(layout, "ntm", "reads", 2, (const int64_t[]){ s->read_heads, s->slot_size }, &n->slots[n->slot_count++], error));
    for (int l = 0; s->recurrent && l < s->layers; l++) {
        char prefix[32];
        snprintf(prefix, sizeof prefix, "ntm.%d", l);
        SQ_TRY(sq__carry_add(layout, prefix, "hidden", 1, &s->hidden, &n->slots[n->slot_count++], error));
        SQ_TRY(sq__carry_add(layout, prefix, "cell", 1, &s->hidden, &n->slots[n->slot_count++], error));
    }
    return SQ_OK;
}

static sq_status create(sq_backbone **backbone, const sq_backbone_spec *spec, const void *config, sq_error *error)
{
    const options *o = config;
    const int64_t hidden = o->hidden ? o->hidden : spec->model->width;
    ntm *n = sq__alloc_zero(sizeof *n);
    if (!n) return sq__no_memory(error);
    *backbone = &n->base;
    n->base.row_width = hidden + o->read_heads * o->slot_size;
    if (spec->model->layers > SQ_NTM_LAYERS)
        return sq__fail(error, SQ_UNSUPPORTED, "ntm: %lld layers of the controller; expected 1 or 2", (long long)spec->model->layers);
    if (2 * o->shift + 1 > o->slots)
        return sq__fail(error, SQ_INVALID, "ntm: a shift of %lld to either side needs at least %lld slots", (long long)o->shift, (long long)(2 * o->shift + 1));
    const sq_ntm_config of = { .shape = { .slots = o->slots, .slot_size = o->slot_size, .hidden = hidden, .shift = o->shift,
                                          .layers = (int)spec->model->layers, .read_heads = (int)o->read_heads, .write_heads = (int)o->write_heads,
                                          .recurrent = o->controller == LSTM, .squash = o->squash },
                               .input = spec->model->width, .initial_memory = (sq_ntm_memory)o->initial_memory,
                               .initial_weights = (sq_ntm_weights)o->initial_weights };
    SQ_TRY(add_slots(n, &of.shape, spec->layout, error));
    return sq__ntm_create(&n->machine, spec->set, "ntm", &of, error);
}

static void destroy(sq_backbone *backbone) { sq__free(backbone); }

static sq_var *state_of(const ntm *n, sq_tape *tape, const sq_carry *carry)
{
    sq_var *parts[MOST_SLOTS];
    for (int i = 0; i < n->slot_count; i++) {
        sq_var *part = sq__carry_var(carry, n->slots[i], tape);
        parts[i] = part ? sq__reshape(tape, part, 2, (int64_t[]){ carry->B, part->count / carry->B }) : NULL;
    }
    return sq__concatenate(tape, parts, n->slot_count);
}

static sq_var *run(const sq_backbone *backbone, sq_tape *tape, sq_backbone_call *call)
{
    const ntm *n = (const ntm *)backbone;
    sq_carry *carry = call->carry;
    if (!carry) return sq__ntm_run(&n->machine, tape, call->x, call->lengths, NULL, NULL, NULL, NULL);
    sq_var *last, *rows = sq__ntm_run(&n->machine, tape, call->x, call->lengths, NULL, state_of(n, tape, carry), carry->seen, &last);
    int64_t from = 0;
    for (int i = 0; rows && i < n->slot_count; i++) {
        const int64_t count = carry->layout->slots[n->slots[i]].count;
        sq__carry_put(carry, n->slots[i], sq__slice(tape, last, from, count));
        from += count;
    }
    return rows;
}

const sq_backbone_kind sq__backbone_ntm = {
    .name = "ntm", .title = "Neural Turing Machine", .paper = "arXiv:1410.5401", .cost = "O(n (N M + H^2)) time, O(N M) state", .can = SQ_MODEL_STREAMS | SQ_MODEL_LAST,
    .config_size = sizeof(options), .fields = fields, .create = create, .destroy = destroy, .run = run,
};
