/* bias + a . b over int8, the inner loop of the dense layers, in the instructions of the core it is compiled for. */
#ifndef ET_DOT_H
#define ET_DOT_H

#include "et_math.h"

#if defined(__ARM_FEATURE_MVE)
#include <arm_mve.h>
#elif defined(__ARM_FEATURE_DSP)
#include <string.h>

#include "et_dsp.h"
#endif

ET_INLINE ET_UNUSED int32_t et_dot_s8(const int8_t *a, const int8_t *b, int32_t count, int32_t bias) {
    int32_t sum = bias;
#if defined(__ARM_FEATURE_MVE)
    for (; count > 0; count -= 16) {
        const mve_pred16_t some = vctp8q((uint32_t)count);
        sum = vmladavaq_p_s8(sum, vldrbq_z_s8(a, some), vldrbq_z_s8(b, some), some);
        a += 16;
        b += 16;
    }
#elif defined(__ARM_FEATURE_DSP)
    for (; count >= 4; count -= 4) {
        int32_t a4;
        int32_t b4;
        memcpy(&a4, a, 4);
        memcpy(&b4, b, 4);
        sum = et_dsp_dot2(et_dsp_even_bytes(a4), et_dsp_even_bytes(b4), sum);
        sum = et_dsp_dot2(et_dsp_odd_bytes(a4), et_dsp_odd_bytes(b4), sum);
        a += 4;
        b += 4;
    }
    for (; count > 0; --count) {
        sum += (int32_t)*a++ * *b++;
    }
#else
    for (int32_t k = 0; k < count; ++k) {
        sum += (int32_t)a[k] * b[k];
    }
#endif
    return sum;
}

/* Most products of int16 and int8 whose sum is sure to fit 32 bits: 511 * 2^15 * 2^7 < 2^31. */
#define ET_DOT_WIDE_MOST 508

/* a . b for count <= ET_DOT_WIDE_MOST. */
ET_INLINE ET_UNUSED int32_t et_dot_s16_s8(const int16_t *a, const int8_t *b, int32_t count) {
    int32_t sum = 0;
#if defined(__ARM_FEATURE_MVE)
    for (; count > 0; count -= 8) {
        const mve_pred16_t some = vctp16q((uint32_t)count);
        sum = vmladavaq_p_s16(sum, vldrhq_z_s16(a, some), vldrbq_z_s16(b, some), some);
        a += 8;
        b += 8;
    }
#elif defined(__ARM_FEATURE_DSP)
    for (; count >= 4; count -= 4) {
        int32_t low;
        int32_t high;
        int32_t b4;
        memcpy(&low, a, 4);
        memcpy(&high, &a[2], 4);
        memcpy(&b4, b, 4);
        const int32_t even = et_dsp_even_bytes(b4);
        const int32_t odd = et_dsp_odd_bytes(b4);
        sum = et_dsp_dot2(low, et_dsp_pack_bottoms(even, odd), sum);
        sum = et_dsp_dot2(high, et_dsp_pack_tops(odd, even), sum);
        a += 4;
        b += 4;
    }
    for (; count > 0; --count) {
        sum += (int32_t)*a++ * *b++;
    }
#else
    for (int32_t k = 0; k < count; ++k) {
        sum += (int32_t)a[k] * b[k];
    }
#endif
    return sum;
}

/* sums[r] = a . row r of b, for `rows` (1 to 4) rows that begin `stride` apart; count products of sure 32-bit sum. */
ET_INLINE ET_UNUSED void et_dot_rows(const int16_t *a, const int8_t *b, int32_t stride, int32_t rows, int32_t count,
                                     int32_t sums[4]) {
#if defined(__ARM_FEATURE_MVE)
    if (rows == 4 && count % 8 == 0) {
        const int8_t *b1 = b + stride;
        const int8_t *b2 = b1 + stride;
        const int8_t *b3 = b2 + stride;
        int32_t sum0 = 0;
        int32_t sum1 = 0;
        int32_t sum2 = 0;
        int32_t sum3 = 0;
        for (int32_t k = 0; k < count; k += 8) {
            const int16x8_t values = vldrhq_s16(&a[k]);
            sum0 = vmladavaq_s16(sum0, values, vldrbq_s16(&b[k]));
            sum1 = vmladavaq_s16(sum1, values, vldrbq_s16(&b1[k]));
            sum2 = vmladavaq_s16(sum2, values, vldrbq_s16(&b2[k]));
            sum3 = vmladavaq_s16(sum3, values, vldrbq_s16(&b3[k]));
        }
        sums[0] = sum0;
        sums[1] = sum1;
        sums[2] = sum2;
        sums[3] = sum3;
        return;
    }
#endif
    for (int32_t r = 0; r < rows; ++r) {
        int32_t sum = 0;
        for (int32_t start = 0; start < count; start += ET_DOT_WIDE_MOST) {
            const int32_t rest = count - start;
            sum += et_dot_s16_s8(&a[start], &b[r * stride + start], rest < ET_DOT_WIDE_MOST ? rest : ET_DOT_WIDE_MOST);
        }
        sums[r] = sum;
    }
}

#endif
