/* What config.c (tables, check), config_paths.c, config_yaml.c (in) and config_text.c (out) share. */
#ifndef SQ_DATA_CONFIG_LISTS_H
#define SQ_DATA_CONFIG_LISTS_H

#include "data/config.h"

typedef enum sq_list_kind { SQ_LIST_TEXTS, SQ_LIST_FILES, SQ_LIST_CATEGORICAL, SQ_LIST_NUMERIC } sq_list_kind;
typedef struct sq_data_list { const char *name; size_t offset; sq_list_kind kind; const char *help; } sq_data_list;
extern const sq_data_list sq__data_lists[];            /* ends with name NULL */
extern const sq_field sq__data_categorical_fields[], sq__data_numeric_fields[];

/* Every leaf has one path: "max_length", "split.seed", "explode.into". */
#define SQ_CONFIG_PATH 128
bool sq__config_each_path(bool (*visit)(void *user, const char *path), void *user);   /* true from visit stops and is returned */
const sq_data_section *sq__config_section(const char *name);
const sq_data_list *sq__config_list(const char *path);
/* The field a path names, and in *owner the struct it lies in; NULL if there is none. */
const sq_field *sq__config_field(const sq_data_config *config, const char *path, void **owner);

sq_status sq__data_config_create(sq_data_config **config, const char *folder, sq_error *error);
/* folders: a folder of texts names its columns itself. */
sq_status sq__data_target_check(const sq_data_config *config, bool folders, sq_error *error);
void sq__text_list_clear(sq_text_list *list);

#endif
