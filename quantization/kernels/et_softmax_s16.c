#include "et_softmax.h"

/* Table of 513 entries at int16 value, 7 fraction bits, halves up. */
static inline int32_t look_up(int32_t value, const int16_t *table) {
    const int32_t place = 256 + (value >> 7);
    const int32_t base = table[place];
    return base + (((table[place + 1] - base) * (value & 0x7F) + 64) >> 7);
}

static inline int32_t exponential(const et_softmax_wide *op, int32_t difference) {
    const int32_t argument = et_clamp(et_requantize(difference, op->scale) + 32767, INT16_MIN, INT16_MAX);
    return look_up(argument, op->exponential);
}

void et_softmax_s16(const et_softmax_wide *op, const int16_t *x, int16_t *y) {
    const et_softmax_wide numbers = *op; /* a copy, which stores to y cannot change */
    const int32_t depth = numbers.depth;
    for (int32_t row = 0; row < numbers.rows; ++row) {
        int32_t largest = INT16_MIN;
        for (int32_t k = 0; k < depth; ++k) {
            largest = x[k] > largest ? x[k] : largest;
        }
        int32_t sum = 0;
        for (int32_t k = 0; k < depth; ++k) {
            y[k] = (int16_t)exponential(&numbers, x[k] - largest);
            sum += y[k];
        }
        int32_t headroom = 0; /* leading zeros of the sum */
        while (((uint32_t)sum << headroom) < 0x80000000u) {
            ++headroom;
        }
        const int32_t shifted = (int32_t)((((uint32_t)sum << (headroom - 1)) + (1u << 13)) >> 14);
        const int32_t centred = et_clamp(shifted - ((1 << 15) + (1 << 16)), INT16_MIN, INT16_MAX);
        const int32_t inverse = look_up(centred, numbers.reciprocal);
        const int32_t shift = 31 - headroom;
        for (int32_t k = 0; k < depth; ++k) {
            y[k] = (int16_t)et_clamp((y[k] * inverse + (1 << (shift - 1))) >> shift, 0, INT16_MAX);
        }
        x += depth;
        y += depth;
    }
}
