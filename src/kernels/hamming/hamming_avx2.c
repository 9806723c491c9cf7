#include "kernels/hamming/nearest.h"

void sq__hamming_avx2(sq_kernels *table)
{
    table->hamming_nearest = hamming_nearest;
}
