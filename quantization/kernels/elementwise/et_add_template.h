/* Body of the additive elementwise kernels for one type: define ET_NAME, ET_TYPE, ET_COMBINE(sign, a, b) and, for
 * Helium, ET_COMBINE_LANES, ET_LANES and ET_STORE. */
void ET_NAME(const et_add *op, const ET_TYPE *a, const ET_TYPE *b, ET_TYPE *y) {
    const et_add numbers = *op; /* a copy, which stores to y cannot change */
    const et_axes *axes = &op->axes;
    const int32_t a_step = axes->a_stride[2];
    const int32_t b_step = axes->b_stride[2];
    for (int32_t i = 0; i < axes->count[0]; ++i) {
        for (int32_t j = 0; j < axes->count[1]; ++j) {
            const ET_TYPE *from_a = &a[i * axes->a_stride[0] + j * axes->a_stride[1]];
            const ET_TYPE *from_b = &b[i * axes->b_stride[0] + j * axes->b_stride[1]];
            int32_t count = axes->count[2];
#if defined(__ARM_FEATURE_MVE)
            if ((uint32_t)a_step <= 1u && (uint32_t)b_step <= 1u) {
                for (; count > 0; count -= 4) {
                    const mve_pred16_t some = vctp32q((uint32_t)count);
                    const int32x4_t left = vsubq_n_s32(ET_LANES(from_a, a_step, some), numbers.a_zero);
                    const int32x4_t right = vsubq_n_s32(ET_LANES(from_b, b_step, some), numbers.b_zero);
                    const int32x4_t scaled_a =
                        et_requantize_lanes(vshlq_r_s32(left, numbers.left_shift), numbers.a_scale);
                    const int32x4_t scaled_b =
                        et_requantize_lanes(vshlq_r_s32(right, numbers.left_shift), numbers.b_scale);
                    const int32x4_t sum = ET_COMBINE_LANES(numbers.sign, scaled_a, scaled_b);
                    const int32x4_t value =
                        vaddq_n_s32(et_requantize_lanes(sum, numbers.scale), numbers.zero_point);
                    ET_STORE(y, et_clamp_lanes(value, numbers.low, numbers.high), some);
                    y += count < 4 ? count : 4;
                    from_a += 4 * a_step;
                    from_b += 4 * b_step;
                }
            }
#endif
            for (; count > 0; --count) {
                const int32_t left = (*from_a - numbers.a_zero) * (1 << numbers.left_shift);
                const int32_t right = (*from_b - numbers.b_zero) * (1 << numbers.left_shift);
                const int32_t scaled_a = et_requantize(left, numbers.a_scale);
                const int32_t scaled_b = et_requantize(right, numbers.b_scale);
                const int32_t value =
                    et_requantize(ET_COMBINE(numbers.sign, scaled_a, scaled_b), numbers.scale) + numbers.zero_point;
                *y++ = (ET_TYPE)et_clamp(value, numbers.low, numbers.high);
                from_a += a_step;
                from_b += b_step;
            }
        }
    }
}

#undef ET_NAME
#undef ET_TYPE
#undef ET_COMBINE
