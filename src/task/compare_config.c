#include "task/compare_config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "models/catalogue.h"

const sq_field sq__compare_fields[] = {
    SQ_TEXT(sq_compare_config, mechanisms, "all", "names of mechanisms, or all"),
    SQ_TEXT(sq_compare_config, models, "none", "names of other models (subquad list), all, or none"),
    SQ_TEXT(sq_compare_config, baselines, "logistic,gru", "logistic, gru, or none"),
    SQ_INT(sq_compare_config, seeds, "3", 1, 1000, "runs per mechanism, each with its own seed"),
    SQ_INT(sq_compare_config, seed, "1", 0, 1e15, "the first seed; the others follow it"),
    SQ_TEXT(sq_compare_config, lengths, "256,512,1024,2048,4096,8192,16384", "lengths of the time and memory sweep; empty: no sweep"),
    SQ_INT(sq_compare_config, sweep_heads, "0", 0, 1024, "heads in the sweep; 0: as the model"),
    SQ_INT(sq_compare_config, sweep_head_size, "0", 0, 4096, "size of a head in the sweep; 0: as the model"),
    SQ_FIELDS_END
};

enum { WORD_SIZE = 64, MOST_NAMES = 256 };

/* The next word of a list by comma, without blanks around it; false at the end. *at moves behind it. */
static bool next_word(const char **at, char *word)
{
    const char *begin = *at + strspn(*at, ", ");
    size_t length = strcspn(begin, ",");
    *at = begin + length;
    while (length > 0 && begin[length - 1] == ' ') length--;
    if (length >= WORD_SIZE) length = WORD_SIZE - 1;
    memcpy(word, begin, length);
    word[length] = 0;
    return length > 0;
}

static bool same(const char *a, const char *b)
{
    for (; *a && *b; a++, b++)
        if (*a != *b && !(strchr("-_", *a) && strchr("-_", *b))) return false;
    return *a == *b;
}

static sq_status name_list(const char *list, const char *what, const char *const *known, int known_count, const char **names, int room, int *count,
                           sq_error *error)
{
    char word[WORD_SIZE], near[128];
    *count = 0;
    if (same(list, "none")) return SQ_OK;
    while (next_word(&list, word)) {
        const char *found = NULL;
        for (int i = 0; i < known_count && !found; i++)
            if (same(word, known[i])) found = known[i];
        if (!found) return sq__fail(error, SQ_NOT_FOUND, "no %s '%s'%s", what, word, sq__did_you_mean(word, known, known_count, near, sizeof near));
        for (int i = 0; i < *count && found; i++)
            if (names[i] == found) found = NULL;   /* named twice: once is enough */
        if (found && *count < room) names[(*count)++] = found;
    }
    return SQ_OK;
}

/* A list of names of one section of the catalogue; "all" of them. */
static sq_status named_list(const char *list, const char *section, const char *what, const char **names, int room, int *count, sq_error *error)
{
    const char *known[MOST_NAMES];
    int known_count = 0;
    for (int i = 0; i < sq__named_count() && known_count < MOST_NAMES; i++) {
        const sq_named named = sq__named_at(i);
        if (strcmp(named.section, section) == 0) known[known_count++] = named.name;
    }
    if (!same(list, "all")) return name_list(list, what, known, known_count, names, room, count, error);
    *count = known_count < room ? known_count : room;
    memcpy(names, known, (size_t)*count * sizeof *names);
    return SQ_OK;
}

sq_status sq__mechanism_list(const char *list, const char **names, int room, int *count, sq_error *error)
{
    return named_list(list, "attention", "mechanism", names, room, count, error);
}

sq_status sq__model_list(const char *list, const char **names, int room, int *count, sq_error *error)
{
    return named_list(list, "models", "model", names, room, count, error);
}

sq_status sq__baseline_list(const char *list, const char **names, int room, int *count, sq_error *error)
{
    static const char *const known[] = { "logistic", "gru" };
    return name_list(same(list, "all") ? "logistic,gru" : list, "baseline", known, 2, names, room, count, error);
}

sq_status sq__length_list(const char *list, int64_t *lengths, int room, int *count, sq_error *error)
{
    char word[WORD_SIZE], *end;
    *count = 0;
    while (next_word(&list, word)) {
        errno = 0;
        const long long length = strtoll(word, &end, 10);
        if (*end || errno || length < 1 || length > 1 << 24 || (*count > 0 && length <= lengths[*count - 1]))
            return sq__fail(error, SQ_INVALID, "length '%s'; expected rising whole numbers from 1 to %d", word, 1 << 24);
        if (*count == room) return sq__fail(error, SQ_INVALID, "more than %d lengths", room);
        lengths[(*count)++] = length;
    }
    return SQ_OK;
}

sq_status sq__compare_config_check(const sq_compare_config *config, sq_error *error)
{
    const char *names[MOST_NAMES];
    int64_t lengths[64];
    int count, models, baselines;
    SQ_TRY(sq__mechanism_list(config->mechanisms, names, MOST_NAMES, &count, error));
    SQ_TRY(sq__model_list(config->models, names, MOST_NAMES, &models, error));
    SQ_TRY(sq__baseline_list(config->baselines, names, MOST_NAMES, &baselines, error));
    if (count + models + baselines == 0) return sq__fail(error, SQ_INVALID, "compare: names no mechanism, no model and no baseline");
    return sq__length_list(config->lengths, lengths, 64, &count, error);
}
