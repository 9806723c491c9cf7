#include "kernels/simd/avx2.h"
#include "kernels/norm/norm_simd.h"
