/* Text of everything that the result of a job depends on, and the metadata of its model file. Depends on models, data, io. */
#ifndef SQ_TRAIN_DESCRIPTION_H
#define SQ_TRAIN_DESCRIPTION_H

#include "io/safetensors.h"
#include "train/train.h"

/* Lines "key=value": mechanism, options, seed, model, training (but for when to checkpoint), data. sq__free. */
sq_status sq__describe_job(const sq_train_job *job, char **text, sq_error *error);

/* The keys and values of model.safetensors: enough, with schema.json, to make the model again. */
typedef struct sq_model_metadata {
    int count;
    char **keys, **values;
} sq_model_metadata;
sq_status sq__model_metadata_make(const sq_train_job *job, sq_model_metadata *metadata, sq_error *error);
void sq__model_metadata_clear(sq_model_metadata *metadata);

/* The other way: what a model file says. */
typedef struct sq_model_description {
    char mechanism[64];
    uint64_t seed;
    int64_t batch;
    sq_model_config model;
    int option_count;
    sq_option *options;                /* texts of its own */
} sq_model_description;
sq_status sq__model_metadata_read(const sq_safetensors *file, const char *path, const sq_schema *schema, sq_model_description *description,
                                  sq_error *error);
void sq__model_description_clear(sq_model_description *description);

extern const char sq__mechanism_gru[], sq__mechanism_logistic[];   /* the baselines' names */

#endif
