/* The `data` section of a task file. Depends on base, io. */
#ifndef SQ_DATA_CONFIG_H
#define SQ_DATA_CONFIG_H

#include "base/fields.h"
#include "io/yaml.h"

typedef struct sq_data_config sq_data_config;   /* the owner of src/data/ defines it here */

#endif
