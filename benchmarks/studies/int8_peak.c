/* The most int8 multiply-accumulates a second of one core's vector unit: the best instruction that the compiler's target has, on
 * registers alone, in as many independent sums as it takes to keep the unit busy. Prints the instruction and the rate. */
#define _POSIX_C_SOURCE 199309L
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#define SUMS 12
#define ROUNDS 200000

#if defined(__AVX512VNNI__) && defined(__AVX512F__)
#include <immintrin.h>
#define NAME "VPDPBUSD, 512 bits"
#define PRODUCTS 64
typedef __m512i lanes;
#define FILL(value) _mm512_set1_epi32(value)
#define STEP(sum, a, b) _mm512_dpbusd_epi32((sum), (a), (b))
#define FIRST(sum) _mm512_cvtsi512_si32(sum)
#elif defined(__AVXVNNI__)
#include <immintrin.h>
#define NAME "VPDPBUSD, 256 bits"
#define PRODUCTS 32
typedef __m256i lanes;
#define FILL(value) _mm256_set1_epi32(value)
#define STEP(sum, a, b) _mm256_dpbusd_avx_epi32((sum), (a), (b))
#define FIRST(sum) _mm256_cvtsi256_si32(sum)
#elif defined(__AVX2__)
#include <immintrin.h>
#define NAME "VPMADDWD and VPADDD, 256 bits"
#define PRODUCTS 16
typedef __m256i lanes;
#define FILL(value) _mm256_set1_epi32(value)
#define STEP(sum, a, b) _mm256_add_epi32((sum), _mm256_madd_epi16((a), (b)))
#define FIRST(sum) _mm256_cvtsi256_si32(sum)
#elif defined(__ARM_FEATURE_DOTPROD)
#include <arm_neon.h>
#define NAME "SDOT, 128 bits"
#define PRODUCTS 16
typedef int32x4_t lanes;
#define FILL(value) vdupq_n_s32(value)
#define STEP(sum, a, b) vdotq_s32((sum), vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b))
#define FIRST(sum) vgetq_lane_s32((sum), 0)
#elif defined(__aarch64__)
#include <arm_neon.h>
#define NAME "SMULL and SADALP, 128 bits"
#define PRODUCTS 8
typedef int32x4_t lanes;
#define FILL(value) vdupq_n_s32(value)
#define STEP(sum, a, b) vpadalq_s16((sum), vmull_s8(vget_low_s8(vreinterpretq_s8_s32(a)), vget_low_s8(vreinterpretq_s8_s32(b))))
#define FIRST(sum) vgetq_lane_s32((sum), 0)
#else
#define NAME "C, one at a time"
#define PRODUCTS 1
typedef int32_t lanes;
#define FILL(value) (value)
#define STEP(sum, a, b) ((sum) * (a) + (b))
#define FIRST(sum) (sum)
#endif

/* The compiler must take `value` for another one, or it would multiply once for all. */
#if defined(__x86_64__)
#define TOUCH(value) __asm__ volatile("" : "+x"(value))
#elif defined(__aarch64__)
#define TOUCH(value) __asm__ volatile("" : "+w"(value))
#else
#define TOUCH(value) ((void)0)
#endif

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

int main(int count, char **arguments) {
    (void)arguments;
    double best = 1e9;
    int32_t kept = 0;
    for (int turn = 0; turn < 40; ++turn) {
        lanes sum[SUMS];
        lanes a = FILL(0x01020304 * count);
        const lanes b = FILL(0x04030201 * count);
        for (int s = 0; s < SUMS; ++s) {
            sum[s] = FILL(s);
        }
        const double start = now();
        for (int32_t round = 0; round < ROUNDS; ++round) {
            for (int s = 0; s < SUMS; ++s) {
                TOUCH(a);
                sum[s] = STEP(sum[s], a, b);
            }
        }
        const double spent = now() - start;
        best = spent < best ? spent : best;
        for (int s = 0; s < SUMS; ++s) {
            kept += FIRST(sum[s]);
        }
    }
    fprintf(stderr, "%d\n", (int)kept); /* so that nothing is left out */
    printf("%s\n%.6g\n", NAME, (double)SUMS * ROUNDS * PRODUCTS / best);
    return 0;
}
