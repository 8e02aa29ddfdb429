#include "et_reduce.h"

void et_inverse_root_s8(const et_inverse_root *op, const int8_t *x, int8_t *y) {
    for (int32_t i = 0; i < op->count; ++i) {
        const int32_t difference = x[i] - op->x_zero;
        if (difference == 0) {
            y[i] = INT8_MAX;
            continue;
        }
        et_scale root = et_inverse_root_scale(difference);
        root.shift += 20; /* fraction bits of the root, taken off again below */
        const et_scale scale = {op->scale.multiplier, op->scale.shift - 20};
        const int32_t value = et_requantize(et_requantize(1, root), scale) + op->zero_point;
        y[i] = (int8_t)et_clamp(value, INT8_MIN, INT8_MAX);
    }
}
