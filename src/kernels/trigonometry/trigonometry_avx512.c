#include "kernels/simd/avx512.h"
#include "kernels/simd/functions.h"
#include "kernels/trigonometry/trigonometry_simd.h"
