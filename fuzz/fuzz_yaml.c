/* YAML, and the data section out of it: what is read is written and reads back to the same. */
#define _GNU_SOURCE
#include "input.h"

#include <string.h>

#include "base/memory.h"
#include "data/config.h"

static sq_status load(sq_data_config **config, const char *text, size_t size, sq_error *error)
{
    sq_yaml_document *document;
    *config = NULL;
    sq_status status = sq__yaml_parse(&document, "input", text, size, error);
    if (status != SQ_OK) return status;
    const sq_yaml *data = sq__yaml_get(document->root, "data");
    status = sq__data_config_load(config, document, data ? data : document->root, "/tmp", error);
    sq__yaml_destroy(&document);
    return status;
}

static void check_round_trip(const sq_data_config *config)
{
    sq_data_config *again;
    sq_error error;
    char *first, *second;
    if (sq__data_config_yaml(config, &first, &error) != SQ_OK) abort();
    if (load(&again, first, strlen(first), &error) != SQ_OK) abort();
    if (sq__data_config_yaml(again, &second, &error) != SQ_OK || strcmp(first, second) != 0) abort();
    sq__free(first);
    sq__free(second);
    sq__data_config_destroy(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sq_error error = { .message = "" };
    sq_data_config *config;
    sq_status status = load(&config, (const char *)data, size, &error);
    if (status == SQ_OK) check_round_trip(config);
    sq__data_config_destroy(&config);
    check_outcome(status, &error);
    return 0;
}
