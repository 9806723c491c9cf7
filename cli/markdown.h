/* The registry as a page of documentation. */
#ifndef CLI_MARKDOWN_H
#define CLI_MARKDOWN_H

void print_markdown(void);

#endif
