#include "et_reduce.h"

void et_inverse_root_s16(const et_inverse_root *op, const int16_t *x, int16_t *y) {
    for (int32_t i = 0; i < op->count; ++i) {
        const int32_t difference = x[i] - op->x_zero;
        if (difference == 0) {
            y[i] = INT16_MAX;
            continue;
        }
        et_scale root = et_inverse_root_scale(difference);
        root.shift += 20; /* fraction bits of the root, taken off again below */
        const et_scale scale = {op->scale.multiplier, op->scale.shift - 20};
        const int32_t value = et_requantize(et_requantize(1, root), scale) + op->zero_point;
        y[i] = (int16_t)et_clamp(value, INT16_MIN, INT16_MAX);
    }
}
