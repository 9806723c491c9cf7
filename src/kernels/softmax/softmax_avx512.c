#include "kernels/simd/avx512.h"
#include "kernels/simd/functions.h"
#include "kernels/softmax/softmax_simd.h"
