#include "et_reduce.h"

void et_rescale_s8_s16(const et_rescale *op, const int8_t *x, int16_t *y) {
    for (int32_t i = 0; i < op->count; ++i) {
        const int32_t value = et_requantize(x[i] - op->x_zero, op->scale) + op->zero_point;
        y[i] = (int16_t)et_clamp(value, INT16_MIN, INT16_MAX);
    }
}
