#include "kernels/simd/avx512.h"
#include "kernels/norm/norm_simd.h"
