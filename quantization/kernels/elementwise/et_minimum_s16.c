#include "et_elementwise.h"

#if defined(__ARM_FEATURE_MVE)
#include <arm_mve.h>
#elif defined(__ARM_FEATURE_DSP)
#include <string.h>

#include "et_dsp.h"
#endif

void et_minimum_s16(const et_axes *axes, const int16_t *a, const int16_t *b, int16_t *y) {
    const int32_t a_step = axes->a_stride[2];
    const int32_t b_step = axes->b_stride[2];
    for (int32_t i = 0; i < axes->count[0]; ++i) {
        for (int32_t j = 0; j < axes->count[1]; ++j) {
            const int16_t *from_a = &a[i * axes->a_stride[0] + j * axes->a_stride[1]];
            const int16_t *from_b = &b[i * axes->b_stride[0] + j * axes->b_stride[1]];
            int32_t count = axes->count[2];
#if defined(__ARM_FEATURE_MVE)
            for (; a_step == 1 && b_step == 1 && count >= 8; count -= 8) {
                vstrhq_s16(y, vminq_s16(vldrhq_s16(from_a), vldrhq_s16(from_b)));
                from_a += 8;
                from_b += 8;
                y += 8;
            }
#elif defined(__ARM_FEATURE_DSP)
            for (; a_step == 1 && b_step == 1 && count >= 2; count -= 2) {
                int32_t left;
                int32_t right;
                memcpy(&left, from_a, 4);
                memcpy(&right, from_b, 4);
                left = et_dsp_minimum2(left, right);
                memcpy(y, &left, 4);
                from_a += 2;
                from_b += 2;
                y += 2;
            }
#endif
            for (; count > 0; --count) {
                *y++ = *from_a < *from_b ? *from_a : *from_b;
                from_a += a_step;
                from_b += b_step;
            }
        }
    }
}
