#include "base/random.h"

#include <math.h>
#include <string.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#include <Random123/philox.h>
#pragma GCC diagnostic pop

uint64_t sq__hash_bytes(const void *data, size_t bytes, uint64_t start)
{
    uint64_t hash = start ? start : 0xcbf29ce484222325u;   /* FNV-1a offset basis */
    for (size_t i = 0; i < bytes; i++) hash = (hash ^ ((const unsigned char *)data)[i]) * 0x100000001b3u;
    return hash;
}

uint64_t sq__hash_text(const char *text)
{
    return sq__hash_bytes(text, strlen(text), 0);
}

sq_random sq__random_stream(uint64_t seed, const char *purpose, uint64_t number)
{
    return (sq_random){ seed, sq__hash_bytes(&number, sizeof number, sq__hash_text(purpose)) };
}

/* Four words of block `counter`. */
static philox4x32_ctr_t draw(const sq_random *random, uint64_t counter)
{
    philox4x32_ctr_t c = { { (uint32_t)counter, (uint32_t)(counter >> 32), (uint32_t)random->stream, (uint32_t)(random->stream >> 32) } };
    philox4x32_key_t k = { { (uint32_t)random->seed, (uint32_t)(random->seed >> 32) } };
    return philox4x32(c, k);
}

uint32_t sq__random_u32(const sq_random *random, uint64_t index)
{
    return draw(random, index).v[0];
}

uint64_t sq__random_u64(const sq_random *random, uint64_t index)
{
    philox4x32_ctr_t words = draw(random, index);
    return words.v[0] | (uint64_t)words.v[1] << 32;
}

static double unit(uint32_t low, uint32_t high)
{
    return (double)((low | (uint64_t)high << 32) >> 11) * 0x1p-53;
}

double sq__random_uniform(const sq_random *random, uint64_t index)
{
    philox4x32_ctr_t words = draw(random, index);
    return unit(words.v[0], words.v[1]);
}

uint64_t sq__random_below(const sq_random *random, uint64_t index, uint64_t bound)
{
    return (uint64_t)(((unsigned __int128)sq__random_u64(random, index) * bound) >> 64);   /* bias below bound / 2^64 */
}

/* Box-Muller; 1 - u lies in (0, 1], so that its logarithm is finite. */
double sq__random_normal(const sq_random *random, uint64_t index)
{
    philox4x32_ctr_t words = draw(random, index);
    double radius = sqrt(-2.0 * log(1.0 - unit(words.v[0], words.v[1])));
    return radius * cos(6.283185307179586476925 * unit(words.v[2], words.v[3]));
}

void sq__random_normal_fill(const sq_random *random, float *out, int64_t count, float scale)
{
    for (int64_t i = 0; i < count; i++) out[i] = scale * (float)sq__random_normal(random, (uint64_t)i);
}

void sq__random_uniform_fill(const sq_random *random, float *out, int64_t count, float low, float high)
{
    for (int64_t i = 0; i < count; i++) out[i] = low + (high - low) * (float)sq__random_uniform(random, (uint64_t)i);
}

void sq__random_permutation(const sq_random *random, int64_t *out, int64_t count)
{
    for (int64_t i = 0; i < count; i++) out[i] = i;
    for (int64_t i = count - 1; i > 0; i--) {
        int64_t j = (int64_t)sq__random_below(random, (uint64_t)i, (uint64_t)i + 1), swap = out[i];
        out[i] = out[j];
        out[j] = swap;
    }
}

enum { LANES = 16 };

/* Philox4x32-10 (Salmon et al. 2011) on LANES counters side by side, word w of counter i in c[w][i]: what Random123 gives for each. */
static void philox_lanes(uint32_t c[4][LANES], uint32_t key0, uint32_t key1)
{
    for (int round = 0; round < 10; round++, key0 += PHILOX_W32_0, key1 += PHILOX_W32_1)
#pragma omp simd
        for (int i = 0; i < LANES; i++) {
            const uint64_t even = (uint64_t)PHILOX_M4x32_0 * c[0][i], odd = (uint64_t)PHILOX_M4x32_1 * c[2][i];
            c[0][i] = (uint32_t)(odd >> 32) ^ c[1][i] ^ key0;
            c[1][i] = (uint32_t)odd;
            c[2][i] = (uint32_t)(even >> 32) ^ c[3][i] ^ key1;
            c[3][i] = (uint32_t)even;
        }
}

/* keep[4 LANES] from blocks first .. first + LANES - 1 */
static void keep_lanes(const sq_random *random, uint64_t first, uint8_t *keep, uint32_t threshold)
{
    uint32_t c[4][LANES];
    for (int i = 0; i < LANES; i++) {
        c[0][i] = (uint32_t)(first + (uint64_t)i);
        c[1][i] = (uint32_t)((first + (uint64_t)i) >> 32);
        c[2][i] = (uint32_t)random->stream;
        c[3][i] = (uint32_t)(random->stream >> 32);
    }
    philox_lanes(c, (uint32_t)random->seed, (uint32_t)(random->seed >> 32));
    for (int i = 0; i < LANES; i++)
        for (int word = 0; word < 4; word++) keep[4 * i + word] = c[word][i] >= threshold;
}

void sq__random_keep_fill(const sq_random *random, uint64_t first, uint8_t *keep, int64_t count, float p)
{
    const uint32_t threshold = (uint32_t)((double)p * 4294967295.0);
    for (int64_t i = 0; i < count;) {
        const uint64_t index = first + (uint64_t)i;
        if (index % 4 == 0 && count - i >= 4 * LANES) {
            keep_lanes(random, index / 4, keep + i, threshold);
            i += 4 * LANES;
            continue;
        }
        philox4x32_ctr_t words = draw(random, index / 4);
        for (unsigned lane = (unsigned)(index % 4); lane < 4 && i < count; lane++, i++) keep[i] = words.v[lane] >= threshold;
    }
}
