#include "et_reduce.h"

void et_rescale_s16_s8(const et_rescale *op, const int16_t *x, int8_t *y) {
    for (int32_t i = 0; i < op->count; ++i) {
        const int32_t value = et_requantize(x[i] - op->x_zero, op->scale) + op->zero_point;
        y[i] = (int8_t)et_clamp(value, INT8_MIN, INT8_MAX);
    }
}
