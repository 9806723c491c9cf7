#include <math.h>

#include "subquad/tools.h"

/* Least squares; points that are not positive and finite are left out. NaN when fewer than two different x remain. */
double sq_fitted_exponent(const double *x, const double *y, int count)
{
    double n = 0, mean_x = 0, mean_y = 0, xx = 0, xy = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < count; i++) {
            if (!(x[i] > 0) || !(y[i] > 0) || !isfinite(x[i]) || !isfinite(y[i])) continue;
            if (pass == 0) {
                n++;
                mean_x += log(x[i]);
                mean_y += log(y[i]);
            } else {
                const double dx = log(x[i]) - mean_x;
                xx += dx * dx;
                xy += dx * (log(y[i]) - mean_y);
            }
        }
        if (pass == 0 && n > 0) {
            mean_x /= n;
            mean_y /= n;
        }
    }
    return n >= 2 && xx > 0 ? xy / xx : NAN;
}
