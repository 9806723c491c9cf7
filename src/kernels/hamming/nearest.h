/* The body of the slot, compiled once for any processor and once with the popcnt instruction. */
#include "kernels/overlay.h"

static void hamming_nearest(int32_t *nearest, const uint64_t *codes, int64_t count, const uint64_t *centroids, int64_t clusters)
{
    for (int64_t i = 0; i < count; i++) {
        int least = 65, at = 0;
        for (int c = 0; c < (int)clusters; c++) {
            const int distance = __builtin_popcountll(codes[i] ^ centroids[c]);
            at = distance < least ? c : at;
            least = distance < least ? distance : least;
        }
        nearest[i] = at;
    }
}
