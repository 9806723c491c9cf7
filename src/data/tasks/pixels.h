/* Images for permuted-pixels: IDX files that the user has, or digits drawn here. Depends on io, base. */
#ifndef SQ_DATA_TASKS_PIXELS_H
#define SQ_DATA_TASKS_PIXELS_H

#include "data/generate.h"
#include "base/status.h"

/* ---- idx.c: IDX files of unsigned bytes, as of MNIST; compressed ones, too ---- */

typedef struct sq_idx { int rank; int64_t shape[4], count; uint8_t *values; } sq_idx;
sq_status sq__idx_read(sq_idx *idx, const char *path, sq_error *error);   /* hostile until checked */
void sq__idx_clear(sq_idx *idx);

/* ---- digits.c ---- */

/* A digit 0 to 9 of strokes as on a seven-segment display, into size x size bytes: shifted, scaled, slanted, its joints moved, its
 * stroke of random width, with noise. */
void sq__digit_draw(int digit, int64_t size, sq_draws *draws, uint8_t *pixels);

#endif
