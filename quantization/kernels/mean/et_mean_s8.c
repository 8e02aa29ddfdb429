#include "et_reduce.h"

void et_mean_s8(const et_mean *op, const int8_t *x, int8_t *y) {
    for (int32_t i = 0; i < op->outer; ++i) {
        for (int32_t j = 0; j < op->inner; ++j) {
            int32_t sum = -op->zero_sum;
            for (int32_t k = 0; k < op->count; ++k) {
                sum += x[k * op->inner + j];
            }
            *y++ = (int8_t)et_clamp(et_requantize(sum, op->scale) + op->zero_point, INT8_MIN, INT8_MAX);
        }
        x += op->count * op->inner;
    }
}
