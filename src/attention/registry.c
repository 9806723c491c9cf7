/* The table of mechanisms. To add one (docs/ADDING_A_MECHANISM.md has the whole checklist):
 *   1. src/attention/<name>.c in the order that kind.h gives, exporting one row, declared in registry.h;
 *   2. the row below;
 *   3. tests/reference/<name>.c (double precision, from the equation) and its line in tests/reference/reference.c: conformance walks both tables;
 *   4. reference vectors read by src/verify/, of a public implementation or from the formula;
 *   5. subquad list --markdown > docs/MECHANISMS.md, which a test compares with this table.
 * Flags, help, YAML keys, the semantics matrix and the benchmark follow from the row.
 */
#include "attention/registry.h"

#include <string.h>

static const sq_attention_kind *const kinds[] = {
    &sq__attention_softmax,
    &sq__attention_linformer,
    &sq__attention_performer,
    &sq__attention_linear,
    &sq__attention_rfa,
    &sq__attention_cosformer,
    &sq__attention_nystromformer,
    &sq__attention_infinite_former,
    &sq__attention_sinkhorn,
    &sq__attention_routing,
    &sq__attention_reformer,
    &sq__attention_sliding_window,
    &sq__attention_longformer,
    &sq__attention_sparse_transformer,
    &sq__attention_aft,
    &sq__attention_synthesizer,
    &sq__attention_set_transformer,
    &sq__attention_long_short,
    &sq__attention_bigbird,
    &sq__attention_clustered,
    &sq__attention_improved_clustered,
    &sq__attention_probsparse,
    &sq__attention_hyper,
    &sq__attention_space_time,
    &sq__attention_axial,
    &sq__attention_local_2d,
    &sq__attention_longnet,
    &sq__attention_fastformer,
    &sq__attention_memory_compressed,
    &sq__attention_retention,
    &sq__attention_gated_linear,
    &sq__attention_delta_rule,
    &sq__attention_gated_delta_rule,
    &sq__attention_ssd,
    &sq__attention_wkv,
    NULL,
};

enum { KIND_COUNT = sizeof kinds / sizeof kinds[0] - 1 };

const sq_attention_kind *const *sq__attention_kinds(void)
{
    return kinds;
}

int sq_mechanism_count(void)
{
    return KIND_COUNT;
}

int sq_mechanism_find(const char *name)
{
    for (int i = 0; i < KIND_COUNT; i++)
        if (strcmp(kinds[i]->name, name) == 0) return i;
    return -1;
}

const sq_attention_kind *sq__attention_kind(const char *name)
{
    int index = sq_mechanism_find(name);
    return index < 0 ? NULL : kinds[index];
}

sq_status sq_mechanism_get(int index, sq_mechanism_info *info)
{
    if (index < 0 || index >= KIND_COUNT) return SQ_NOT_FOUND;
    const sq_attention_kind *kind = kinds[index];
    *info = (sq_mechanism_info){ kind->name, kind->title, kind->paper, kind->cost, kind->can, sq__fields_count(kind->fields) };
    return SQ_OK;
}

sq_status sq_mechanism_option(int index, int option, sq_option_info *info)
{
    if (index < 0 || index >= KIND_COUNT || option < 0 || option >= sq__fields_count(kinds[index]->fields)) return SQ_NOT_FOUND;
    sq__field_info(&kinds[index]->fields[option], info);
    return SQ_OK;
}
