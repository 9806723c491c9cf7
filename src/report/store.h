/* runs.db: the results store (SQLite). Every call is one transaction, so a process killed at any moment leaves whole rows; what is stored
 * again replaces its rows. Tables: runs and epochs (by mechanism and seed), sweep (by mechanism, length, pass), refused, environment.
 * Depends on base. */
#ifndef SQ_REPORT_STORE_H
#define SQ_REPORT_STORE_H

#include "report/comparison.h"

typedef struct sq_store sq_store;

/* Made if absent. SQ_FORMAT: a file that is no database, or one of another program or version. */
sq_status sq__store_open(sq_store **store, const char *path, sq_error *error);
void sq__store_close(sq_store **store);   /* NULL allowed */

sq_status sq__store_run(sq_store *store, const sq_run_result *run, bool baseline, sq_error *error);
sq_status sq__store_sweep(sq_store *store, const char *mechanism, const sq_sweep_point *points, int count, sq_error *error);
sq_status sq__store_refused(sq_store *store, const char *mechanism, const char *reason, sq_error *error);   /* reason NULL: not any more */
sq_status sq__store_environment(sq_store *store, const sq_report_pair *pairs, int count, sq_error *error);

#endif
