/* subquad info: what this build is. */
#include <stdio.h>

#include "command.h"
#include "flags.h"

int command_info(int argc, char **argv)
{
    usage u = { .command = "info", .synopsis = "", .summary = "Version, instruction sets compiled in and detected, libraries, threads." };
    int count;
    int status = flags_parse(&u, argc, argv, &count);
    if (status >= 0) return status;
    char *text = NULL;
    sq_error error;
    if (sq_build_info(&text, &error) != SQ_OK) return report_error(&error);
    fputs(text, stdout);
    sq_text_free(&text);
    return 0;
}
