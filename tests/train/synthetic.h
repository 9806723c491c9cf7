/* A small data set in memory that can be learned: the class of a client is whether a rare word occurs among its events.
 * One category column "word" (WORDS words, the last one tells), one number column of noise. Splits: by turns 6:2:2. */
#ifndef TESTS_TRAIN_SYNTHETIC_H
#define TESTS_TRAIN_SYNTHETIC_H

#include "support/check.h"

#include "base/memory.h"
#include "base/random.h"
#include "data/dataset.h"

enum { SYNTHETIC_WORDS = 6 };

static inline char *synthetic_name(const char *format, int number)
{
    char name[32];
    snprintf(name, sizeof name, format, number);
    return sq__strdup(name);
}

static inline sq_schema *synthetic_schema(int classes, int64_t max_length)
{
    sq_schema *schema = sq__alloc_zero(sizeof *schema);
    *schema = (sq_schema){ .category_count = 1, .number_count = 1, .class_count = classes, .max_length = max_length };
    schema->categories = sq__alloc_array(1, sizeof *schema->categories);
    schema->numbers = sq__alloc_array(1, sizeof *schema->numbers);
    schema->classes = sq__alloc_array((size_t)classes, sizeof *schema->classes);
    strcpy(schema->categories[0].name, "word");
    schema->categories[0].count = SYNTHETIC_WORDS;
    schema->categories[0].words = sq__alloc_array(SYNTHETIC_WORDS, sizeof(char *));
    for (int i = 0; i < SYNTHETIC_WORDS; i++) schema->categories[0].words[i] = synthetic_name("w%d", i);
    strcpy(schema->numbers[0].name, "noise");
    schema->numbers[0].transform = SQ_TRANSFORM_NONE;
    schema->numbers[0].deviation = 1;
    for (int c = 0; c < classes; c++) schema->classes[c] = synthetic_name("c%d", c);
    return schema;
}

static inline sq_dataset *synthetic(int64_t clients, int64_t shortest, int64_t longest, uint64_t seed)
{
    const sq_random draw = sq__random_stream(seed, "synthetic", 0);
    sq_dataset *data = sq__alloc_zero(sizeof *data);
    data->schema = synthetic_schema(2, longest);
    data->examples = clients;
    data->start = sq__alloc_array((size_t)clients, sizeof *data->start);
    data->length = sq__alloc_array((size_t)clients, sizeof *data->length);
    data->label = sq__alloc_array((size_t)clients, sizeof *data->label);
    data->id = sq__alloc_array((size_t)clients, sizeof *data->id);
    data->id_texts = sq__alloc_array((size_t)clients, 24);
    for (int s = 0; s < SQ_SPLIT_COUNT; s++) data->split[s] = sq__alloc_array((size_t)clients, sizeof(int64_t));
    for (int64_t i = 0; i < clients; i++) {
        data->start[i] = data->events;
        data->length[i] = (int32_t)(shortest + (int64_t)sq__random_below(&draw, (uint64_t)i, (uint64_t)(longest - shortest + 1)));
        data->events += data->length[i];
        data->label[i] = sq__random_u32(&draw, (uint64_t)(1000000 + i)) & 1;
        data->id[i] = data->id_texts + 24 * i;
        snprintf(data->id[i], 24, "client %d", (int)i);
        const sq_split split = i % 10 < 6 ? SQ_SPLIT_TRAIN : i % 10 < 8 ? SQ_SPLIT_VALIDATION : SQ_SPLIT_TEST;
        data->split[split][data->split_size[split]++] = i;
    }
    data->categories = sq__alloc_array(1, sizeof *data->categories);
    data->numbers = sq__alloc_array(1, sizeof *data->numbers);
    data->categories[0] = sq__alloc_array((size_t)data->events, sizeof(int32_t));
    data->numbers[0] = sq__alloc_array((size_t)data->events, sizeof(float));
    for (int64_t e = 0; e < data->events; e++) {
        data->categories[0][e] = 1 + (int32_t)sq__random_below(&draw, (uint64_t)(2000000 + e), SYNTHETIC_WORDS - 1);
        data->numbers[0][e] = (float)sq__random_normal(&draw, (uint64_t)(3000000 + e));
    }
    for (int64_t i = 0; i < clients; i++)
        if (data->label[i]) data->categories[0][data->start[i] + (int64_t)sq__random_below(&draw, (uint64_t)(4000000 + i), (uint64_t)data->length[i])] = SYNTHETIC_WORDS;
    return data;
}

#endif
