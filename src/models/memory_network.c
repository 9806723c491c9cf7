/* End-to-end memory network (nn/memory_network.h): memory.map.K.weight, memory.time.K, memory.hop.weight, memory.question. Gives one row
 * for a sequence: the question, the last sentence, after its hops over the sentences before it. */
#include <math.h>

#include "models/backbone.h"
#include "nn/memory_network.h"

static const char *const tyings[] = { "adjacent", "layer-wise", NULL };
static const char *const questions[] = { "last", "learned", NULL };
static const char *const encodings[] = { "bag", "position", "authors", NULL };   /* sq_memory_encoding */

typedef struct options {
    int64_t hops, sentence, memory;
    int tying, question, encoding;
    bool time, relu;
    double noise;
} options;

static const sq_field fields[] = {
    SQ_INT(options, hops, "3", 1, SQ_MEMORY_HOPS, "times that the memory is read"),
    SQ_CHOICE(options, tying, "adjacent", tyings, "what hops share: values of one are keys of the next, or all of them with a map between hops"),
    SQ_CHOICE(options, question, "last", questions, "what is asked: the last sentence, or a trained vector, the same for all"),
    SQ_INT(options, sentence, "1", 1, 4096, "events that make a sentence, which is one memory"),
    SQ_CHOICE(options, encoding, "position", encodings,
              "words of a sentence: added up, or weighted by their place as in the paper, or as in its authors' code"),
    SQ_INT(options, memory, "0", 0, 1 << 20, "latest rows of memory that are kept; 0: all"),
    SQ_BOOL(options, time, "true", "a trained vector per age of a sentence, added to it"),
    SQ_FLOAT(options, noise, "0.1", 0, 0.9, "share of empty memories put in between while training"),
    SQ_BOOL(options, relu, "false", "ReLU after each hop"),
    SQ_FIELDS_END,
};

typedef struct memory_network { sq_backbone base; sq_memory_network network; } memory_network;

static sq_status create(sq_backbone **backbone, const sq_backbone_spec *spec, const void *config, sq_error *error)
{
    const options *o = config;
    const int64_t sentences = (spec->max_length + o->sentence - 1) / o->sentence, all = (int64_t)ceil((double)sentences * (1 + o->noise));
    memory_network *m = sq__alloc_zero(sizeof *m);
    if (!m) return sq__no_memory(error);
    *backbone = &m->base;
    m->base.row_width = spec->model->width;
    const sq_memory_config of = { .input = spec->model->width, .width = spec->model->width, .memories = o->memory ? o->memory : all,
                                  .sentence = o->sentence, .hops = (int)o->hops, .layerwise = o->tying == 1, .relu = o->relu,
                                  .learned_question = o->question == 1, .time = o->time, .encoding = (sq_memory_encoding)o->encoding, .noise = (float)o->noise,
                                  .threads = spec->threads };
    return sq__memory_network_create(&m->network, spec->set, "memory", &of, error);
}

static void destroy(sq_backbone *backbone)
{
    sq__memory_network_clear(&((memory_network *)backbone)->network);
    sq__free(backbone);
}

static sq_var *run(const sq_backbone *backbone, sq_tape *tape, sq_backbone_call *call)
{
    const memory_network *m = (const memory_network *)backbone;
    sq_var *u = sq__memory_network_run(&m->network, tape, call->x, call->lengths);
    return u ? sq__reshape(tape, u, 3, (int64_t[]){ u->shape[0], 1, u->shape[1] }) : NULL;
}

const sq_backbone_kind sq__backbone_memory_network = {
    .name = "memory-network", .title = "End-to-end memory network", .paper = "arXiv:1503.08895", .cost = "O(hops n d) time",
    .can = SQ_MODEL_UNALIGNED, .config_size = sizeof(options), .fields = fields, .create = create, .destroy = destroy, .run = run,
};
