/* The `compare` section of a task file. Depends on models (the names), base. */
#ifndef SQ_TASK_COMPARE_CONFIG_H
#define SQ_TASK_COMPARE_CONFIG_H

#include "base/fields.h"

typedef struct sq_compare_config {
    char mechanisms[SQ_TEXT_FIELD_SIZE];   /* names by comma, or "all" */
    char models[SQ_TEXT_FIELD_SIZE];       /* names by comma, "all" or "none" */
    char baselines[SQ_TEXT_FIELD_SIZE];    /* of "logistic", "gru"; or "none" */
    int64_t seeds, seed;                   /* how many, and the first */
    char lengths[SQ_TEXT_FIELD_SIZE];      /* rising whole numbers by comma; "" no sweep */
    int64_t sweep_heads, sweep_head_size;  /* 0: of the model */
} sq_compare_config;

extern const sq_field sq__compare_fields[];

/* Unknown mechanisms and baselines (the nearest is named), lengths that are no rising numbers. */
sq_status sq__compare_config_check(const sq_compare_config *config, sq_error *error);
/* The names of a list: "all" is everything there is, "none" and "" are empty; SQ_NOT_FOUND with the nearest for another name.
 * names [room] point at static text; each at most once. */
sq_status sq__mechanism_list(const char *list, const char **names, int room, int *count, sq_error *error);
sq_status sq__model_list(const char *list, const char **names, int room, int *count, sq_error *error);
sq_status sq__baseline_list(const char *list, const char **names, int room, int *count, sq_error *error);
sq_status sq__length_list(const char *list, int64_t *lengths, int room, int *count, sq_error *error);

#endif
