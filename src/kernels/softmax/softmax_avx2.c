#include "kernels/simd/avx2.h"
#include "kernels/simd/functions.h"
#include "kernels/softmax/softmax_simd.h"
