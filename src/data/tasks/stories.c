/* Stories in the form of the first two bAbI tasks (arXiv:1502.05698), in words of their own: animals go to places (one supporting fact:
 * where is the fox?), and take things along and leave them (two supporting facts: where is the acorn?). An event is a sentence; its
 * words stand in columns by their place, so that a model knows which word stood where. */
#include <string.h>

#include "base/status.h"
#include "data/tasks/generator.h"

typedef struct config { sq_task_counts counts; int64_t facts, min_sentences, max_sentences, animals, places, things; } config;

static const char *const animals[] = { "fox", "hare", "owl", "bear", "wolf", "mole", "otter", "stork" };
static const char *const places[] = { "meadow", "brook", "forest", "burrow", "orchard", "hill", "marsh", "barn", "cave", "shore" };
static const char *const things[] = { "acorn", "pebble", "feather", "apple", "shell", "leaf" };
static const char *const goes[][2] = { { "goes", "to" }, { "runs", "to" }, { "walks", "over" }, { "returns", "to" } };
static const char *const takes[] = { "takes", "lifts", "grabs" };
static const char *const leaves[] = { "leaves", "drops", "loses" };
#define COUNT(list) ((int64_t)(sizeof(list) / sizeof *(list)))
enum { WORDS = 6, MOST_ANIMALS = 8, MOST_PLACES = 10, MOST_THINGS = 6, NOWHERE = -1 };
_Static_assert(sizeof animals / sizeof *animals == MOST_ANIMALS && sizeof places / sizeof *places == MOST_PLACES && sizeof things / sizeof *things == MOST_THINGS, "");

static const sq_field fields[] = {
    SQ_TASK_COUNTS(config, "10000", "1000", "1000"),
    SQ_INT(config, facts, "1", 1, 2, "sentences that an answer needs: 1 (where is an animal) or 2 (where is a thing)"),
    SQ_INT(config, min_sentences, "0", 0, 10000, "of a story, at least; 0: 2 with one fact, 6 with two"),
    SQ_INT(config, max_sentences, "0", 0, 10000, "at most; 0: 10 with one fact, 30 with two"),
    SQ_INT(config, animals, "4", 1, MOST_ANIMALS, "that walk about"),
    SQ_INT(config, places, "6", 2, MOST_PLACES, "that they walk to: the classes"),
    SQ_INT(config, things, "3", 1, MOST_THINGS, "that they carry, with two facts"),
    SQ_FIELDS_END
};

static sq_status check(void *options, sq_error *error)
{
    config *c = options;
    const int64_t low = c->facts == 1 ? 2 : 6, high = c->facts == 1 ? 10 : 30;
    if (c->min_sentences == 0) c->min_sentences = c->max_sentences && c->max_sentences < low ? c->max_sentences : low;
    if (c->max_sentences == 0) c->max_sentences = c->min_sentences > high ? c->min_sentences : high;
    if (c->min_sentences > c->max_sentences)
        return sq__fail(error, SQ_INVALID, "min-sentences %lld is above max-sentences %lld", (long long)c->min_sentences, (long long)c->max_sentences);
    if (c->facts == 2 && c->min_sentences < 2) return sq__fail(error, SQ_INVALID, "min-sentences 1; two facts need 2 sentences at least");
    return SQ_OK;
}

/* Where everything is: of a thing nobody carries, `at`; carried by an animal, where that is. A thing counts only once it was touched. */
typedef struct world { int64_t animal_at[MOST_ANIMALS], thing_at[MOST_THINGS], carrier[MOST_THINGS]; } world;

static int64_t place_of(const world *now, int64_t thing)
{
    return now->carrier[thing] != NOWHERE ? now->animal_at[now->carrier[thing]] : now->thing_at[thing];
}

static void sentence(sq_task_writing *w, int64_t line, const char *const *words, int count, const char *answer)
{
    fprintf(w->out, "%lld,%lld", (long long)w->number, (long long)line);
    for (int i = 0; i < WORDS; i++) fprintf(w->out, ",%s", i < count ? words[i] : "");
    fprintf(w->out, ",%s\n", answer);
    w->events++;
}

static void walk(sq_task_writing *w, world *now, int64_t line, int64_t animal)
{
    const config *c = w->config;
    int64_t to = sq__draw_below(&w->draws, now->animal_at[animal] == NOWHERE ? c->places : c->places - 1);
    if (now->animal_at[animal] != NOWHERE && to >= now->animal_at[animal]) to++;
    const int64_t how = sq__draw_below(&w->draws, COUNT(goes));
    now->animal_at[animal] = to;
    sentence(w, line, (const char *[]){ "the", animals[animal], goes[how][0], goes[how][1], "the", places[to] }, 6, "");
}

/* Take or leave a thing; false when this animal can do neither here. */
static bool handle(sq_task_writing *w, world *now, int64_t line, int64_t animal)
{
    const config *c = w->config;
    int64_t able[MOST_THINGS], count = 0;
    if (now->animal_at[animal] == NOWHERE) return false;
    for (int64_t t = 0; t < c->things; t++) {
        const bool mine = now->carrier[t] == animal, here = now->carrier[t] == NOWHERE && (now->thing_at[t] == NOWHERE || now->thing_at[t] == now->animal_at[animal]);
        if (mine || here) able[count++] = t;
    }
    if (count == 0) return false;
    const int64_t thing = able[sq__draw_below(&w->draws, count)];
    const bool mine = now->carrier[thing] == animal;
    const char *verb = mine ? leaves[sq__draw_below(&w->draws, COUNT(leaves))] : takes[sq__draw_below(&w->draws, COUNT(takes))];
    if (mine) now->thing_at[thing] = now->animal_at[animal];
    now->carrier[thing] = mine ? NOWHERE : animal;
    sentence(w, line, (const char *[]){ "the", animals[animal], verb, "the", things[thing] }, 5, "");
    return true;
}

/* The question's subject, drawn among those whose place the story tells; NOWHERE: none. */
static int64_t draw_asked(sq_task_writing *w, const world *now)
{
    const config *c = w->config;
    int64_t able[MOST_ANIMALS], count = 0;
    if (c->facts == 1) {
        for (int64_t a = 0; a < c->animals; a++)
            if (now->animal_at[a] != NOWHERE) able[count++] = a;
    } else {
        for (int64_t t = 0; t < c->things; t++)
            if (place_of(now, t) != NOWHERE) able[count++] = t;
    }
    return count ? able[sq__draw_below(&w->draws, count)] : NOWHERE;
}

static void sequence(sq_task_writing *w)
{
    const config *c = w->config;
    const int64_t n = c->min_sentences + sq__draw_below(&w->draws, c->max_sentences - c->min_sentences + 1);
    world now;
    for (int i = 0; i < MOST_ANIMALS; i++) now.animal_at[i] = NOWHERE;
    for (int i = 0; i < MOST_THINGS; i++) now.thing_at[i] = now.carrier[i] = NOWHERE;
    for (int64_t line = 1; line <= n; line++) {
        int64_t animal = sq__draw_below(&w->draws, c->animals);
        /* the last sentence but for the first ones makes sure that some thing has a place */
        const bool must = c->facts == 2 && line == n && draw_asked(w, &now) == NOWHERE;
        for (int64_t a = 0; must && now.animal_at[animal] == NOWHERE && a < c->animals; a++) animal = a;
        const bool handled = c->facts == 2 && (must || sq__draw(&w->draws) < 0.4) && handle(w, &now, line, animal);
        if (!handled) walk(w, &now, line, animal);
    }
    const int64_t asked = draw_asked(w, &now), at = c->facts == 1 ? now.animal_at[asked] : place_of(&now, asked);
    sentence(w, n + 1, (const char *[]){ "where", "is", "the", c->facts == 1 ? animals[asked] : things[asked] }, 4, places[at]);
}

static void header(const void *options, const void *state, FILE *out)
{
    (void)options;
    (void)state;
    fputs("story,line", out);
    sq__task_columns(out, "w", WORDS);
    fputs(",answer\n", out);
}

static int64_t longest(const void *options, const void *state)
{
    const config *c = options;
    (void)state;
    return c->max_sentences + 1;
}

static void data(const void *options, const void *state, FILE *out)
{
    (void)options;
    (void)state;
    fputs("  categorical: [w1, w2, w3, w4, w5, w6]\n  target: {column: answer}\n", out);
}

static void settings(const void *options, FILE *out)
{
    (void)options;
    sq__task_settings(out, &(sq_task_settings){ .layers = 2, .width = 64, .rate = 0.002, .epochs = 15, .batch = 32, .mechanisms = "softmax", .models = "memory-network", .baselines = "gru,logistic" });
}

static void readme(const void *options, const void *state, FILE *out)
{
    const config *c = options;
    (void)state;
    fprintf(out, "A story is %lld to %lld sentences and a question, one an event; the words of a sentence stand in w1 to w%d by their place.\n\n", (long long)c->min_sentences,
            (long long)c->max_sentences, WORDS);
    if (c->facts == 1)
        fputs("Animals go from place to place; the question is where one of them is. One sentence tells: the last one about that animal. The form is that of the first bAbI"
              " task, the words are others.\n\n", out);
    else
        fputs("Animals go from place to place, take things along and leave them; the question is where a thing is. Two sentences tell: the last one that"
              " says who has or left it, and where that animal was then (left) or is now (carried). The form is that of the second bAbI task, the words"
              " are others.\n\n", out);
    fprintf(out, "The best that can be reached: accuracy 1, the answer follows from the story. Guessing among %lld places: %.3f. A bag of words (the baseline `logistic`) knows which"
                 " places the story names, but not who went where last.\n",
            (long long)c->places, 1.0 / (double)c->places);
}

const sq_generator sq__generator_stories = {
    .name = "stories", .title = "a question about a short story, answered by one or two of its sentences", .source = "the form of bAbI 1 and 2: Weston et al. 2015, arXiv:1502.05698",
    .help = "Animals walk from place to place (--facts 1: where is an animal?) and carry things (--facts 2: where is a thing?). An event is a sentence, with a column per "
            "word. Words of its own; for the bAbI files themselves see babi.",
    .id = "story", .config_size = sizeof(config), .fields = fields, .check = check, .header = header, .sequence = sequence, .longest = longest, .data = data,
    .settings = settings, .readme = readme,
};
