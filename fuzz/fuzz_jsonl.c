/* Texts from JSON lines. */
#define _GNU_SOURCE
#include "input.h"

#include <string.h>

#include "data/dataset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char form[] = "kind: text\nformat: jsonl\nid: id\ntext: text\ntarget: label\nmax_length: 16\nsplit: {validation: 0, test: 0.3}\non_broken_row: skip\n";
    char text[512];
    sq_error error = { .message = "" };
    sq_yaml_document *document;
    sq_data_config *config;
    sq_dataset *dataset;
    snprintf(text, sizeof text, "files: %s\n%s", input_path(data, size), form);
    if (sq__yaml_parse(&document, "form", text, strlen(text), &error) != SQ_OK) abort();
    if (sq__data_config_load(&config, document, document->root, "/", &error) != SQ_OK) abort();
    sq__yaml_destroy(&document);
    sq_status status = sq__dataset_load(&dataset, config, NULL, &error);
    sq__dataset_destroy(&dataset);
    sq__data_config_destroy(&config);
    check_outcome(status, &error);
    return 0;
}
