#include "models/catalogue.h"

#include <string.h>

#include "attention/kind.h"
#include "models/backbone.h"
#include "subquad/models.h"

enum { MOST_NAMES = 512 };

int sq_model_count(void)
{
    int count = 0;
    while (sq__backbone_kinds()[count]) count++;
    return count;
}

sq_status sq_model_get(int index, sq_mechanism_info *info)
{
    if (index < 0 || index >= sq_model_count()) return SQ_NOT_FOUND;
    const sq_backbone_kind *kind = sq__backbone_kinds()[index];
    *info = (sq_mechanism_info){ kind->name, kind->title, kind->paper, kind->cost,
                                 SQ_CAN_LENGTHS | (kind->can & SQ_MODEL_STREAMS ? SQ_CAN_CAUSAL | SQ_CAN_STREAM : 0), sq__fields_count(kind->fields) };
    return SQ_OK;
}

int sq_model_find(const char *name)
{
    for (int i = 0; i < sq_model_count(); i++)
        if (strcmp(sq__backbone_kinds()[i]->name, name) == 0) return i;
    return -1;
}

sq_status sq_model_option(int index, int option, sq_option_info *info)
{
    if (index < 0 || index >= sq_model_count()) return SQ_NOT_FOUND;
    const sq_field *fields = sq__backbone_kinds()[index]->fields;
    if (option < 0 || option >= sq__fields_count(fields)) return SQ_NOT_FOUND;
    sq__field_info(&fields[option], info);
    return SQ_OK;
}

int sq__named_count(void) { return sq_mechanism_count() + sq_model_count(); }

sq_named sq__named_at(int index)
{
    if (index < sq_mechanism_count()) {
        const sq_attention_kind *kind = sq__attention_kinds()[index];
        return (sq_named){ "attention", kind->name, kind->config_size, kind->fields };
    }
    const sq_backbone_kind *kind = sq__backbone_kinds()[index - sq_mechanism_count()];
    return (sq_named){ "models", kind->name, kind->config_size, kind->fields };
}

int sq__named_find(const char *name)
{
    for (int i = 0; i < sq__named_count(); i++)
        if (strcmp(sq__named_at(i).name, name) == 0) return i;
    return -1;
}

sq_status sq__name_check(const char *section, const char *name, const char *other, sq_error *error)
{
    const char *names[MOST_NAMES], *what = !section ? "mechanism or model" : strcmp(section, "attention") == 0 ? "mechanism" : "model";
    char near[128];
    int count = 0;
    for (int i = 0; i < sq__named_count() && count < MOST_NAMES - 1; i++) {
        const sq_named named = sq__named_at(i);
        if (!section || strcmp(section, named.section) == 0) names[count++] = named.name;
    }
    if (other) names[count++] = other;
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0) return SQ_OK;
    return sq__fail(error, SQ_NOT_FOUND, "no %s '%s'%s", what, name, sq__did_you_mean(name, names, count, near, sizeof near));
}
