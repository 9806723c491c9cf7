/* Decoding: token after token is all at once; the greedy way and the beam against every sequence that there is. */
#include "naive.h"
#include "nn/decoding.h"
#include "nn/search.h"

#include "base/memory.h"

enum { B = 3, N = 7, E = 8, WORDS = 4, LONGEST = 5, BEGIN = WORDS, END = 3 };

static const int32_t sources[B] = { 7, 3, 5 };

typedef struct fixture { sq_parameters set; sq_decoder decoder; sq_linear head; float *memory; } fixture;

static void make_from(fixture *f, uint64_t seed, bool pre, bool learned)
{
    sq_error error;
    *f = (fixture){ .set = { .seed = seed } };
    const sq_decoder_config config = { .words = WORDS + 1, .longest = LONGEST, .longest_source = N, .width = E, .heads = 2, .feed_forward = 12, .layers = 2,
                                       .learned_positions = learned, .pre_norm = pre, .activation = SQ_GELU, .eps = 1e-5f, .threads = 1 };
    assert_ok(sq__decoder_create(&f->decoder, &f->set, "decoder", &config, &error), &error);
    assert_ok(sq__linear_create(&f->head, &f->set, "head", E, WORDS, true, &error), &error);
    shake(&f->set);
    for (int i = 0; i < f->set.count; i++)   /* so that what comes next depends on what came */
        if (strstr(f->set.items[i].name, "tokens") || strstr(f->set.items[i].name, "head"))
            for (int64_t j = 0; j < f->set.items[i].count; j++) f->set.items[i].value[j] *= 3;
    f->memory = draw("memory", B * N * E);
}

static void make(fixture *f, bool pre, bool learned) { make_from(f, 12, pre, learned); }

static void drop(fixture *f)
{
    sq__decoder_clear(&f->decoder);
    sq__parameters_clear(&f->set);
    free(f->memory);
}

/* Logits [rows, T, WORDS] of sequences that begin with BEGIN, all at once; row r has the source of[r]. */
static float *at_once(const fixture *f, const int32_t *tokens, int64_t rows, int64_t T, const int32_t *of)
{
    sq_error error;
    sq_tape *tape = sq__tape_create(false);
    float *memory = malloc((size_t)(rows * N * E) * sizeof *memory), *out = malloc((size_t)(rows * T * WORDS) * sizeof *out);
    int32_t *lengths = malloc((size_t)rows * sizeof *lengths);
    for (int64_t r = 0; r < rows; r++) {
        memcpy(memory + r * N * E, f->memory + of[r] * N * E, N * E * sizeof *memory);
        lengths[r] = sources[of[r]];
    }
    sq_var *x = sq__decoder_run(&f->decoder, tape, &(sq_decoder_inputs){ .B = rows, .T = T, .tokens = tokens, .memory_lengths = lengths,
                                .memory = sq__tape_input(tape, 3, (const int64_t[]){ rows, N, E }, memory, false) });
    const sq_var *logits = sq__linear_run(&f->head, tape, x);
    assert_ok(sq__tape_status(tape, &error), &error);
    memcpy(out, logits->value, (size_t)logits->count * sizeof *out);
    sq__tape_destroy(tape);
    free(memory);
    free(lengths);
    return out;
}

static double log_p(const float *logits, int32_t word)
{
    double sum = 0;
    for (int w = 0; w < WORDS; w++) sum += exp(logits[w]);
    return logits[word] - log(sum);
}

/* ---- token after token ---- */

static void steps_are_all_at_once(void **state)
{
    (void)state;
    static const int32_t tokens[B * LONGEST] = { BEGIN, 0, 2, 1, 1, BEGIN, 3, 0, 0, 2, BEGIN, 1, 2, 3, 0 }, of[B] = { 0, 1, 2 };
    for (int kind = 0; kind < 4; kind++) {
        fixture f;
        sq_decoding *decoding;
        sq_error error;
        make(&f, kind & 1, kind & 2);
        float *whole = at_once(&f, tokens, B, LONGEST, of);
        assert_ok(sq__decoding_create(&decoding, &(sq_decoding_spec){ &f.decoder, B, N, 1, LONGEST, f.memory, sources }, &error), &error);
        for (int t = 0; t < LONGEST; t++) {
            int32_t now[B];
            for (int b = 0; b < B; b++) now[b] = tokens[b * LONGEST + t];
            const sq_var *logits = sq__linear_run(&f.head, sq__decoding_tape(decoding), sq__decoding_step(decoding, now, NULL));
            assert_ok(sq__tape_status(sq__decoding_tape(decoding), &error), &error);
            for (int b = 0; b < B; b++)
                for (int w = 0; w < WORDS; w++) assert_close(logits->value[b * WORDS + w], whole[(b * LONGEST + t) * WORDS + w], 2e-5);
        }
        assert_null(sq__decoding_step(decoding, (const int32_t[B]){ 0 }, NULL));
        assert_int_equal(sq__tape_status(sq__decoding_tape(decoding), &error), SQ_INVALID);
        sq__decoding_destroy(&decoding);
        free(whole);
        drop(&f);
    }
}

/* Hypotheses that go on from others: the rows of the sequences that they have become. */
static void rows_follow_their_parents(void **state)
{
    enum { BEAM = 3, ROWS = B * BEAM, STEPS = 4 };
    (void)state;
    fixture f;
    sq_decoding *decoding;
    sq_error error;
    int32_t said[ROWS][STEPS] = { { 0 } }, parents[ROWS], now[ROWS], of[ROWS];
    make(&f, true, true);
    assert_ok(sq__decoding_create(&decoding, &(sq_decoding_spec){ &f.decoder, B, N, BEAM, STEPS, f.memory, sources }, &error), &error);
    for (int t = 0; t < STEPS; t++) {
        int32_t before[ROWS][STEPS];
        memcpy(before, said, sizeof said);
        for (int r = 0; r < ROWS; r++) {
            of[r] = r / BEAM;
            parents[r] = r / BEAM * BEAM + (t == 0 ? r % BEAM : (r * 7 + t * 5) % BEAM);
            now[r] = t == 0 ? BEGIN : (r * 3 + t) % WORDS;
            memcpy(said[r], before[parents[r]], sizeof said[r]);
            said[r][t] = now[r];
        }
        const sq_var *logits = sq__linear_run(&f.head, sq__decoding_tape(decoding), sq__decoding_step(decoding, now, t ? parents : NULL));
        int32_t *flat = malloc((size_t)(ROWS * (t + 1)) * sizeof *flat);
        for (int r = 0; r < ROWS; r++) memcpy(flat + r * (t + 1), said[r], (size_t)(t + 1) * sizeof *flat);
        float *whole = at_once(&f, flat, ROWS, t + 1, of);
        for (int r = 0; r < ROWS; r++)
            for (int w = 0; w < WORDS; w++) assert_close(logits->value[r * WORDS + w], whole[(r * (t + 1) + t) * WORDS + w], 2e-5);
        free(flat);
        free(whole);
    }
    sq__decoding_destroy(&decoding);
    drop(&f);
}

/* ---- search ---- */

typedef struct said { const fixture *f; sq_decoding *decoding; } said;

static sq_status step(void *context, const int32_t *tokens, const int32_t *parents, const float **logits, sq_error *error)
{
    said *s = context;
    const sq_var *out = sq__linear_run(&s->f->head, sq__decoding_tape(s->decoding), sq__decoding_step(s->decoding, tokens, parents));
    if (out) *logits = out->value;
    return sq__tape_status(sq__decoding_tape(s->decoding), error);
}

typedef struct answer { int32_t tokens[B * LONGEST], counts[B]; double scores[B]; } answer;

static answer search(const fixture *f, int64_t beam, int32_t end, const int32_t *lengths, double penalty)
{
    answer a = { { 0 }, { 0 }, { 0 } };
    said s = { .f = f };
    sq_error error;
    assert_ok(sq__decoding_create(&s.decoding, &(sq_decoding_spec){ &f->decoder, B, N, beam, LONGEST, f->memory, sources }, &error), &error);
    assert_ok(sq__search(&(sq_search){ .B = B, .beam = beam, .words = WORDS, .longest = LONGEST, .begin = BEGIN, .end = end, .lengths = lengths,
                         .length_penalty = penalty, .step = step, .context = &s }, a.tokens, a.counts, a.scores, &error), &error);
    sq__decoding_destroy(&s.decoding);
    return a;
}

/* The score of what was said, by the whole sequence at once. */
static double score_of(const fixture *f, int32_t b, const int32_t *tokens, int32_t count, bool ended, double penalty)
{
    int32_t given[LONGEST + 1] = { BEGIN };
    double sum = 0;
    const int32_t all = count + ended;
    memcpy(given + 1, tokens, (size_t)count * sizeof *tokens);
    if (!all) return 0;
    float *logits = at_once(f, given, 1, all, &b);
    for (int t = 0; t < all; t++) sum += log_p(logits + t * WORDS, t < count ? tokens[t] : END);
    free(logits);
    return sum / pow((5 + (double)all) / 6, penalty);
}

/* Every sequence up to `longest` tokens: the best score, into best. */
static void best_of_all(const fixture *f, int32_t b, int32_t *prefix, int32_t count, int32_t longest, int32_t end, double penalty, double *best, int32_t *tokens, int32_t *size)
{
    double score = -INFINITY;
    if (count == longest) score = score_of(f, b, prefix, count, false, penalty);
    else if (end >= 0) score = score_of(f, b, prefix, count, true, penalty);
    if (score > *best) {
        *best = score;
        *size = count;
        memcpy(tokens, prefix, (size_t)count * sizeof *prefix);
    }
    for (int32_t w = 0; count < longest && w < WORDS; w++) {
        if (w == end) continue;
        prefix[count] = w;
        best_of_all(f, b, prefix, count + 1, longest, end, penalty, best, tokens, size);
    }
}

/* A beam that holds every prefix finds the best sequence of all; a small one none that is better. Times that greedy is worse. */
static int against_all(const fixture *f, int32_t end, const int32_t *lengths, double penalty)
{
    const answer all = search(f, 1024, end, lengths, penalty), few = search(f, 2, end, lengths, penalty), greedy = search(f, 1, end, lengths, penalty);
    int worse = 0;
    for (int32_t b = 0; b < B; b++) {
        const int32_t longest = lengths ? lengths[b] : LONGEST;
        int32_t prefix[LONGEST], tokens[LONGEST] = { 0 }, size = 0;
        double best = -INFINITY;
        best_of_all(f, b, prefix, 0, longest, end, penalty, &best, tokens, &size);
        assert_close(all.scores[b], best, 1e-4);
        assert_int_equal(all.counts[b], size);
        assert_memory_equal(all.tokens + b * LONGEST, tokens, (size_t)size * sizeof *tokens);
        assert_true(few.scores[b] <= best + 1e-4 && greedy.scores[b] <= best + 1e-4);
        assert_close(score_of(f, b, few.tokens + b * LONGEST, few.counts[b], few.counts[b] < longest, penalty), few.scores[b], 1e-4);
        worse += greedy.scores[b] < best - 1e-3;
    }
    return worse;
}

static void a_large_beam_is_exhaustive(void **state)
{
    (void)state;
    static const int32_t asked[B] = { 4, 0, 3 };
    int worse = 0;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        fixture f;
        make_from(&f, seed, true, true);
        for (int penalty = 0; penalty < 3; penalty++) worse += against_all(&f, END, NULL, penalty * 0.6);
        worse += against_all(&f, -1, asked, 0);
        drop(&f);
    }
    print_message("greedy is worse in %d of 36\n", worse);
    assert_true(worse > 0);   /* else the cases could not tell the ways apart */
}

/* A beam of one says the likeliest token each time, as the whole sequence computed anew says. */
static void a_beam_of_one_is_greedy(void **state)
{
    (void)state;
    fixture f;
    make(&f, false, false);
    const answer greedy = search(&f, 1, END, NULL, 0.6);
    for (int32_t b = 0; b < B; b++) {
        int32_t given[LONGEST + 1] = { BEGIN };
        int32_t count = 0;
        for (; count < LONGEST; count++) {
            float *logits = at_once(&f, given, 1, count + 1, &b);
            int32_t best = 0;
            for (int32_t w = 1; w < WORDS; w++)
                if (logits[count * WORDS + w] > logits[count * WORDS + best]) best = w;
            free(logits);
            if (best == END) break;
            given[count + 1] = best;
        }
        assert_int_equal(greedy.counts[b], count);
        assert_memory_equal(greedy.tokens + b * LONGEST, given + 1, (size_t)count * sizeof *given);
    }
    drop(&f);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    fixture f;
    make(&f, true, true);
    const size_t before = sq_memory_current();
    bool done = false;
    for (long n = 1; !done && n < 3000; n++) {
        said s = { .f = &f };
        answer a;
        sq_error error;
        sq__alloc_fail_after(n);
        sq_status status = sq__decoding_create(&s.decoding, &(sq_decoding_spec){ &f.decoder, B, N, 2, LONGEST, f.memory, sources }, &error);
        if (status == SQ_OK)
            status = sq__search(&(sq_search){ .B = B, .beam = 2, .words = WORDS, .longest = LONGEST, .begin = BEGIN, .end = END, .step = step, .context = &s },
                                a.tokens, a.counts, a.scores, &error);
        done = status == SQ_OK;
        if (!done) assert_int_equal(status, SQ_NO_MEMORY);
        sq__alloc_fail_after(0);
        sq__decoding_destroy(&s.decoding);
        assert_int_equal(sq_memory_current(), before);
    }
    assert_true(done);
    drop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_all_at_once),   cmocka_unit_test(rows_follow_their_parents), cmocka_unit_test(a_large_beam_is_exhaustive),
        cmocka_unit_test(a_beam_of_one_is_greedy), cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
