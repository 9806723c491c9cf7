#include "kernels/simd/avx512.h"
#include "kernels/simd/functions.h"
#include "kernels/activation/activation_simd.h"
