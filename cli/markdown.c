/* subquad list --markdown: the registry as docs/MECHANISMS.md, which a test compares with it. */
#include "markdown.h"

#include <stdio.h>
#include <string.h>

#include "mechanisms.h"

static const struct { unsigned bit; const char *name, *help; } abilities[] = {
#define ABILITY(code, bit, name, help) { code, name, help },
    SQ_CAN_TABLE(ABILITY)
#undef ABILITY
};
enum { ABILITY_COUNT = sizeof abilities / sizeof *abilities };

/* Text in a cell of a table: a bar would end it. */
static void put(const char *text)
{
    for (; *text; text++) {
        if (*text == '|') putchar('\\');
        putchar(*text);
    }
}

static void print_paper(const char *paper)
{
    if (strncmp(paper, "arXiv:", 6) == 0) printf("[%s](https://arxiv.org/abs/%s)", paper, paper + 6);
    else put(paper);
}

static void print_matrix(void)
{
    sq_mechanism_info info;
    printf("| mechanism |");
    for (int i = 0; i < ABILITY_COUNT; i++) printf(" %s |", abilities[i].name);
    printf(" dtype |\n|---|");
    for (int i = 0; i < ABILITY_COUNT; i++) printf(":-:|");
    printf(":-:|\n");
    for (int m = 0; sq_mechanism_get(m, &info) == SQ_OK; m++) {
        printf("| [%s](#%s) |", info.name, info.name);
        for (int i = 0; i < ABILITY_COUNT; i++) printf(" %s |", ability_word(info.can, abilities[i].bit, ""));
        printf(" f32 |\n");
    }
    printf("\nonly: a recurrence over earlier tokens, which has no plans but causal ones.\n\n"
           "No causal: what a row receives is made of the whole sequence (projections over it, landmarks, latents, clusters, the choice of exact\n"
           "rows), and hiding later keys does not undo that. `pseudo_causal` of improved-clustered and probsparse is what their published code calls\n"
           "causal: a row weighs earlier keys alone, but its cluster, its top keys, or whether it is exact, were chosen with later tokens in view.\n"
           "Later tokens leak through that choice, so a causal plan is refused with it, too.\n");
    printf("\n| ability | what it means |\n|---|---|\n");
    for (int i = 0; i < ABILITY_COUNT; i++) printf("| %s | %s |\n", abilities[i].name, abilities[i].help);
}

static void print_options(int index)
{
    sq_option_info option;
    if (name_option(index, 0, &option) != SQ_OK) {
        printf("No options.\n");
        return;
    }
    printf("| option | default | values | what it does |\n|---|---|---|---|\n");
    for (int i = 0; name_option(index, i, &option) == SQ_OK; i++) {
        char range[512];
        range_text(&option, range, sizeof range);
        printf("| `%s` | %s%s%s | ", option.name, *option.default_text ? "`" : "", option.default_text, *option.default_text ? "`" : "");
        put(range);
        printf(" | ");
        put(option.help);
        printf(" |\n");
    }
}

void print_markdown(void)
{
    sq_mechanism_info info;
    printf("# Mechanisms\n\n"
           "Written by `subquad list --markdown` from the registry; a test holds this page to it.\n\n"
           "What a mechanism cannot do is refused when a plan is made, with the reason and the nearest mechanism that can; nothing is silently\n"
           "ignored. An option set may refuse more than its mechanism does, and says why. Every length works.\n\n");
    print_matrix();
    for (int m = 0; sq_mechanism_get(m, &info) == SQ_OK; m++) {
        printf("\n## %s\n\n%s. ", info.name, info.title);
        print_paper(info.paper);
        printf(". %s.\n\n", info.cost);
        print_options(m);
    }
    printf("\n# Other models\n\nNamed by `models` in a task and `--model`. Those that stream predict after every event from a state of fixed size, and are causal.\n\n"
           "| model | streams | cost |\n|---|:-:|---|\n");
    for (int m = 0; sq_model_get(m, &info) == SQ_OK; m++)
        printf("| [%s](#%s) | %s | %s |\n", info.name, info.name, info.can & SQ_CAN_STREAM ? "yes" : "", info.cost);
    for (int m = 0; sq_model_get(m, &info) == SQ_OK; m++) {
        printf("\n## %s\n\n%s. ", info.name, info.title);
        print_paper(info.paper);
        printf(". %s.\n\n", info.cost);
        print_options(sq_mechanism_count() + m);
    }
}
