#include "et_reduce.h"

#if defined(__ARM_FEATURE_MVE)
#include <arm_mve.h>
#elif defined(__ARM_FEATURE_DSP)
#include <string.h>

#include "et_dsp.h"
#endif

/* x[0] + x[1] + ... of elements that follow each other. */
static int32_t add_all(const int16_t *x, int32_t count) {
    int32_t sum = 0;
#if defined(__ARM_FEATURE_MVE)
    for (; count >= 8; count -= 8) {
        sum = vaddvaq_s16(sum, vldrhq_s16(x));
        x += 8;
    }
#elif defined(__ARM_FEATURE_DSP)
    for (; count >= 4; count -= 4) {
        int32_t low;
        int32_t high;
        memcpy(&low, x, 4);
        memcpy(&high, &x[2], 4);
        sum = et_dsp_dot2(low, 0x10001, sum);
        sum = et_dsp_dot2(high, 0x10001, sum);
        x += 4;
    }
#endif
    for (; count > 0; --count) {
        sum += *x++;
    }
    return sum;
}

static int16_t finished(const et_mean *op, int32_t sum) {
    return (int16_t)et_clamp(et_requantize(sum - op->zero_sum, op->scale) + op->zero_point, INT16_MIN, INT16_MAX);
}

void et_mean_s16(const et_mean *op, const int16_t *x, int16_t *y) {
    for (int32_t i = 0; i < op->outer; ++i) {
        if (op->inner == 1) {
            *y++ = finished(op, add_all(x, op->count));
        } else {
            for (int32_t j = 0; j < op->inner; ++j) {
                int32_t sum = 0;
                for (int32_t k = 0; k < op->count; ++k) {
                    sum += x[k * op->inner + j];
                }
                *y++ = finished(op, sum);
            }
        }
        x += op->count * op->inner;
    }
}
