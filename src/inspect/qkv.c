#include "inspect/qkv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/integers.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "io/safetensors.h"

float *sq__qkv_add(sq_qkv_set *set, const char *name, int64_t H, int64_t T, int64_t N, int64_t D, int64_t M)
{
    sq_qkv *items = sq__alloc_array((size_t)set->count + 1, sizeof *items);
    float **memory = sq__alloc_array((size_t)set->count + 1, sizeof *memory);
    float *data = sq__alloc_array((size_t)(H * (T * D + N * D + N * M)), sizeof *data);
    if (!items || !memory || !data) {
        sq__free(items);
        sq__free(memory);
        sq__free(data);
        return NULL;
    }
    if (set->count) {
        memcpy(items, set->items, (size_t)set->count * sizeof *items);
        memcpy(memory, set->memory, (size_t)set->count * sizeof *memory);
    }
    sq__free(set->items);
    sq__free(set->memory);
    set->items = items;
    set->memory = memory;
    memory[set->count] = data;
    items[set->count] = (sq_qkv){ .H = H, .T = T, .N = N, .D = D, .M = M, .q = data, .k = data + H * T * D, .v = data + H * (T + N) * D };
    snprintf(items[set->count].name, sizeof items[set->count].name, "%s", name);
    set->count++;
    return data;
}

void sq_qkv_set_clear(sq_qkv_set *set)
{
    for (int i = 0; i < set->count; i++) sq__free(set->memory[i]);
    sq__free(set->items);
    sq__free(set->memory);
    *set = (sq_qkv_set){ .count = 0 };
}

/* ---- files ---- */

/* Sequence b of x [B,H,all,width] into y [rows,H,width]. */
static void take(float *y, const float *x, int64_t b, int64_t H, int64_t all, int64_t rows, int64_t width)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t h = 0; h < H; h++) memcpy(y + (i * H + h) * width, x + ((b * H + h) * all + i) * width, (size_t)width * sizeof *y);
}

typedef struct parts { const sq_st_tensor *at[3]; float *data[3]; } parts;

static sq_status check_parts(const parts *p, const char *path, const char *prefix, sq_error *error)
{
    static const char *const names[] = { "q", "k", "v" };
    for (int i = 0; i < 3; i++) {
        if (!p->at[i]) return sq__fail(error, SQ_FORMAT, "%s: no tensor '%s%s'; expected q, k and v, or PREFIX.q, PREFIX.k and PREFIX.v", path, prefix, names[i]);
        if (p->at[i]->rank != 4 || p->at[i]->count < 1)
            return sq__fail(error, SQ_FORMAT, "%s: '%s%s' has rank %d; expected [batch, heads, rows, width]", path, prefix, names[i], p->at[i]->rank);
    }
    const int64_t *q = p->at[0]->shape, *k = p->at[1]->shape, *v = p->at[2]->shape;
    if (q[0] != k[0] || q[0] != v[0] || q[1] != k[1] || q[1] != v[1] || q[3] != k[3] || k[2] != v[2])
        return sq__fail(error, SQ_FORMAT, "%s: '%sq', '%sk' and '%sv' differ in batch, heads, rows or width", path, prefix, prefix, prefix);
    return SQ_OK;
}

static sq_status add_sequences(sq_qkv_set *set, const parts *p, const char *name, const int32_t *lengths, int64_t most, int64_t longest, sq_error *error)
{
    const int64_t *q = p->at[0]->shape, *k = p->at[1]->shape, H = q[1], D = q[3], M = p->at[2]->shape[3];
    for (int64_t b = 0; b < q[0] && (!most || b < most); b++) {
        const int64_t cut = longest ? longest : INT64_MAX;
        const int64_t N = sq__least(sq__least(k[2], cut), lengths ? lengths[b] : INT64_MAX), T = q[2] == k[2] ? N : sq__least(q[2], cut);
        if (N < 1) continue;
        float *data = sq__qkv_add(set, name, H, T, N, D, M);
        if (!data) return sq__no_memory(error);
        take(data, p->data[0], b, H, q[2], T, D);
        take(data + H * T * D, p->data[1], b, H, k[2], N, D);
        take(data + H * (T + N) * D, p->data[2], b, H, k[2], N, M);
    }
    return SQ_OK;
}

static sq_status read_lengths(const sq_safetensors *file, const char *path, int64_t batch, int32_t **lengths, sq_error *error)
{
    const sq_st_tensor *tensor = sq__safetensors_find(file, "lengths");
    *lengths = NULL;
    if (!tensor) return SQ_OK;
    if (tensor->count != batch) return sq__fail(error, SQ_FORMAT, "%s: 'lengths' has %lld numbers; expected %lld", path, (long long)tensor->count, (long long)batch);
    *lengths = sq__alloc_array((size_t)batch, sizeof **lengths);
    return *lengths ? sq__safetensors_ints(tensor, *lengths, error) : sq__no_memory(error);
}

static sq_status load_layer(sq_qkv_set *set, const sq_safetensors *file, const char *path, const char *prefix, int64_t most, int64_t longest,
                            sq_error *error)
{
    static const char *const names[] = { "q", "k", "v" };
    parts p = { .at = { NULL } };
    int32_t *lengths = NULL;
    char name[160];
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "%s%s", prefix, names[i]);
        p.at[i] = sq__safetensors_find(file, name);
    }
    SQ_TRY(check_parts(&p, path, prefix, error));
    sq_status status = read_lengths(file, path, p.at[0]->shape[0], &lengths, error);
    for (int i = 0; i < 3 && status == SQ_OK; i++) {
        p.data[i] = sq__alloc_array((size_t)p.at[i]->count, sizeof(float));
        status = p.data[i] ? sq__safetensors_floats(p.at[i], p.data[i], error) : sq__no_memory(error);
        for (int64_t j = 0; status == SQ_OK && j < p.at[i]->count; j++)
            if (!isfinite(p.data[i][j])) status = sq__fail(error, SQ_FORMAT, "%s: '%s%s' holds a number that is not finite", path, prefix, names[i]);
    }
    snprintf(name, sizeof name, "%s", *prefix ? prefix : "q");
    if (*prefix) name[strlen(name) - 1] = 0;
    if (status == SQ_OK) status = add_sequences(set, &p, name, lengths, most, longest, error);
    for (int i = 0; i < 3; i++) sq__free(p.data[i]);
    sq__free(lengths);
    return status;
}

/* Every tensor named q or PREFIX.q, in the file's order. */
static sq_status load_all(sq_qkv_set *set, const sq_safetensors *file, const char *path, int64_t most, int64_t longest, sq_error *error)
{
    const char *causal = sq__safetensors_metadata(file, "causal");
    set->causal = causal && (strcmp(causal, "true") == 0 || strcmp(causal, "True") == 0 || strcmp(causal, "1") == 0);
    for (int i = 0; i < sq__safetensors_count(file); i++) {
        const char *name = sq__safetensors_at(file, i)->name;
        const size_t length = strlen(name);
        char prefix[128];
        if (length >= sizeof prefix || length < 1 || name[length - 1] != 'q' || (length > 1 && name[length - 2] != '.')) continue;
        snprintf(prefix, sizeof prefix, "%.*s", (int)(length - 1), name);
        SQ_TRY(load_layer(set, file, path, prefix, most, longest, error));
    }
    return set->count ? SQ_OK : sq__fail(error, SQ_FORMAT, "%s: no tensors q, k, v (or PREFIX.q, PREFIX.k, PREFIX.v) of shape [batch, heads, rows, width]", path);
}

sq_status sq_qkv_load(sq_qkv_set *set, const char *path, int64_t most, int64_t longest, sq_error *error)
{
    sq_safetensors *file;
    *set = (sq_qkv_set){ .count = 0 };
    SQ_TRY(sq__safetensors_open(&file, path, error));
    const sq_status status = load_all(set, file, path, most, longest, error);
    sq__safetensors_close(&file);
    if (status != SQ_OK) sq_qkv_set_clear(set);
    return status;
}

/* The sequences of one layer as one batch, shorter ones filled up with zeros. */
typedef struct layer { const char *name; int64_t B, H, rows[3], width[3]; char names[3][72]; } layer;

static bool first_of_name(const sq_qkv_set *set, int i)
{
    for (int j = 0; j < i; j++)
        if (strcmp(set->items[j].name, set->items[i].name) == 0) return false;
    return true;
}

static const float *part_of(const sq_qkv *item, int part) { return part == 0 ? item->q : part == 1 ? item->k : item->v; }

static layer layer_of(const sq_qkv_set *set, int first)
{
    static const char *const names[] = { "q", "k", "v" };
    const sq_qkv *like = &set->items[first];
    layer l = { .name = like->name, .H = like->H, .width = { like->D, like->D, like->M } };
    for (int i = first; i < set->count; i++) {
        const sq_qkv *item = &set->items[i];
        if (strcmp(item->name, l.name) != 0) continue;
        l.B++;
        l.rows[0] = item->T > l.rows[0] ? item->T : l.rows[0];
        l.rows[1] = l.rows[2] = item->N > l.rows[1] ? item->N : l.rows[1];
    }
    for (int part = 0; part < 3; part++)
        snprintf(l.names[part], sizeof l.names[part], "%s%s%s", strcmp(l.name, "q") ? l.name : "", strcmp(l.name, "q") ? "." : "", names[part]);
    return l;
}

/* [rows,H,width] of each sequence as [B,H,rows,width]. */
static float *batch_of(const sq_qkv_set *set, const layer *l, int part, int32_t *lengths)
{
    const int64_t width = l->width[part], one = l->H * l->rows[part] * width;
    float *y = sq__alloc_zero((size_t)(l->B * one) * sizeof *y), *at = y;
    for (int i = 0, b = 0; y && i < set->count; i++) {
        const sq_qkv *item = &set->items[i];
        const int64_t rows = part == 0 ? item->T : item->N;
        if (strcmp(item->name, l->name) != 0) continue;
        for (int64_t r = 0; r < rows; r++)
            for (int64_t h = 0; h < l->H; h++)
                memcpy(at + (h * l->rows[part] + r) * width, part_of(item, part) + (r * l->H + h) * width, (size_t)width * sizeof *y);
        lengths[b++] = (int32_t)item->N;
        at += one;
    }
    return y;
}

static sq_status write_layers(const sq_qkv_set *set, const char *path, layer *layers, sq_st_tensor *tensors, int32_t *lengths, sq_error *error)
{
    int count = 0;
    for (int i = 0; i < set->count; i++) {
        if (!first_of_name(set, i)) continue;
        layer *l = &layers[count / 3];
        *l = layer_of(set, i);
        for (int part = 0; part < 3; part++) {
            sq_st_tensor *t = &tensors[count++];
            *t = (sq_st_tensor){ .name = l->names[part], .dtype = SQ_ST_F32, .rank = 4, .shape = { l->B, l->H, l->rows[part], l->width[part] },
                                 .count = l->B * l->H * l->rows[part] * l->width[part], .data = batch_of(set, l, part, lengths) };
            if (!t->data) return sq__no_memory(error);
        }
        if (l->B != layers[0].B) return sq__fail(error, SQ_UNSUPPORTED, "%s: '%s' has another number of sequences than '%s'", path, l->name, layers[0].name);
    }
    tensors[count++] = (sq_st_tensor){ .name = "lengths", .dtype = SQ_ST_I32, .rank = 1, .shape = { layers[0].B }, .count = layers[0].B, .data = lengths };
    return sq__safetensors_write(path, tensors, count, (const char *[]){ "causal" }, (const char *[]){ set->causal ? "true" : "false" }, 1, error);
}

sq_status sq_qkv_save(const sq_qkv_set *set, const char *path, sq_error *error)
{
    const size_t most = (size_t)set->count + 1;
    layer *layers = sq__alloc_zero(most * sizeof *layers);
    sq_st_tensor *tensors = sq__alloc_zero((3 * most + 1) * sizeof *tensors);
    int32_t *lengths = sq__alloc_zero(most * sizeof *lengths);
    const sq_status status = !layers || !tensors || !lengths ? sq__no_memory(error) : write_layers(set, path, layers, tensors, lengths, error);
    for (size_t i = 0; tensors && i < 3 * most; i++)
        if (tensors[i].data != lengths) sq__free((void *)(uintptr_t)tensors[i].data);
    sq__free(layers);
    sq__free(tensors);
    sq__free(lengths);
    return status;
}

/* ---- draws ---- */

/* Runs of 1 to 2 N / topics rows of one topic; a row is its topic's direction and half as much noise. The size of a direction makes
 * scores of one topic stand out by about 4. */
sq_status sq_qkv_draw(sq_qkv_set *set, int64_t H, int64_t N, int64_t D, int64_t topics, uint64_t seed, sq_error *error)
{
    const sq_random random = sq__random_stream(seed, "inspect.topics", 0), noise = sq__random_stream(seed, "inspect.noise", 0);
    const float size = 2 * powf((float)D, -0.25f);
    *set = (sq_qkv_set){ .count = 0 };
    float *data = sq__qkv_add(set, "drawn", H, N, N, D, D), *directions = sq__alloc_array((size_t)(topics * H * D), sizeof *directions);
    if (!data || !directions) {
        sq__free(directions);
        sq_qkv_set_clear(set);
        return sq__no_memory(error);
    }
    sq__random_normal_fill(&random, directions, topics * H * D, size);
    sq__random_normal_fill(&noise, data, H * N * 3 * D, 1);
    int64_t topic = 0, left = 0;
    uint64_t draws = 1u << 30;
    for (int64_t i = 0; i < N; i++, left--) {
        if (left == 0) {
            topic = (int64_t)sq__random_below(&random, draws++, (uint64_t)topics);
            left = 1 + (int64_t)sq__random_below(&random, draws++, (uint64_t)(2 * N / topics + 1));
        }
        for (int64_t c = 0; c < H * D; c++)
            for (int64_t part = 0; part < 2; part++) {
                float *x = data + part * H * N * D + i * H * D + c;
                *x = directions[topic * H * D + c] + 0.5f * size * *x;
            }
    }
    sq__free(directions);
    return SQ_OK;
}
