/* subquad list: the registry as a matrix and the other models, or one of them in full. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "markdown.h"
#include "mechanisms.h"
#include "table.h"

static const struct { unsigned bit; const char *name, *help; } abilities[] = {
#define ABILITY(code, bit, name, help) { code, name, help },
    SQ_CAN_TABLE(ABILITY)
#undef ABILITY
};
enum { ABILITY_COUNT = sizeof abilities / sizeof *abilities };

static void list_models(void)
{
    const char *headings[] = { "model", "stream", "paper", "cost" };
    table t;
    sq_mechanism_info info;
    table_begin(&t, headings, 4);
    for (int i = 0; sq_model_get(i, &info) == SQ_OK; i++) {
        table_row_begin(&t);
        table_cell(&t, 0, "%s", info.name);
        table_cell(&t, 1, "%s", info.can & SQ_CAN_STREAM ? "yes" : "-");
        table_cell(&t, 2, "%s", info.paper);
        table_cell(&t, 3, "%s", info.cost);
    }
    printf("\nOther models (stream: predicts after every event, from a state of fixed size):\n\n");
    table_print(&t, stdout);
}

static void list_all(void)
{
    static const char *const cost_headings[] = { "mechanism", "paper", "cost" };
    const char *headings[1 + ABILITY_COUNT] = { "mechanism" };
    table t, costs;
    sq_mechanism_info info;
    for (int i = 0; i < ABILITY_COUNT; i++) headings[1 + i] = abilities[i].name;
    table_begin(&t, headings, 1 + ABILITY_COUNT);
    table_begin(&costs, cost_headings, 3);
    for (int i = 0; sq_mechanism_get(i, &info) == SQ_OK; i++) {
        table_row_begin(&t);
        table_cell(&t, 0, "%s", info.name);
        for (int j = 0; j < ABILITY_COUNT; j++) table_cell(&t, 1 + j, "%s", ability_word(info.can, abilities[j].bit, "-"));
        table_row_begin(&costs);
        table_cell(&costs, 0, "%s", info.name);
        table_cell(&costs, 1, "%s", info.paper);
        table_cell(&costs, 2, "%s", info.cost);
    }
    table_print(&t, stdout);
    printf("\n");
    table_print(&costs, stdout);
    printf("\n");
    for (int i = 0; i < ABILITY_COUNT; i++) printf("%-9s%s\n", abilities[i].name, abilities[i].help);
    printf("%-9s%s\n", "only", "a recurrence over earlier tokens, which has no plans but causal ones");
    list_models();
    printf("\n'subquad list NAME' shows options.\n");
}

static void list_one(int index)
{
    sq_mechanism_info info;
    sq_option_info option;
    if (name_get(index, &info) != SQ_OK) return;
    printf("%s: %s\npaper: %s\ncost:  %s\n", info.name, info.title, info.paper, info.cost);
    for (int i = 0; i < ABILITY_COUNT; i++)
        if (!name_is_model(index) || abilities[i].bit & (SQ_CAN_CAUSAL | SQ_CAN_STREAM | SQ_CAN_LENGTHS))
            printf("%s %-8s %s\n", i ? "      " : "can:  ", abilities[i].name, ability_word(info.can, abilities[i].bit, "no"));
    if (info.option_count == 0) printf("\nno options\n");
    else printf("\noptions (flag --name, task key %s.%s.name):\n", name_is_model(index) ? "models" : "attention", info.name);
    for (int i = 0; name_option(index, i, &option) == SQ_OK; i++) {
        char range[512];
        range_text(&option, range, sizeof range);
        printf("  %s = %s\n      %s\n      values: %s\n", option.name, *option.default_text ? option.default_text : "\"\"", option.help, range);
    }
}

int command_list(int argc, char **argv)
{
    bool markdown = false;
    const flag flags[] = { { "markdown", 0, FLAG_SWITCH, &markdown, NULL, "everything, as the page docs/MECHANISMS.md" } };
    usage u = { .command = "list", .synopsis = "[NAME...] [--markdown]", .flags = flags, .flag_count = 1,
                .summary = "The attention mechanisms and other models: paper, cost, what each can do. With names: their options, too.", .most = -1 };
    int count, indices[MAX_MECHANISMS], found;
    int status = flags_parse(&u, argc, argv, &count);
    if (status >= 0) return status;
    if (markdown) print_markdown();
    else if (count == 0) list_all();
    for (int i = 0; i < count; i++) {
        status = parse_names(u.command, NAMES_ALL, argv[1 + i], indices, &found);
        if (status >= 0) return status;
        for (int j = 0; j < found; j++) {
            if (i || j) printf("\n");
            list_one(indices[j]);
        }
    }
    return 0;
}
