/* Body of the additive elementwise kernels for one type: define ET_NAME, ET_TYPE and ET_COMBINE(sum of op, a, b). */
void ET_NAME(const et_add *op, const ET_TYPE *a, const ET_TYPE *b, ET_TYPE *y) {
    const et_axes *axes = &op->axes;
    for (int32_t i = 0; i < axes->count[0]; ++i) {
        for (int32_t j = 0; j < axes->count[1]; ++j) {
            const ET_TYPE *from_a = &a[i * axes->a_stride[0] + j * axes->a_stride[1]];
            const ET_TYPE *from_b = &b[i * axes->b_stride[0] + j * axes->b_stride[1]];
            for (int32_t k = 0; k < axes->count[2]; ++k) {
                const int32_t left = (*from_a - op->a_zero) * (1 << op->left_shift);
                const int32_t right = (*from_b - op->b_zero) * (1 << op->left_shift);
                const int32_t scaled_a = et_requantize(left, op->a_scale);
                const int32_t scaled_b = et_requantize(right, op->b_scale);
                const int32_t value = ET_COMBINE(op, scaled_a, scaled_b);
                *y++ = (ET_TYPE)et_clamp(et_requantize(value, op->scale) + op->zero_point, op->low, op->high);
                from_a += axes->a_stride[2];
                from_b += axes->b_stride[2];
            }
        }
    }
}

#undef ET_NAME
#undef ET_TYPE
#undef ET_COMBINE
