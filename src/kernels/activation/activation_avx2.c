#include "kernels/simd/avx2.h"
#include "kernels/simd/functions.h"
#include "kernels/activation/activation_simd.h"
