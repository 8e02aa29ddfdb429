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

#endif
