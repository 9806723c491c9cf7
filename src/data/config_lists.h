/* What config.c (tables, check) and config_yaml.c (YAML in and out) share. */
#ifndef SQ_DATA_CONFIG_LISTS_H
#define SQ_DATA_CONFIG_LISTS_H

#include "data/config.h"

typedef enum sq_list_kind { SQ_LIST_TEXTS, SQ_LIST_FILES, SQ_LIST_CATEGORICAL, SQ_LIST_NUMERIC } sq_list_kind;
typedef struct sq_data_list { const char *name; size_t offset; sq_list_kind kind; } sq_data_list;
extern const sq_data_list sq__data_lists[];            /* ends with name NULL */
extern const sq_field sq__data_categorical_fields[], sq__data_numeric_fields[];

sq_status sq__data_config_create(sq_data_config **config, const char *folder, sq_error *error);
void sq__text_list_clear(sq_text_list *list);

#endif
