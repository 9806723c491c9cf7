/* Means of a sequence's rows over m segments of following rows: landmarks.
 *
 * Rows are numbered from 0 (all of them, or the kept ones alone) and cut into m runs whose lengths differ by at most one, the longer ones last;
 * `front` empty rows may stand before row 0. Hidden rows may hold anything. O(n D). Depends on kind.h. */
#ifndef SQ_ATTENTION_ENGINE_SEGMENTS_H
#define SQ_ATTENTION_ENGINE_SEGMENTS_H

#include "attention/kind.h"

typedef enum sq_segment_share {
    SQ_SEGMENT_KEPT,                   /* hidden rows are not numbered: every segment is the mean of as many kept rows */
    SQ_SEGMENT_LENGTH,                 /* hidden rows are zeros that count */
    SQ_SEGMENT_COUNT,                  /* hidden rows are numbered and left out of the mean; segments of them alone are empty; 1e-8 is added to counts */
} sq_segment_share;

typedef struct sq_segments {
    int64_t n, D, m, front;            /* n + front, or with SQ_SEGMENT_KEPT the number of kept rows, >= m */
    const uint8_t *keep;               /* [n] or NULL */
    sq_segment_share share;
} sq_segments;

int64_t sq__segments_kept(const uint8_t *keep, int64_t n);             /* rows that keep keeps; NULL: all */
void sq__segments_shares(const sq_segments *segments, float *shares);  /* [m]: what a row of a segment is multiplied by; 0: an empty segment */
void sq__segments_forward(const sq_segments *segments, const sq_kernels *kernels, const float *shares, const float *x, int64_t x_row, float *y);
/* dx of the kept rows is ADDED to. */
void sq__segments_backward(const sq_segments *segments, const sq_kernels *kernels, const float *shares, const float *dy, float *dx, int64_t dx_row);

#endif
