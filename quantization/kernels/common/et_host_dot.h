/* Products of int16 and int8 for the host kernels; every sum is sure to fit 32 bits. */
#ifndef ET_HOST_DOT_H
#define ET_HOST_DOT_H

#include "et_host.h"

#if defined(ET_HOST_AVX2)
/* sum + the products of pairs of int16 */
#if defined(__AVX512VNNI__) && defined(__AVX512VL__)
#define ET_PAIRS(sum, a, b) _mm256_dpwssd_epi32((sum), (a), (b))
#elif defined(__AVXVNNI__)
#define ET_PAIRS(sum, a, b) _mm256_dpwssd_avx_epi32((sum), (a), (b))
#else
#define ET_PAIRS(sum, a, b) _mm256_add_epi32((sum), _mm256_madd_epi16((a), (b)))
#endif
#endif

/* sums[r] = a . row r of b, for four rows that begin `stride` apart. */
ET_INLINE ET_UNUSED void et_host_dots(const int16_t *a, const int8_t *b, int32_t stride, int32_t count,
                                      int32_t sums[4]) {
    int32_t k = 0;
#if defined(ET_HOST_AVX2)
    __m256i total[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(),
                        _mm256_setzero_si256()};
    for (; k + 16 <= count; k += 16) {
        const __m256i values = _mm256_loadu_si256((const __m256i *)(const void *)&a[k]);
        for (int32_t r = 0; r < 4; ++r) {
            const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)&b[r * stride + k]);
            total[r] = ET_PAIRS(total[r], values, _mm256_cvtepi8_epi16(bytes));
        }
    }
    const __m256i both =
        _mm256_hadd_epi32(_mm256_hadd_epi32(total[0], total[1]), _mm256_hadd_epi32(total[2], total[3]));
    const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
    _mm_storeu_si128((__m128i *)(void *)sums, four);
#elif defined(ET_HOST_NEON)
    int32x4_t total[4] = {vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)};
    for (; k + 16 <= count; k += 16) {
        const int16x8_t low = vld1q_s16(&a[k]);
        const int16x8_t high = vld1q_s16(&a[k + 8]);
        for (int32_t r = 0; r < 4; ++r) {
            const int8x16_t bytes = vld1q_s8(&b[r * stride + k]);
            const int16x8_t first = vmovl_s8(vget_low_s8(bytes));
            const int16x8_t second = vmovl_high_s8(bytes);
            total[r] = vmlal_s16(total[r], vget_low_s16(low), vget_low_s16(first));
            total[r] = vmlal_high_s16(total[r], low, first);
            total[r] = vmlal_s16(total[r], vget_low_s16(high), vget_low_s16(second));
            total[r] = vmlal_high_s16(total[r], high, second);
        }
    }
    vst1q_s32(sums, vpaddq_s32(vpaddq_s32(total[0], total[1]), vpaddq_s32(total[2], total[3])));
#else
    memset(sums, 0, 4 * sizeof *sums);
#endif
    for (; k < count; ++k) {
        for (int32_t r = 0; r < 4; ++r) {
            sums[r] += (int32_t)a[k] * b[r * stride + k];
        }
    }
}

/* The columns of b whose sums et_host_columns makes at once. */
#define ET_COLUMNS 64

/* sums[j] = sum_k a[k * a_step] * b[k * b_step + j], for ET_COLUMNS columns j. */
ET_INLINE ET_UNUSED void et_host_columns(const int16_t *a, int32_t a_step, const int8_t *b, int32_t b_step,
                                         int32_t count, int32_t sums[ET_COLUMNS]) {
#if defined(ET_HOST_AVX2)
    __m256i total[8];
    for (int32_t v = 0; v < 8; ++v) {
        total[v] = _mm256_setzero_si256();
    }
    for (int32_t k = 0; k < count; k += 2) {
        /* The last of an odd count is multiplied with itself and zero. */
        const int whole = k + 1 < count;
        const uint32_t low = (uint16_t)a[k * a_step];
        const uint32_t high = whole ? (uint16_t)a[(k + 1) * a_step] : 0u;
        const __m256i values = _mm256_set1_epi32((int32_t)(low | high << 16));
        const int8_t *row = &b[k * b_step];
        const int8_t *next = whole ? row + b_step : row;
        for (int32_t v = 0; v < 4; ++v) {
            const __m128i even = _mm_loadu_si128((const __m128i *)(const void *)&row[16 * v]);
            const __m128i odd = _mm_loadu_si128((const __m128i *)(const void *)&next[16 * v]);
            const __m256i first = _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(even, odd));
            const __m256i second = _mm256_cvtepi8_epi16(_mm_unpackhi_epi8(even, odd));
            total[2 * v] = ET_PAIRS(total[2 * v], values, first);
            total[2 * v + 1] = ET_PAIRS(total[2 * v + 1], values, second);
        }
    }
    for (int32_t v = 0; v < 8; ++v) {
        _mm256_storeu_si256((__m256i *)(void *)&sums[8 * v], total[v]);
    }
#elif defined(ET_HOST_NEON)
    int32x4_t total[16];
    for (int32_t v = 0; v < 16; ++v) {
        total[v] = vdupq_n_s32(0);
    }
    for (int32_t k = 0; k < count; ++k) {
        const int16_t value = a[k * a_step];
        for (int32_t v = 0; v < 8; ++v) {
            const int16x8_t row = vmovl_s8(vld1_s8(&b[k * b_step + 8 * v]));
            total[2 * v] = vmlal_n_s16(total[2 * v], vget_low_s16(row), value);
            total[2 * v + 1] = vmlal_high_n_s16(total[2 * v + 1], row, value);
        }
    }
    for (int32_t v = 0; v < 16; ++v) {
        vst1q_s32(&sums[4 * v], total[v]);
    }
#else
    memset(sums, 0, ET_COLUMNS * sizeof *sums);
    for (int32_t k = 0; k < count; ++k) {
        const int32_t factor = a[k * a_step];
        for (int32_t j = 0; j < ET_COLUMNS; ++j) {
            sums[j] += factor * b[k * b_step + j];
        }
    }
#endif
}

#endif
