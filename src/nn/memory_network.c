#include "nn/memory_network.h"

#include <math.h>
#include <string.h>

#include "nn/layers.h"

void sq__memory_positions(float *l, sq_memory_encoding encoding, int64_t J, int64_t d)
{
    for (int64_t p = 0; p < J; p++)
        for (int64_t q = 0; q < d; q++) {
            const double j = (double)(p + 1), k = (double)(q + 1), words = (double)J, width = (double)d;
            const double paper = (1 - j / words) - k / width * (1 - 2 * j / words);
            const double authors = 1 + 4 * (k - (width + 1) / 2) * (j - (words + 1) / 2) / (width * words);
            l[p * d + q] = encoding == SQ_MEMORY_BAG ? 1 : (float)(encoding == SQ_MEMORY_PAPER ? paper : authors);
        }
}

/* ---- the parts ---- */

sq_status sq__memory_reader(sq_plans *plans, int64_t width, int64_t values, int64_t memories, int threads, sq_error *error)
{
    return sq__plans_create(plans, &(sq_attention_desc){ .mechanism = "softmax", .B = 1, .H = 1, .T = 1, .N = memories, .D = width, .M = values,
                                                         .max_length = memories, .lengths = true, .scale = 1, .threads = threads }, error);
}

sq_var *sq__memory_read(sq_plans *reader, sq_tape *tape, sq_var *u, sq_var *keys, sq_var *values, const int32_t *lengths)
{
    const sq_attention *plan;
    sq_error error;
    if (!u || !keys || !values) return NULL;
    const int64_t B = u->shape[0];
    if (sq__plans_get(reader, B, 1, keys->shape[1], &plan, &error) != SQ_OK) {
        sq__tape_fail(tape, &error);
        return NULL;
    }
    sq_var *query = sq__reshape(tape, u, 3, (int64_t[]){ B, 1, u->shape[1] });
    sq_var *read = query ? sq__attention(tape, plan, &(sq_attention_inputs){ .q = query, .k = keys, .v = values, .lengths = lengths }) : NULL;
    return read ? sq__reshape(tape, read, 2, (int64_t[]){ B, values->shape[2] }) : NULL;
}

sq_var *sq__memory_answer(sq_tape *tape, sq_var *u, sq_var *read, sq_var *map, bool relu)
{
    if (!u || !read) return NULL;
    sq_var *next = map ? sq__linear_residual(tape, u, map, NULL, 0, read) : sq__add(tape, u, read);
    return relu ? sq__activate(tape, next, SQ_RELU) : next;
}

sq_var *sq__memory_sentences(sq_tape *tape, sq_var *words, sq_var *l)
{
    if (!words) return NULL;
    const int64_t B = words->shape[0], S = words->shape[1], J = words->shape[2], d = words->shape[3];
    if (l) words = sq__multiply(tape, words, l);
    if (J > 1 && words) {
        words = sq__reshape(tape, words, 3, (int64_t[]){ B * S, J, d });
        words = sq__scale(tape, sq__pool(tape, words, NULL, SQ_POOL_MEAN), (float)J);
    }
    return words ? sq__reshape(tape, words, 3, (int64_t[]){ B, S, d }) : NULL;
}

/* ---- over events ---- */

/* Standard deviation of what is added by age, as the paper draws its embeddings. */
static const float time_deviation = 0.1f;

static sq_status create_maps(sq_memory_network *n, const char *prefix, sq_error *error)
{
    const sq_memory_config *c = &n->config;
    const int timed = c->layerwise ? 2 : c->hops + 1;
    n->map_count = c->layerwise ? 2 + !c->learned_question : c->hops + 1;
    for (int k = 0; k < n->map_count; k++) {
        char name[96];
        sq_linear map;
        snprintf(name, sizeof name, "%.64s.map.%d", prefix, k);
        SQ_TRY(sq__linear_create(&map, n->set, name, c->input, c->width, false, error));
        n->maps[k] = map.weight;
        n->times[k] = -1;
        if (!c->time || k >= timed) continue;
        snprintf(name, sizeof name, "time.%d", k);
        SQ_TRY(sq__parameters_add(n->set, &(sq_parameter_spec){ .prefix = prefix, .name = name, .rank = 2, .shape = { c->memories, c->width },
                                                                .initial = SQ_INITIAL_NORMAL, .scale = time_deviation }, &n->times[k], error));
    }
    return SQ_OK;
}

sq_status sq__memory_network_create(sq_memory_network *network, sq_parameters *set, const char *prefix, const sq_memory_config *config, sq_error *error)
{
    const int64_t d = config->width;
    *network = (sq_memory_network){ .set = set, .config = *config, .hop = -1, .question = -1, .positions = -1 };
    if (config->hops < 1 || config->hops > SQ_MEMORY_HOPS)
        return sq__fail(error, SQ_INVALID, "memory-network: %d hops; expected 1 to %d", config->hops, SQ_MEMORY_HOPS);
    network->reader = sq__alloc_zero(sizeof *network->reader);
    if (!network->reader) return sq__no_memory(error);
    SQ_TRY(sq__memory_reader(network->reader, d, d, config->memories, config->threads, error));
    SQ_TRY(create_maps(network, prefix, error));
    if (config->layerwise) {
        sq_linear hop;
        char name[96];
        snprintf(name, sizeof name, "%.64s.hop", prefix);
        SQ_TRY(sq__linear_create(&hop, set, name, d, d, false, error));
        network->hop = hop.weight;
    }
    if (config->learned_question)
        SQ_TRY(sq__parameters_add(set, &(sq_parameter_spec){ .prefix = prefix, .name = "question", .rank = 1, .shape = { d }, .initial = SQ_INITIAL_NORMAL,
                                                             .scale = time_deviation }, &network->question, error));
    if (config->sentence == 1 || config->encoding == SQ_MEMORY_BAG) return SQ_OK;
    SQ_TRY(sq__parameters_add(set, &(sq_parameter_spec){ .prefix = prefix, .name = "positions", .rank = 2, .shape = { config->sentence, d }, .frozen = true },
                              &network->positions, error));
    sq__memory_positions(set->items[network->positions].value, config->encoding, config->sentence, d);
    return SQ_OK;
}

void sq__memory_network_clear(sq_memory_network *network)
{
    if (network->reader) sq__plans_clear(network->reader);
    sq__free(network->reader);
    network->reader = NULL;
}

/* Where the words of each sentence are: question [B, J] and memories [B, S, J], newest first, as rows of x, -1 where there is none; and how
 * many memories each sequence has. S: the most of them, at least 1. */
typedef struct places { int32_t *question, *words, *count; int64_t S; } places;

static int64_t sentences_of(const sq_memory_config *c, int64_t length)
{
    const int64_t left = length - (c->learned_question ? 0 : c->sentence);
    return left > 0 ? (left + c->sentence - 1) / c->sentence : 0;
}

/* [B, memories]: 0 where a memory is empty. Dropout draws it, which rests outside of training. NULL: none are. */
static const float *draw_empty(const sq_memory_config *c, sq_tape *tape, int64_t B)
{
    const int64_t count = B * c->memories;
    float *ones = c->noise > 0 ? sq__tape_memory(tape, (size_t)count * sizeof *ones) : NULL;
    for (int64_t i = 0; ones && i < count; i++) ones[i] = 1;
    const sq_var *drawn = ones ? sq__dropout(tape, sq__tape_input(tape, 1, &count, ones, false), c->noise) : NULL;
    return drawn ? drawn->value : NULL;
}

/* The sentence that memory s of a sequence holds, counted from the newest, -1 when it is empty, given that `next` came before it. */
static int64_t next_sentence(const float *drawn, int64_t s, int64_t *next) { return drawn && drawn[s] == 0 ? -1 : (*next)++; }

static int64_t memories_of(const sq_memory_config *c, int64_t length, const float *drawn)
{
    const int64_t sentences = sentences_of(c, length);
    int64_t s = 0;
    for (int64_t next = 0; next < sentences && s < c->memories; s++) next_sentence(drawn, s, &next);
    return s;
}

/* The J rows of sequence b that end before row `end`, in order. */
static void put_sentence(int32_t *to, int64_t b, int64_t T, int64_t end, int64_t J)
{
    for (int64_t j = 0; j < J; j++) {
        const int64_t t = end - J + j;
        to[j] = t >= 0 ? (int32_t)(b * T + t) : -1;
    }
}

static bool find_places(const sq_memory_config *c, sq_tape *tape, int64_t B, int64_t T, const int32_t *lengths, places *p)
{
    const int64_t J = c->sentence;
    const float *drawn = draw_empty(c, tape, B);
    p->S = 1;
    p->question = sq__tape_memory(tape, (size_t)(B * J) * sizeof(int32_t));
    p->count = sq__tape_memory(tape, (size_t)B * sizeof(int32_t));
    if (!p->question || !p->count) return false;
    for (int64_t b = 0; b < B; b++) {
        const int64_t length = lengths ? lengths[b] : T;
        p->count[b] = (int32_t)memories_of(c, length, drawn ? drawn + b * c->memories : NULL);
        if (p->count[b] > p->S) p->S = p->count[b];
        put_sentence(p->question + b * J, b, T, length, J);
    }
    p->words = sq__tape_memory(tape, (size_t)(B * p->S * J) * sizeof(int32_t));
    if (!p->words) return false;
    for (int64_t b = 0; b < B; b++) {
        const int64_t length = lengths ? lengths[b] : T, end = c->learned_question ? length : length - J;
        int64_t next = 0;
        for (int64_t s = 0; s < p->S; s++) {
            const int64_t sentence = s < p->count[b] ? next_sentence(drawn ? drawn + b * c->memories : NULL, s, &next) : -1;
            put_sentence(p->words + (b * p->S + s) * J, b, T, sentence < 0 ? 0 : end - sentence * J, J);
        }
    }
    return true;
}

/* Rows of a map of all events -> sentences [B,S,d], newest first, with their age. */
static sq_var *sentences(const sq_memory_network *n, sq_tape *tape, sq_var *mapped, const int32_t *ids, int64_t B, int64_t S, int time)
{
    const int64_t d = n->config.width, J = n->config.sentence;
    sq_var *words = sq__embedding(tape, mapped, ids, 3, (int64_t[]){ B, S, J });
    sq_var *all = sq__memory_sentences(tape, words, sq__parameters_var(n->set, n->positions, tape));
    if (time < 0 || !all) return all;
    sq_var *ages = sq__slice(tape, sq__reshape(tape, sq__parameters_var(n->set, time, tape), 1, (int64_t[]){ n->config.memories * d }), 0, S * d);
    return ages ? sq__add(tape, all, sq__reshape(tape, ages, 2, (int64_t[]){ S, d })) : NULL;
}

static sq_var *question_of(const sq_memory_network *n, sq_tape *tape, sq_var *first, const places *p, int64_t B)
{
    const int64_t d = n->config.width;
    if (n->question < 0) {
        sq_var *asked = sentences(n, tape, first, p->question, B, 1, -1);
        return asked ? sq__reshape(tape, asked, 2, (int64_t[]){ B, d }) : NULL;
    }
    int32_t *zeros = sq__tape_memory(tape, (size_t)B * sizeof *zeros);
    if (!zeros) return NULL;
    memset(zeros, 0, (size_t)B * sizeof *zeros);
    sq_var *table = sq__reshape(tape, sq__parameters_var(n->set, n->question, tape), 2, (int64_t[]){ 1, d });
    return table ? sq__embedding(tape, table, zeros, 1, &B) : NULL;
}

sq_var *sq__memory_network_run(const sq_memory_network *n, sq_tape *tape, sq_var *x, const int32_t *lengths)
{
    const sq_memory_config *c = &n->config;
    sq_var *mapped[SQ_MEMORY_HOPS + 1], *memory[SQ_MEMORY_HOPS + 1];
    places p;
    if (!x) return NULL;
    const int64_t B = x->shape[0], T = x->shape[1];
    if (!find_places(c, tape, B, T, lengths, &p)) return NULL;
    sq_var *rows = sq__reshape(tape, x, 2, (int64_t[]){ B * T, c->input });
    for (int k = 0; k < n->map_count; k++) mapped[k] = rows ? sq__linear(tape, rows, sq__parameters_var(n->set, n->maps[k], tape), NULL) : NULL;
    const int memories = c->layerwise ? 2 : c->hops + 1;
    for (int k = 0; k < memories; k++) {
        if (!mapped[k]) return NULL;
        memory[k] = sentences(n, tape, mapped[k], p.words, B, p.S, n->times[k]);
    }
    sq_var *u = question_of(n, tape, mapped[c->layerwise ? n->map_count - 1 : 0], &p, B), *hop = sq__parameters_var(n->set, n->hop, tape);
    for (int k = 0; k < c->hops && u; k++) {
        const int from = c->layerwise ? 0 : k;
        u = sq__memory_answer(tape, u, sq__memory_read(n->reader, tape, u, memory[from], memory[from + 1], p.count), hop, c->relu);
    }
    return u;
}
