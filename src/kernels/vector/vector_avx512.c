#include "kernels/simd/avx512.h"
#include "kernels/simd/functions.h"
#include "kernels/vector/vector_simd.h"
