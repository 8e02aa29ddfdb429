#include "et_elementwise.h"

void et_minimum_s8(const et_axes *axes, const int8_t *a, const int8_t *b, int8_t *y) {
    const int32_t count = axes->count[2];
    const int32_t a_step = axes->a_stride[2];
    const int32_t b_step = axes->b_stride[2];
    for (int32_t i = 0; i < axes->count[0]; ++i) {
        for (int32_t j = 0; j < axes->count[1]; ++j) {
            const int8_t *from_a = &a[i * axes->a_stride[0] + j * axes->a_stride[1]];
            const int8_t *from_b = &b[i * axes->b_stride[0] + j * axes->b_stride[1]];
            for (int32_t k = count; k > 0; --k) {
                *y++ = *from_a < *from_b ? *from_a : *from_b;
                from_a += a_step;
                from_b += b_step;
            }
        }
    }
}
