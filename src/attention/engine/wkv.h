/* The weighted average of RWKV-4 (arXiv:2305.13048, eq. 16), feature by feature, for one head:
 *   y_t = (sum_{i<t} e^{-(t-1-i) w + k_i} v_i + e^{u + k_t} v_t) / (sum_{i<t} e^{-(t-1-i) w + k_i} + e^{u + k_t}),   w = exp(rate) > 0
 *   out_t = sigmoid(r_t) y_t
 * r, out [T,D]; k, v [N,D]; rate, u [D]. O((T + N) D) time. Sums are kept divided by the exponential of their largest term, so that no input is too
 * large or too small. Keeps of each row y and the logarithm of its denominator.
 * A hidden token, or one beyond the length, leaves the sums as they are; a row that sees nothing gives zeros.
 *
 * Backward, with g_t = dy_t / den_t and h_t = -g_t y_t: from the last row down, sums of e^{-(t-1-i) w} (g_t, h_t) give dv_i and dk_i, each weight
 * being at most 1; dw and du are sums on the way up, where the sums' derivatives by w are carried along. Depends on kind.h. */
#ifndef SQ_ATTENTION_ENGINE_WKV_H
#define SQ_ATTENTION_ENGINE_WKV_H

#include "attention/kind.h"

enum { SQ_WKV_STATE = 4 };

typedef struct sq_wkv {
    const sq_kernels *kernels;
    int64_t T, N, D;
    const float *r, *k, *v;
    float *out;
    int64_t r_row, k_row, v_row, out_row;
    const uint8_t *key_keep;           /* [N] or NULL */
    const float *rate, *bonus;         /* [D] */
    float *state;                      /* [SQ_WKV_STATE,D] sums of v, of 1; log of their largest term when it came, tokens since. All 0: nothing seen. Moves on */
    float *kept;                       /* [T,2,D] y, log den; NULL: nobody goes back */
    float *workspace;                  /* sq__wkv_floats(D) */
} sq_wkv;

typedef struct sq_wkv_gradients {
    const float *dout;
    float *dr, *dk, *dv;
    int64_t dout_row, dr_row, dk_row, dv_row;
    bool accumulate;                   /* dk, dv are added to, else overwritten */
    double *drate, *dbonus;            /* [D], overwritten */
} sq_wkv_gradients;

int64_t sq__wkv_floats(int64_t D);
void sq__wkv_forward(const sq_wkv *wkv);
void sq__wkv_backward(const sq_wkv *wkv, const sq_wkv_gradients *gradients);   /* state: as before the forward, overwritten; it has no gradient */

#endif
