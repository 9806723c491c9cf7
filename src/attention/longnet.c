/* Dilated attention of LongNet, arXiv:2307.02486: pairs (segment w, dilation r); of every segment of w positions, head h keeps those whose
 * index in the segment is h modulo r, and lets them attend to each other.
 *   out = sum_p a_p O_p,  a_p = Z_p / sum_p' Z_p'        O_p, Z_p: output and softmax denominator of the position's softmax in pair p
 * which is one softmax over the keys of all pairs, a key as often as pairs list it. q [T,D]; k [N,D]; v [N,M]; out [T,M].
 * O(n sum_p w_p/r_p^2 (D+M)) time: linear with the fixed segments of `segments`. Memory grows with T only. A position that no pair keeps for
 * a head gives zeros; with a dilation of 1 among the pairs there is none.
 *
 * Conventions of microsoft/torchscale, which the paper's code comes from, as options:
 *   offsets group      head h keeps index floor(h / ceil(H / r)), the same for neighbouring heads; the paper has h modulo r
 *   mixture constant   no gradient flows through the weights a_p; trained: the gradient is that of the forward
 *   padding true       the last segment of every pair is filled up with keys of score 0 and value 0 (unless causal), which the paper's
 *                      equations do not have; segments are then at most the sequence
 * Departs from the paper: its default segments begin at 2048 (rates 1, 2, 4, 6, 12); the default here is its geometric series from 256. */
#include "attention/longnet.h"

#include <ctype.h>
#include <stdlib.h>

#include "attention/registry.h"
#include "base/status.h"

static const char *const offsets[] = { "head", "group", NULL }, *const mixtures[] = { "trained", "constant", NULL };

static const sq_field fields[] = {
    SQ_TEXT(sq_longnet_config, segments, "256,1024,4096,16384", "lengths of the segments, one for each pair"),
    SQ_TEXT(sq_longnet_config, dilations, "1,4,16,64", "step between the positions of a segment that are kept, one for each pair"),
    SQ_CHOICE(sq_longnet_config, offsets, "head", offsets, "first position kept: head number modulo the dilation, or the same for neighbouring heads"),
    SQ_CHOICE(sq_longnet_config, mixture, "trained", mixtures, "whether the gradient goes through the weights of the pairs"),
    SQ_BOOL(sq_longnet_config, padding, "false", "let the zeros that fill up the last segment be seen"),
    SQ_FIELDS_END
};

/* Numbers with commas between them; -1: anything else, or more than there is room for. */
static int read_list(const char *text, int64_t *values)
{
    for (int count = 0; count < SQ_GRID_PARTS; text++) {
        char *end;
        if (!isdigit((unsigned char)*text)) return -1;
        values[count] = strtoll(text, &end, 10);
        if (values[count] < 1 || values[count] > INT32_MAX) return -1;
        count++;
        text = end;
        if (!*text) return count;
        if (*text != ',') return -1;
    }
    return -1;
}

static sq_status validate(const void *options, const sq_problem *p, sq_error *error)
{
    const sq_longnet_config *config = options;
    int64_t segments[SQ_GRID_PARTS], dilations[SQ_GRID_PARTS];
    const int count = read_list(config->segments, segments), other = read_list(config->dilations, dilations);
    if (count < 0 || other < 0)
        return sq__fail(error, SQ_INVALID, "longnet: %s is '%.60s'; expected 1 to %d whole numbers with commas, such as 256,1024", count < 0 ? "segments" : "dilations",
                        count < 0 ? config->segments : config->dilations, SQ_GRID_PARTS);
    if (count != other) return sq__fail(error, SQ_INVALID, "longnet: %d segments and %d dilations; expected one dilation for each segment", count, other);
    if (config->padding && (p->mask || p->lengths || p->bias != SQ_BIAS_NONE))
        return sq__fail(error, SQ_UNSUPPORTED, "longnet: with 'padding' there are no %s; without it there are", p->mask ? "masks of pairs" : p->lengths ? "lengths" : "biases");
    return SQ_OK;
}

void sq__longnet_parts(const sq_pattern_at *at, sq_grid_parts *parts)
{
    const sq_longnet_config *config = at->config;
    const sq_problem *p = at->problem;
    int64_t segments[SQ_GRID_PARTS], dilations[SQ_GRID_PARTS], length = sq__grid_rows(p);
    const int count = read_list(config->segments, segments);
    const bool padded = config->padding && !p->causal && parts->N > 0;
    read_list(config->dilations, dilations);
    parts->count = count;
    for (int i = 0; i < count; i++) {
        sq_grid_part *part = &parts->part[i];
        *part = sq__grid_part();
        sq_grid_cut *cut = &part->cut[0];
        cut->block = padded && segments[i] > parts->N ? parts->N : segments[i];
        cut->step = dilations[i];
        cut->residue = config->offsets == SQ_LONGNET_BY_HEAD ? at->h % cut->step : at->h / ((p->H + cut->step - 1) / cut->step);
        part->keys_to = padded ? (parts->N + cut->block - 1) / cut->block * cut->block : 0;
        if (part->keys_to > length) length = part->keys_to;
    }
    parts->grid = (sq_grid){ .axes = 1, .size = { length } };
}

const sq_attention_kind sq__attention_longnet = {
    .name = "longnet", .title = "dilated attention in segments", .paper = "arXiv:2307.02486", .cost = "O(n sum of segment/dilation^2) time, O(n) memory",
    .can = SQ_CAN_CAUSAL | SQ_CAN_CROSS | SQ_CAN_LENGTHS | SQ_CAN_MASK | SQ_CAN_KEY_MASK | SQ_CAN_GROUPED | SQ_CAN_BIAS | SQ_CAN_ROTARY,
    .fields = fields, .config_size = sizeof(sq_longnet_config), .validate = validate, .sizes = sq__longnet_sizes, .flops = sq__longnet_flops,
    .forward = sq__longnet_forward, .backward = sq__longnet_backward,
};
