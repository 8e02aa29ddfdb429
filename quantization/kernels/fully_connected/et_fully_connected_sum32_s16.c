#include "et_fully_connected_sum32.h"
#include "et_dot.h"

#if defined(__ARM_FEATURE_MVE)
#include "et_mve.h"
#endif

void et_fully_connected_sum32_s16(const et_fully_connected_sum32 *layer, const int16_t *x, int16_t *y) {
    const et_fully_connected_sum32 numbers = *layer; /* a copy, which stores to y cannot change */
    for (int32_t row = 0; row < numbers.rows; ++row) {
        for (int32_t unit = 0; unit < numbers.units; unit += 4) {
            const int32_t left = numbers.units - unit;
            int32_t sums[4];
            et_dot_rows(x, &numbers.weights[unit * numbers.depth], numbers.depth, left < 4 ? left : 4, numbers.depth,
                        sums);
#if defined(__ARM_FEATURE_MVE)
            if (left >= 4 && !numbers.per_channel) {
                const int32x4_t total = vaddq_s32(vld1q_s32(sums), vld1q_s32(&numbers.bias[unit]));
                const int32x4_t value = vrmulhq_s32(total, vdupq_n_s32(numbers.factors[0]));
                vstrhq_s32(y, et_clamp_lanes(value, numbers.low, numbers.high));
                y += 4;
                continue;
            }
#endif
            for (int32_t k = 0; k < 4 && k < left; ++k) {
                const int32_t factor = numbers.factors[numbers.per_channel ? unit + k : 0];
                const int32_t value = et_upper_multiply(sums[k] + numbers.bias[unit + k], factor);
                *y++ = (int16_t)et_clamp(value, numbers.low, numbers.high);
            }
        }
        x += numbers.depth;
    }
}
