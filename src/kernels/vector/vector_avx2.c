#include "kernels/simd/avx2.h"
#include "kernels/simd/functions.h"
#include "kernels/vector/vector_simd.h"
