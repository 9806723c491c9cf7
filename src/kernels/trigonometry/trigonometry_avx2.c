#include "kernels/simd/avx2.h"
#include "kernels/simd/functions.h"
#include "kernels/trigonometry/trigonometry_simd.h"
