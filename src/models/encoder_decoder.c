/* Encoder-decoder Transformer (arXiv:1706.03762): the events are the source, over any mechanism of the registry; what is asked is the target.
 *   one answer per client       the decoder sees the word `begin` and the source's rows
 *   a class of events           the asked classes in order, each after those before it: the true ones in training (teacher forcing), its own
 *                               otherwise, greedily or by the best of a beam (nn/search.h). A sequence of which nothing is asked is asked
 *                               about every event
 * O(N + M) rows in training; decoding an answer of M classes keeps keys and values (nn/decoding.h).
 * An event's outputs are the logits behind the answer so far. Where the best sequence has another class there than the likeliest, these two
 * logits change places, so that the largest is the answer.
 * Parameters: encoder.* (nn/stack.h), decoder.* (nn/decoder.h). */
#include <string.h>

#include "attention/kind.h"
#include "data/dataset.h"
#include "models/catalogue.h"
#include "models/encoder.h"
#include "models/events.h"
#include "nn/decoding.h"
#include "nn/search.h"

typedef struct options {
    char encoder[SQ_TEXT_FIELD_SIZE], encoder_options[SQ_TEXT_FIELD_SIZE];
    int64_t decoder_layers, beam;
} options;

static const sq_field fields[] = {
    SQ_TEXT(options, encoder, "softmax", "mechanism of the encoder"),
    SQ_TEXT(options, encoder_options, "", "its options: name=value, with commas between"),
    SQ_INT(options, decoder_layers, "0", 0, 1000, "layers of the decoder; 0: as many as the encoder's"),
    SQ_INT(options, beam, "1", 1, 4096, "sequences that decoding follows at once; 1: greedy"),
    SQ_FIELDS_END
};

enum { MOST_OPTIONS = 32 };

typedef struct encoder_decoder {
    sq_backbone base;
    sq_stack encoder;
    sq_decoder decoder;
    int64_t classes, beam;
} encoder_decoder;

/* ---- creation ---- */

/* "window=64, block=32" in place; count: of them */
static sq_status split(char *text, sq_option *out, int *count, sq_error *error)
{
    *count = 0;
    for (char *at = text, *end; *at; at = end) {
        while (*at == ' ' || *at == ',') at++;
        end = at + strcspn(at, ",");
        if (!*at) break;
        if (*end) *end++ = '\0';
        char *equals = strchr(at, '=');
        if (!equals || equals == at || *count == MOST_OPTIONS) return sq__fail(error, SQ_INVALID, "encoder_options: '%s' is no name=value", at);
        *equals = '\0';
        out[(*count)++] = (sq_option){ at, equals + 1 };
    }
    return SQ_OK;
}

static sq_status check(const sq_backbone_spec *spec, const options *o, sq_error *error)
{
    if (spec->target == SQ_TARGET_EVENT_BITS) return sq__fail(error, SQ_UNSUPPORTED, "encoder-decoder answers with classes, one after another, and the target is bits");
    if (spec->next) return sq__fail(error, SQ_UNSUPPORTED, "encoder-decoder sees all events, and the next one is asked");
    return sq__name_check("attention", o->encoder, NULL, error);
}

static sq_status create_encoder(encoder_decoder *e, const sq_backbone_spec *spec, const options *o, sq_error *error)
{
    sq_option given[MOST_OPTIONS];
    char text[SQ_TEXT_FIELD_SIZE];
    sq_model_config model = *spec->model;
    sq_backbone_spec of = *spec;
    memcpy(text, o->encoder_options, sizeof text);
    SQ_TRY(split(text, given, &of.option_count, error));
    of.model = &model;
    of.mechanism = o->encoder;
    of.options = given;
    model.causal |= (sq__attention_kind(o->encoder)->can & SQ_CAUSAL_ONLY) != 0;
    const sq_stack_config stack = sq__encoder_stack(&of);
    return sq__stack_create(&e->encoder, spec->set, "encoder", &stack, error);
}

static sq_status create(sq_backbone **backbone, const sq_backbone_spec *spec, const void *config, sq_error *error)
{
    const options *o = config;
    const sq_model_config *c = spec->model;
    encoder_decoder *e = sq__alloc_zero(sizeof *e);
    if (!e) return sq__no_memory(error);
    *backbone = &e->base;
    e->base.row_width = c->width;
    e->classes = spec->classes > 0 ? spec->classes : 0;
    e->beam = o->beam;
    SQ_TRY(check(spec, o, error));
    SQ_TRY(create_encoder(e, spec, o, error));
    const sq_transformer_config *layer = &e->encoder.config.layer;
    return sq__decoder_create(&e->decoder, spec->set, "decoder", &(sq_decoder_config){
        .words = e->classes + 1, .longest = spec->target == SQ_TARGET_EVENT_CLASS ? spec->max_length : 1, .longest_source = spec->max_length, .width = c->width,
        .memory_width = sq__stack_width(&e->encoder.config), .heads = c->heads, .feed_forward = layer->feed_forward,
        .layers = (int)(o->decoder_layers ? o->decoder_layers : c->layers), .learned_positions = c->positions == SQ_POSITIONS_LEARNED,
        .pre_norm = layer->pre_norm, .activation = layer->activation, .dropout = layer->dropout, .embedding_dropout = (float)c->embedding_dropout,
        .eps = layer->eps, .threads = spec->threads }, error);
}

static void destroy(sq_backbone *backbone)
{
    encoder_decoder *e = (encoder_decoder *)backbone;
    sq__stack_clear(&e->encoder);
    sq__decoder_clear(&e->decoder);
    sq__free(e);
}

static sq_status redraw(sq_backbone *backbone, uint64_t draw, sq_error *error)
{
    encoder_decoder *e = (encoder_decoder *)backbone;
    return sq__stack_redraw(&e->encoder, draw, error);
}

/* ---- running ---- */

/* The source's rows. */
static sq_var *run(const sq_backbone *backbone, sq_tape *tape, sq_backbone_call *call)
{
    const encoder_decoder *e = (const encoder_decoder *)backbone;
    return sq__stack_run(&e->encoder, tape, &(sq_transformer_inputs){ .x = call->x, .lengths = call->lengths, .auxiliary = call->auxiliary }, call->scope);
}

/* What is asked of a batch. Answer i of sequence b is of event place[b*T + i]. */
typedef struct asking { int64_t B, T, longest; int32_t *counts, *place, *answers; } asking;

static bool read_asking(sq_tape *tape, const sq_backbone_call *call, asking *a)
{
    const bool teach = sq__tape_training(tape);
    a->counts = sq__tape_memory(tape, (size_t)a->B * sizeof *a->counts);
    a->place = sq__tape_memory(tape, (size_t)(a->B * a->T) * sizeof *a->place);
    if (!a->counts || !a->place) return false;
    for (int64_t b = 0; b < a->B; b++) {
        const int32_t *labels = call->asked + b * a->T;
        int32_t *places = a->place + b * a->T;
        a->counts[b] = 0;
        for (int32_t t = 0; t < call->lengths[b]; t++)
            if (labels[t] != SQ_NOT_ASKED) places[a->counts[b]++] = t;
        for (int32_t t = 0; a->counts[b] == 0 && !teach && t < call->lengths[b]; t++) places[t] = t;
        if (a->counts[b] == 0 && !teach) a->counts[b] = call->lengths[b];
        if (a->counts[b] > a->longest) a->longest = a->counts[b];
    }
    a->answers = sq__tape_memory(tape, (size_t)(a->B * a->longest) * sizeof *a->answers);
    return a->answers != NULL;
}

typedef struct speaking { sq_decoding *decoding; const sq_linear *head; } speaking;

static sq_status speak(void *context, const int32_t *tokens, const int32_t *parents, const float **logits, sq_error *error)
{
    const speaking *s = context;
    sq_tape *tape = sq__decoding_tape(s->decoding);
    const sq_var *out = sq__linear_run(s->head, tape, sq__decoding_step(s->decoding, tokens, parents));
    if (out) *logits = out->value;
    return sq__tape_status(tape, error);
}

/* The model's own answers. */
static sq_status search(const encoder_decoder *e, sq_tape *tape, const sq_backbone_call *call, const sq_var *rows, asking *a, sq_error *error)
{
    int32_t *counts = sq__tape_memory(tape, (size_t)a->B * sizeof *counts);
    speaking s = { NULL, call->head };
    const sq_decoding_spec spec = { &e->decoder, a->B, a->T, e->beam, a->longest, rows->value, call->lengths };
    if (!counts) return sq__tape_status(tape, error);
    sq_status status = sq__decoding_create(&s.decoding, &spec, error);
    if (status == SQ_OK)
        status = sq__search(&(sq_search){ .B = a->B, .beam = e->beam, .words = e->classes, .longest = a->longest, .begin = (int32_t)e->classes, .end = -1,
                            .lengths = a->counts, .step = speak, .context = &s }, a->answers, counts, NULL, error);
    sq__decoding_destroy(&s.decoding);
    return status;
}

static bool answer(const encoder_decoder *e, sq_tape *tape, const sq_backbone_call *call, const sq_var *rows, asking *a)
{
    sq_error error;
    if (!sq__tape_training(tape)) {
        if (search(e, tape, call, rows, a, &error) != SQ_OK) sq__tape_fail(tape, &error);
        return sq__tape_status(tape, NULL) == SQ_OK;
    }
    for (int64_t b = 0; b < a->B; b++)
        for (int32_t i = 0; i < a->counts[b]; i++) a->answers[b * a->longest + i] = call->asked[b * a->T + a->place[b * a->T + i]];
    return true;
}

/* Rows [B, longest, width] behind `begin` and all answers but the last. */
static sq_var *say(const encoder_decoder *e, sq_tape *tape, const sq_backbone_call *call, sq_var *rows, const asking *a)
{
    int32_t *tokens = sq__tape_memory(tape, (size_t)(a->B * a->longest) * sizeof *tokens);
    if (!tokens) return NULL;
    for (int64_t i = 0; i < a->B * a->longest; i++) {
        const int64_t at = i % a->longest;
        tokens[i] = at >= a->counts[i / a->longest] ? -1 : at == 0 ? (int32_t)e->classes : a->answers[i - 1];
    }
    return sq__decoder_run(&e->decoder, tape, &(sq_decoder_inputs){ .B = a->B, .T = a->longest, .tokens = tokens, .lengths = a->counts, .memory = rows,
                           .memory_lengths = call->lengths });
}

/* Each said row to the place of its event; no row elsewhere. */
static sq_var *spread(sq_tape *tape, sq_var *said, const asking *a)
{
    int32_t *ids = sq__tape_memory(tape, (size_t)(a->B * a->T) * sizeof *ids);
    if (!ids || !said) return NULL;
    memset(ids, -1, (size_t)(a->B * a->T) * sizeof *ids);
    for (int64_t b = 0; b < a->B; b++)
        for (int32_t i = 0; i < a->counts[b]; i++) ids[b * a->T + a->place[b * a->T + i]] = (int32_t)(b * a->longest + i);
    sq_var *flat = sq__reshape(tape, said, 2, (const int64_t[]){ a->B * a->longest, said->shape[2] });
    return sq__embedding(tape, flat, ids, 1, (const int64_t[]){ a->B * a->T });
}

/* Of inference: the answer has the largest logit. */
static void settle(const encoder_decoder *e, sq_var *logits, const asking *a)
{
    for (int64_t b = 0; b < a->B; b++)
        for (int32_t i = 0; i < a->counts[b]; i++) {
            float *row = logits->value + (b * a->T + a->place[b * a->T + i]) * e->classes;
            const int32_t said = a->answers[b * a->longest + i];
            int64_t most = 0;
            for (int64_t c = 1; c < e->classes; c++) most = row[c] > row[most] ? c : most;
            const float kept = row[most];
            row[most] = row[said];
            row[said] = kept;
        }
}

static sq_var *decode_events(const encoder_decoder *e, sq_tape *tape, const sq_backbone_call *call, sq_var *rows)
{
    asking a = { .B = rows->shape[0], .T = rows->shape[1] };
    if (!read_asking(tape, call, &a)) return NULL;
    if (a.longest == 0) {   /* nothing is asked of the whole batch */
        float *zeros = sq__tape_memory(tape, (size_t)(a.B * a.T * e->classes) * sizeof *zeros);
        if (!zeros) return NULL;
        memset(zeros, 0, (size_t)(a.B * a.T * e->classes) * sizeof *zeros);
        return sq__tape_input(tape, 2, (const int64_t[]){ a.B * a.T, e->classes }, zeros, false);
    }
    if (!answer(e, tape, call, rows, &a)) return NULL;
    sq_var *logits = sq__linear_run(call->head, tape, spread(tape, say(e, tape, call, rows, &a), &a));
    if (logits && !sq__tape_training(tape)) settle(e, logits, &a);
    return logits;
}

static sq_var *decode(const sq_backbone *backbone, sq_tape *tape, const sq_backbone_call *call, sq_var *rows)
{
    const encoder_decoder *e = (const encoder_decoder *)backbone;
    if (call->asked) return decode_events(e, tape, call, rows);
    const int64_t B = rows->shape[0];
    asking one = { .B = B, .longest = 1, .counts = sq__tape_memory(tape, (size_t)B * sizeof *one.counts) };
    for (int64_t b = 0; one.counts && b < B; b++) one.counts[b] = 1;
    sq_var *out = one.counts ? sq__linear_run(call->head, tape, say(e, tape, call, rows, &one)) : NULL;
    return out ? sq__reshape(tape, out, 2, (const int64_t[]){ B, out->shape[2] }) : NULL;
}

const sq_backbone_kind sq__backbone_encoder_decoder = {
    .name = "encoder-decoder", .title = "Encoder-decoder Transformer", .paper = "arXiv:1706.03762", .cost = "its attention's, O(m (m + n)) time of m answers",
    .can = SQ_MODEL_POSITIONS, .config_size = sizeof(options), .fields = fields, .create = create, .destroy = destroy, .run = run, .decode = decode,
    .redraw = redraw,
};
