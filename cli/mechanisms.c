#include "mechanisms.h"

#include <stdio.h>
#include <string.h>

bool name_is_model(int index) { return index >= sq_mechanism_count(); }

sq_status name_get(int index, sq_mechanism_info *info)
{
    return name_is_model(index) ? sq_model_get(index - sq_mechanism_count(), info) : sq_mechanism_get(index, info);
}

sq_status name_option(int index, int option, sq_option_info *info)
{
    return name_is_model(index) ? sq_model_option(index - sq_mechanism_count(), option, info) : sq_mechanism_option(index, option, info);
}

static int name_count(void) { return sq_mechanism_count() + sq_model_count(); }

static bool get_option(int index, const char *name, sq_option_info *info)
{
    for (int i = 0; name_option(index, i, info) == SQ_OK; i++)
        if (same_name(info->name, name)) return true;
    return false;
}

static int unknown_name(const char *command, name_kind kind, const char *name, int first, int last)
{
    static const char *const kinds[] = { "mechanism", "model", "mechanism or model" };
    const char *names[MAX_MECHANISMS];
    char hint[128];
    int known = 0;
    sq_mechanism_info info;
    for (int i = first; known < MAX_MECHANISMS && i < last && name_get(i, &info) == SQ_OK; i++) names[known++] = info.name;
    return usage_error(command, "unknown %s '%s'%s", kinds[kind], name, did_you_mean(name, "", names, known, hint, sizeof hint));
}

int parse_names(const char *command, name_kind kind, const char *text, int *indices, int *count)
{
    const int first = kind == NAMES_MODELS ? sq_mechanism_count() : 0, last = kind == NAMES_ATTENTION ? sq_mechanism_count() : name_count();
    sq_mechanism_info info;
    *count = 0;
    for (int i = first; strcmp(text, "all") == 0 && i < last && *count < MAX_MECHANISMS; i++) indices[(*count)++] = i;
    if (*count > 0) return -1;
    for (const char *at = text;; at++) {
        char name[64];
        size_t length = strcspn(at, ",");
        snprintf(name, sizeof name, "%.*s", (int)(length < sizeof name ? length : sizeof name - 1), at);
        int index = first;
        while (index < last && (name_get(index, &info) != SQ_OK || !same_name(info.name, name))) index++;
        if (index == last) return unknown_name(command, kind, name, first, last);
        bool again = false;
        for (int i = 0; i < *count; i++) again = again || indices[i] == index;
        if (!again && *count < MAX_MECHANISMS) indices[(*count)++] = index;
        at += length;
        if (!*at) return -1;
    }
}

bool find_option(const char *name, sq_option_type *type)
{
    sq_option_info info;
    for (int i = 0; i < name_count(); i++) {
        if (!get_option(i, name, &info)) continue;
        *type = info.type;
        return true;
    }
    return false;
}

int option_names(const char **names, int room)
{
    int count = 0;
    sq_option_info info;
    for (int i = 0; i < name_count(); i++)
        for (int j = 0; name_option(i, j, &info) == SQ_OK; j++) {
            bool again = false;
            for (int k = 0; k < count; k++) again = again || same_name(names[k], info.name);
            if (!again && count < room) names[count++] = info.name;
        }
    return count;
}

void print_option_flags(void)
{
    const char *names[256];
    int count = option_names(names, 256);
    for (int i = 0; i < count; i++) {
        sq_option_info info;
        char owners[1024] = "", flag_text[96], text[2048];
        const char *help = "";
        for (int j = 0; j < name_count(); j++) {
            sq_mechanism_info mechanism;
            if (!get_option(j, names[i], &info) || name_get(j, &mechanism) != SQ_OK) continue;
            size_t used = strlen(owners);
            snprintf(owners + used, sizeof owners - used, "%s%s", used ? ", " : "", mechanism.name);
            if (!*help) help = info.help;
        }
        snprintf(flag_text, sizeof flag_text, "--%s", names[i]);
        for (char *c = flag_text + 2; *c; c++)
            if (*c == '_') *c = '-';
        snprintf(text, sizeof text, "%s (%s)", help, owners);
        print_help_row(flag_text, 28, text);
    }
}

int options_of(int index, const pairs *given, sq_option *chosen)
{
    int count = 0;
    sq_option_info info;
    for (int i = 0; i < given->count; i++)
        if (get_option(index, given->item[i].key, &info)) chosen[count++] = (sq_option){ info.name, given->item[i].value };
    return count;
}

int check_options(const char *command, const int *indices, int count, const pairs *given)
{
    for (int i = 0; i < given->count; i++) {
        sq_option_info info;
        bool known = false;
        for (int j = 0; j < count && !known; j++) known = get_option(indices[j], given->item[i].key, &info);
        if (known) continue;
        const char *names[256];
        char hint[128];
        int options = 0;
        for (int j = 0; j < count; j++)
            for (int k = 0; options < 256 && name_option(indices[j], k, &info) == SQ_OK; k++) names[options++] = info.name;
        return usage_error(command, "none of the chosen models has an option '%s'%s", given->item[i].key,
                           did_you_mean(given->item[i].key, "--", names, options, hint, sizeof hint));
    }
    return -1;
}

void range_text(const sq_option_info *option, char *text, size_t size)
{
    text[0] = '\0';
    switch (option->type) {
    case SQ_OPTION_INT:
    case SQ_OPTION_FLOAT:
        if (option->maximum >= 1e15) snprintf(text, size, "%.10g and more", option->minimum);
        else snprintf(text, size, "%.10g to %.10g", option->minimum, option->maximum);
        break;
    case SQ_OPTION_BOOL:
        snprintf(text, size, "true, false");
        break;
    case SQ_OPTION_CHOICE:
        for (int i = 0; option->choices[i]; i++) {
            size_t used = strlen(text);
            snprintf(text + used, size - used, "%s%s", i ? ", " : "", option->choices[i]);
        }
        break;
    case SQ_OPTION_TEXT:
        snprintf(text, size, "text");
        break;
    }
}

const char *ability_word(unsigned can, unsigned bit, const char *no)
{
    if (bit == SQ_CAN_CAUSAL && can & SQ_CAUSAL_ONLY) return "only";
    return can & bit ? "yes" : no;
}
