/* Body of the softmax of int8 for one output type: define ET_NAME, ET_OUTPUT, ET_LOW, ET_HIGH and ET_BITS. */
void ET_NAME(const et_softmax *op, const int8_t *x, ET_OUTPUT *y) {
    for (int32_t row = 0; row < op->rows; ++row) {
        int32_t largest = INT8_MIN;
        for (int32_t k = 0; k < op->depth; ++k) {
            largest = x[k] > largest ? x[k] : largest;
        }
        uint32_t sum = 0;
        for (int32_t k = 0; k < op->depth; ++k) {
            const int32_t distance = largest - x[k];
            if (distance < op->count) {
                /* 12 integer bits: the exponentials are positive, so that halves round up. Not by adding 2^11, at which
                 * GCC 12.2 stops with an internal error for RISC-V with Zbs. */
                sum += (((uint32_t)op->exponentials[distance] >> 11) + 1u) >> 1;
            }
        }
        int32_t headroom = 0; /* leading zeros of the sum, and one */
        while ((sum << headroom) < 0x80000000u) {
            ++headroom;
        }
        ++headroom;
        const int32_t reciprocal = et_reciprocal_above_one((int32_t)((sum << (headroom - 1)) - 0x80000000u));
        const int32_t shift = 12 - (headroom - 1) + 31 - ET_BITS;
        for (int32_t k = 0; k < op->depth; ++k) {
            const int32_t distance = largest - x[k];
            int32_t value = ET_LOW;
            if (distance < op->count) {
                const int32_t product = et_high_multiply(op->exponentials[distance], reciprocal);
                value = et_clamp(et_divide_by_power(product, shift) + ET_LOW, ET_LOW, ET_HIGH);
            }
            y[k] = (ET_OUTPUT)value;
        }
        x += op->depth;
        y += op->depth;
    }
}

#undef ET_NAME
#undef ET_OUTPUT
#undef ET_LOW
#undef ET_HIGH
#undef ET_BITS
