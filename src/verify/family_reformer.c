/* reformer_lsh: two public implementations on a shared query-key; which rules are whose is said in attention/reformer.c. */
#include <stdlib.h>
#include <string.h>

#include "attention/engine/rotation.h"
#include "verify/core.h"
#include "verify/families.h"

enum { MOST_BUCKETS = 65536, MOST_ROUNDS = 64 };   /* as the mechanism has them */

typedef struct shape { int64_t entries, heads, N, D; bool lucidrains; } shape;

/* [B,H,N,D], or [BH,N,D]: heads with a rotation each, or entries with the same. */
static shape shape_of(sq_golden *golden, bool lucidrains, bool per_head)
{
    const int rank = lucidrains ? 3 : 4;
    const sq_st_tensor *qk = sq__golden_tensor(golden, "qk", rank, (const int64_t[]){ SQ_ANY, SQ_ANY, SQ_ANY, SQ_ANY });
    shape s = { .lucidrains = lucidrains };
    if (!qk) return s;
    s.entries = lucidrains && per_head ? 1 : qk->shape[0], s.heads = lucidrains && !per_head ? 1 : qk->shape[rank - 3], s.N = qk->shape[rank - 2], s.D = qk->shape[rank - 1];
    return s;
}

/* "8", "[4, 8]" */
static void read_buckets(sq_golden *golden, sq_rotation *rotation, const char *key)
{
    const char *text = sq__golden_text(golden, key, NULL);
    char *end;
    if (*text == '[') text++;
    rotation->factor[0] = strtol(text, &end, 10);
    if (*end == ',') rotation->factor[1] = strtol(end + 1, &end, 10);
    if (*end == ',') sq__golden_skip(golden, "more than two factors of buckets (%.40s) are unknown to this build", text);
    for (int i = 0; i < 2; i++)
        if (rotation->factor[i] < (i ? 0 : 2) || rotation->factor[i] > MOST_BUCKETS || rotation->factor[i] % 2) {
            sq__golden_fail(golden, "metadata '%s' is '%.40s'; expected even numbers up to %d", key, text, MOST_BUCKETS);
            *rotation = (sq_rotation){ .D = rotation->D, .rounds = rotation->rounds, .factor = { 2, 0 } };
        }
}

static void check_buckets(sq_golden *golden, const shape *s, const sq_rotation *rotation, const float *rotations, const uint8_t *keep)
{
    const int64_t heads = s->entries * s->heads, size[4] = { s->entries, s->heads, rotation->rounds, s->N };
    const int64_t folded[3] = { heads, rotation->rounds, s->N }, qk_size[4] = { s->entries, s->heads, s->N, s->D }, qk_folded[3] = { heads, s->N, s->D };
    const int rank = s->lucidrains ? 3 : 4;
    const int32_t *expected = sq__golden_ints(golden, "buckets", rank, s->lucidrains ? folded : size);
    const float *qk = sq__golden_floats(golden, "qk", rank, s->lucidrains ? qk_folded : qk_size);
    int32_t *ours = sq__golden_memory(golden, rotation->rounds * s->N, sizeof *ours);
    void *workspace = sq__golden_memory(golden, (int64_t)sq__rotation_workspace(rotation), 1);
    bool padded = false;
    for (int64_t i = 0; keep && i < s->entries * s->N; i++) padded |= !keep[i];
    const int64_t buckets = sq__rotation_buckets(rotation) + (padded && !s->lucidrains);
    const int64_t step = sq__golden_flag(golden, "random_rotations_per_head", true) ? s->D * rotation->rounds * rotation->columns : 0;
    for (int64_t head = 0; sq__golden_going(golden) && head < heads; head++) {
        sq__rotation_rows(rotation, rotations + head % s->heads * step, qk + head * s->N * s->D, s->D, s->N, ours, workspace);
        for (int64_t i = 0; i < rotation->rounds * s->N; i++) {
            const int64_t hidden = !s->lucidrains && keep && !keep[head / s->heads * s->N + i % s->N], t = i / s->N;
            const int64_t bucket = t * buckets + (hidden ? buckets - 1 : ours[i]), want = expected[head * rotation->rounds * s->N + i];
            if (bucket != want)
                sq__golden_fail(golden, "head %lld round %lld row %lld falls into bucket %lld; the file has %lld", (long long)head, (long long)t,
                                (long long)(i % s->N), (long long)bucket, (long long)want);
        }
    }
}

void sq__family_reformer(sq_golden *golden)
{
    const bool lucidrains = strstr(sq__golden_text(golden, "variant", NULL), "lucidrains") != NULL;
    const bool per_head = sq__golden_flag(golden, "random_rotations_per_head", true);
    const shape s = shape_of(golden, lucidrains, per_head);
    sq_core core = { .desc = { .mechanism = "reformer", .causal = sq__golden_flag(golden, "causal", false) }, .qk = "qk", .tensor_count = 1 };
    sq_rotation rotation = { .D = s.D, .rounds = sq__golden_count(golden, "num_hashes", lucidrains ? 0 : -1) };
    if (lucidrains) rotation.rounds = sq__golden_count(golden, "n_hashes", -1);
    else core.desc.scale = 1;
    if (rotation.rounds < 1 || rotation.rounds > MOST_ROUNDS) {
        sq__golden_skip(golden, "%lld hash rounds are unknown to this build", (long long)rotation.rounds);
        return;
    }
    read_buckets(golden, &rotation, lucidrains ? "n_buckets" : "num_buckets");
    rotation.columns = sq__rotation_columns(&rotation);
    const int64_t rotated = per_head ? s.heads : 1;
    core.tensors[0].count = rotated * s.D * rotation.rounds * rotation.columns;
    core.tensors[0].value = sq__golden_floats(golden, "rotations", SQ_SHAPE(rotated, s.D, rotation.rounds, rotation.columns));
    sq__core_option(&core, "convention", lucidrains ? "lucidrains" : "huggingface");
    sq__core_option(&core, "rounds", sq__golden_digits(golden, rotation.rounds));
    sq__core_option(&core, "buckets", sq__golden_digits(golden, rotation.factor[0]));
    sq__core_option(&core, "buckets2", sq__golden_digits(golden, rotation.factor[1]));
    const int64_t block = sq__golden_count(golden, lucidrains ? "bucket_size" : "chunk_length", -1);
    sq__core_option(&core, "block", sq__golden_digits(golden, block));
    sq__core_option(&core, "per_head", per_head ? "true" : "false");
    sq__core_option(&core, "across_buckets", sq__golden_flag(golden, "attend_across_buckets", true) ? "true" : "false");
    sq__core_option(&core, "duplicates", sq__golden_flag(golden, "allow_duplicate_attention", true) ? "true" : "false");
    sq__core_option(&core, "before", sq__golden_digits(golden, sq__golden_count(golden, "num_chunks_before", 1)));
    sq__core_option(&core, "after", sq__golden_digits(golden, sq__golden_count(golden, "num_chunks_after", 0)));
    const bool masked = sq__golden_has(golden, "mask");
    core.entries = lucidrains && !per_head;
    if (masked && lucidrains && per_head) sq__golden_skip(golden, "masks beside a rotation for each of [BH] are unknown to this build");
    const uint8_t *keep = masked ? sq__golden_mask(golden, "mask", SQ_SHAPE(s.entries, s.N)) : NULL;
    if (masked) core.key_keep = "mask";
    if (sq__golden_going(golden) && (lucidrains || s.N > block)) check_buckets(golden, &s, &rotation, core.tensors[0].value, keep);
    if (sq__golden_going(golden)) sq__core_run(golden, &core);
}
