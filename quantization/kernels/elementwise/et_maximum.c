#include "et_elementwise.h"

void et_maximum_s8(const et_axes *axes, const int8_t *a, const int8_t *b, int8_t *y) {
    for (int32_t i = 0; i < axes->count[0]; ++i) {
        for (int32_t j = 0; j < axes->count[1]; ++j) {
            const int8_t *from_a = &a[i * axes->a_stride[0] + j * axes->a_stride[1]];
            const int8_t *from_b = &b[i * axes->b_stride[0] + j * axes->b_stride[1]];
            for (int32_t k = axes->count[2]; k > 0; --k) {
                *y++ = *from_a > *from_b ? *from_a : *from_b;
                from_a += axes->a_stride[2];
                from_b += axes->b_stride[2];
            }
        }
    }
}

void et_maximum_s16(const et_axes *axes, const int16_t *a, const int16_t *b, int16_t *y) {
    for (int32_t i = 0; i < axes->count[0]; ++i) {
        for (int32_t j = 0; j < axes->count[1]; ++j) {
            const int16_t *from_a = &a[i * axes->a_stride[0] + j * axes->a_stride[1]];
            const int16_t *from_b = &b[i * axes->b_stride[0] + j * axes->b_stride[1]];
            for (int32_t k = axes->count[2]; k > 0; --k) {
                *y++ = *from_a > *from_b ? *from_a : *from_b;
                from_a += axes->a_stride[2];
                from_b += axes->b_stride[2];
            }
        }
    }
}
