#include "et_elementwise.h"

#if defined(__ARM_FEATURE_MVE)
#include "et_mve.h"
#endif

void et_multiply_s8(const et_multiply *op, const int8_t *a, const int8_t *b, int8_t *y) {
    const et_multiply numbers = *op; /* a copy, which stores to y cannot change */
    const et_axes *axes = &op->axes;
    const int32_t a_step = axes->a_stride[2];
    const int32_t b_step = axes->b_stride[2];
    for (int32_t i = 0; i < axes->count[0]; ++i) {
        for (int32_t j = 0; j < axes->count[1]; ++j) {
            const int8_t *from_a = &a[i * axes->a_stride[0] + j * axes->a_stride[1]];
            const int8_t *from_b = &b[i * axes->b_stride[0] + j * axes->b_stride[1]];
            int32_t count = axes->count[2];
#if defined(__ARM_FEATURE_MVE)
            if ((uint32_t)a_step <= 1u && (uint32_t)b_step <= 1u) {
                for (; count > 0; count -= 4) {
                    const mve_pred16_t some = vctp32q((uint32_t)count);
                    const int32x4_t left = vsubq_n_s32(ET_LANES_S8(from_a, a_step, some), numbers.a_zero);
                    const int32x4_t right = vsubq_n_s32(ET_LANES_S8(from_b, b_step, some), numbers.b_zero);
                    const int32x4_t value = et_requantize_lanes(vmulq_s32(left, right), numbers.scale);
                    const int32x4_t moved = vaddq_n_s32(value, numbers.zero_point);
                    vstrbq_p_s32(y, et_clamp_lanes(moved, numbers.low, numbers.high), some);
                    y += count < 4 ? count : 4;
                    from_a += 4 * a_step;
                    from_b += 4 * b_step;
                }
            }
#endif
            for (; count > 0; --count) {
                const int32_t product = (*from_a - numbers.a_zero) * (*from_b - numbers.b_zero);
                const int32_t value = et_requantize(product, numbers.scale) + numbers.zero_point;
                *y++ = (int8_t)et_clamp(value, numbers.low, numbers.high);
                from_a += a_step;
                from_b += b_step;
            }
        }
    }
}
