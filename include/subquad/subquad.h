/* subquad: Transformers whose attention costs less than n^2. This header includes the whole public interface. */
#ifndef SUBQUAD_SUBQUAD_H
#define SUBQUAD_SUBQUAD_H

#include "subquad/status.h"
#include "subquad/attention.h"
#include "subquad/models.h"
#include "subquad/task.h"
#include "subquad/compare.h"
#include "subquad/tools.h"
#include "subquad/inspect.h"

#endif
