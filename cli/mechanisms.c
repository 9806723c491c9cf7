#include "mechanisms.h"

#include <stdio.h>
#include <string.h>

static bool get_option(int mechanism, const char *name, sq_option_info *info)
{
    for (int i = 0; sq_mechanism_option(mechanism, i, info) == SQ_OK; i++)
        if (same_name(info->name, name)) return true;
    return false;
}

int parse_mechanisms(const char *command, const char *text, int *indices, int *count)
{
    *count = 0;
    if (strcmp(text, "all") == 0) {
        for (; *count < sq_mechanism_count() && *count < MAX_MECHANISMS; (*count)++) indices[*count] = *count;
        return -1;
    }
    for (const char *at = text;; at++) {
        char name[64];
        size_t length = strcspn(at, ",");
        snprintf(name, sizeof name, "%.*s", (int)(length < sizeof name ? length : sizeof name - 1), at);
        int index = sq_mechanism_find(name);
        if (index < 0) {
            const char *names[MAX_MECHANISMS];
            char hint[128];
            int known = 0;
            sq_mechanism_info info;
            for (; known < MAX_MECHANISMS && sq_mechanism_get(known, &info) == SQ_OK; known++) names[known] = info.name;
            return usage_error(command, "unknown mechanism '%s'%s", name, did_you_mean(name, "", names, known, hint, sizeof hint));
        }
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
    for (int i = 0; i < sq_mechanism_count(); i++) {
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
    for (int i = 0; i < sq_mechanism_count(); i++)
        for (int j = 0; sq_mechanism_option(i, j, &info) == SQ_OK; j++) {
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
        for (int j = 0; j < sq_mechanism_count(); j++) {
            sq_mechanism_info mechanism;
            if (!get_option(j, names[i], &info) || sq_mechanism_get(j, &mechanism) != SQ_OK) continue;
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

int options_of(int mechanism, const pairs *given, sq_option *chosen)
{
    int count = 0;
    sq_option_info info;
    for (int i = 0; i < given->count; i++)
        if (get_option(mechanism, given->item[i].key, &info)) chosen[count++] = (sq_option){ info.name, given->item[i].value };
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
            for (int k = 0; options < 256 && sq_mechanism_option(indices[j], k, &info) == SQ_OK; k++) names[options++] = info.name;
        return usage_error(command, "none of the chosen mechanisms has an option '%s'%s", given->item[i].key,
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
