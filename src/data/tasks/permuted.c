/* Images read pixel by pixel, in one fixed random order (arXiv:1504.00941; arXiv:1705.10142). */
#include <string.h>

#include "base/memory.h"
#include "data/tasks/generator.h"
#include "data/tasks/pixels.h"

typedef struct config {
    sq_task_counts counts;
    int64_t size;
    bool permute;
    char images[SQ_TEXT_FIELD_SIZE], labels[SQ_TEXT_FIELD_SIZE], test_images[SQ_TEXT_FIELD_SIZE], test_labels[SQ_TEXT_FIELD_SIZE];
} config;

static const sq_field fields[] = {
    SQ_TASK_COUNTS(config, "5000", "500", "1000"),
    SQ_BOOL(config, permute, "true", "pixels in one random order, the same for all images; false: row by row"),
    SQ_TEXT(config, images, "", "IDX file of images, such as MNIST's train-images-idx3-ubyte.gz; empty: digits are drawn"),
    SQ_TEXT(config, labels, "", "IDX file of their classes"),
    SQ_TEXT(config, test_images, "", "IDX file of the test images; empty: the first file's images after those for training and validation"),
    SQ_TEXT(config, test_labels, "", "IDX file of their classes"),
    SQ_INT(config, size, "28", 8, 256, "side of drawn digits in pixels"),
    SQ_FIELDS_END
};

typedef struct images { int64_t pixels, *order; uint8_t *drawn; sq_idx values[2], classes[2]; bool from_files; } images;

static sq_status check(void *options, sq_error *error)
{
    const config *c = options;
    if (!c->images[0] != !c->labels[0] || !c->test_images[0] != !c->test_labels[0])
        return sq__fail(error, SQ_INVALID, "images need their labels, and the other way: give --images with --labels, --test-images with --test-labels");
    return !c->images[0] && c->test_images[0] ? sq__fail(error, SQ_INVALID, "--test-images needs --images to train on") : SQ_OK;
}

static void close_images(void *state)
{
    images *i = state;
    if (!i) return;
    for (int f = 0; f < 2; f++) {
        sq__idx_clear(&i->values[f]);
        sq__idx_clear(&i->classes[f]);
    }
    sq__free(i->order);
    sq__free(i->drawn);
    sq__free(i);
}

static sq_status read_pair(images *i, int file, const char *values, const char *classes, int64_t needed, const char *what, sq_error *error)
{
    SQ_TRY(sq__idx_read(&i->values[file], values, error));
    SQ_TRY(sq__idx_read(&i->classes[file], classes, error));
    const sq_idx *v = &i->values[file], *k = &i->classes[file];
    if (v->rank < 2) return sq__fail(error, SQ_FORMAT, "%s: has rank %d; expected images", values, v->rank);
    if (k->rank != 1 || k->count != v->shape[0])
        return sq__fail(error, SQ_FORMAT, "%s: holds no class for each of the %lld images of %s", classes, (long long)v->shape[0], values);
    if (v->shape[0] < needed)
        return sq__fail(error, SQ_INVALID, "%s: has %lld images; %s ask for %lld", values, (long long)v->shape[0], what, (long long)needed);
    return SQ_OK;
}

static sq_status open_images(void **state, void *options, sq_error *error)
{
    const config *c = options;
    images *i = *state = sq__alloc_zero(sizeof *i);
    if (!i) return sq__no_memory(error);
    i->from_files = c->images[0] != 0;
    i->pixels = c->size * c->size;
    if (i->from_files) {
        const int64_t trained = c->counts.train + c->counts.validation;
        const bool apart = c->test_images[0] != 0;
        SQ_TRY(read_pair(i, 0, c->images, c->labels, apart ? trained : trained + c->counts.test, apart ? "--train and --validation" : "--train, --validation and --test", error));
        if (apart) SQ_TRY(read_pair(i, 1, c->test_images, c->test_labels, c->counts.test, "--test", error));
        i->pixels = i->values[0].count / i->values[0].shape[0];
        if (apart && i->values[1].count / i->values[1].shape[0] != i->pixels)
            return sq__fail(error, SQ_INVALID, "%s: images of another size than those of %s", c->test_images, c->images);
    }
    i->order = sq__alloc_array((size_t)i->pixels, sizeof *i->order);
    i->drawn = sq__alloc((size_t)i->pixels);
    if (!i->order || !i->drawn) return sq__no_memory(error);
    const sq_random random = sq__random_stream((uint64_t)c->counts.seed, "permuted-pixels.order", 0);
    if (c->permute) sq__random_permutation(&random, i->order, i->pixels);
    else for (int64_t p = 0; p < i->pixels; p++) i->order[p] = p;
    return SQ_OK;
}

static void header(const void *options, const void *state, FILE *out)
{
    (void)options;
    (void)state;
    fputs("image,class,pixels\n", out);
}

static void sequence(sq_task_writing *w)
{
    const config *c = w->config;
    const images *i = w->state;
    const uint8_t *pixels = i->drawn;
    int class;
    if (i->from_files) {
        const int file = w->part == SQ_PART_TEST && i->values[1].values ? 1 : 0;
        const int64_t before[] = { 0, c->counts.train, file ? 0 : c->counts.train + c->counts.validation };
        const int64_t place = before[w->part] + w->number;
        pixels = i->values[file].values + place * i->pixels;
        class = i->classes[file].values[place];
    } else {
        class = (int)(w->number % 10);
        sq__digit_draw(class, c->size, &w->draws, i->drawn);
    }
    fprintf(w->out, "%lld,%d,", (long long)w->number, class);
    for (int64_t p = 0; p < i->pixels; p++) fprintf(w->out, "%s%d", p ? ";" : "", pixels[i->order[p]]);
    fputc('\n', w->out);
    w->events += i->pixels;
}

static int64_t longest(const void *options, const void *state)
{
    (void)options;
    return ((const images *)state)->pixels;
}

static void data(const void *options, const void *state, FILE *out)
{
    (void)options;
    (void)state;
    fputs("  explode: {column: pixels, separator: \";\", field_separator: \"/\", into: [pixel]}\n"
          "  numeric: [{column: pixel, transform: standard}]\n"
          "  target: {column: class}\n", out);
}

static void settings(const void *options, FILE *out)
{
    (void)options;
    sq__task_settings(out, &(sq_task_settings){ .layers = 1, .width = 128, .rate = 0.001, .epochs = 15, .batch = 32, .mechanisms = "softmax,linear", .baselines = "gru,logistic" });
}

static void readme(const void *options, const void *state, FILE *out)
{
    const config *c = options;
    const images *i = state;
    fprintf(out, "An image is one sequence of %lld pixels, 0 to 255, %s; its class is asked.\n\n", (long long)i->pixels,
            c->permute ? "in one random order that is the same for all images, so that neighbours lie anywhere in the sequence" : "row by row");
    if (i->from_files)
        fprintf(out, "Images: %s%s%s. What can be reached is what is published for them; the split is by their order in the files.\n", c->images, c->test_images[0] ? " and " : "",
                c->test_images);
    else
        fputs("The images are digits that this generator draws: strokes as on a seven-segment display, shifted, scaled, slanted, of random width, with noise. They are NOT MNIST, and"
              " figures on them cannot be set beside published ones; with --images and --labels the same task is made from IDX files.\n\n"
              "The best that can be reached: accuracy 1 or very near it. All classes are equally frequent: guessing gives 0.1. How much ink an image has tells some of"
              " them apart (8 from 1), so a model of aggregates does better than that.\n", out);
}

const sq_generator sq__generator_permuted_pixels = {
    .name = "permuted-pixels", .title = "an image, pixel by pixel in a fixed random order", .source = "Le et al. 2015, arXiv:1504.00941",
    .help = "Images as sequences of pixels in one fixed random order; the class is asked. From IDX files that you have (MNIST is in that form; this program neither holds nor "
            "fetches it), else from digits that the generator draws itself: simple stroke figures, no substitute for MNIST when figures are compared with published ones.",
    .id = "image", .config_size = sizeof(config), .fields = fields, .check = check, .open = open_images, .close = close_images, .header = header, .sequence = sequence,
    .longest = longest, .data = data, .settings = settings, .readme = readme,
};
