#include "et_softmax.h"

#if defined(__ARM_FEATURE_MVE)
#include "et_mve.h"

/* look_up on four lanes. */
static inline int32x4_t look_up_lanes(int32x4_t value, const int16_t *table) {
    const uint32x4_t place = vreinterpretq_u32_s32(vaddq_n_s32(vshrq_n_s32(value, 7), 256));
    const int32x4_t base = vldrhq_gather_shifted_offset_s32(table, place);
    const int32x4_t next = vldrhq_gather_shifted_offset_s32(table + 1, place);
    const int32x4_t part = vandq_s32(value, vdupq_n_s32(0x7F));
    return vaddq_s32(base, vrshrq_n_s32(vmulq_s32(vsubq_s32(next, base), part), 7));
}
#endif

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
        int32_t k = 0;
#if defined(__ARM_FEATURE_MVE)
        for (; k + 4 <= depth; k += 4) {
            const int32x4_t difference = vsubq_n_s32(vldrhq_s32(&x[k]), largest);
            const int32x4_t argument = vaddq_n_s32(et_requantize_lanes(difference, numbers.scale), 32767);
            const int32x4_t power =
                look_up_lanes(et_clamp_lanes(argument, INT16_MIN, INT16_MAX), numbers.exponential);
            vstrhq_s32(&y[k], power);
            sum = vaddvaq_s32(sum, power);
        }
#endif
        for (; k < depth; ++k) {
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
        k = 0;
#if defined(__ARM_FEATURE_MVE)
        for (; k + 4 <= depth; k += 4) {
            const int32x4_t product = vmulq_n_s32(vldrhq_s32(&y[k]), inverse);
            const int32x4_t value = vrshlq_s32(product, vdupq_n_s32(-shift));
            vstrhq_s32(&y[k], et_clamp_lanes(value, 0, INT16_MAX));
        }
#endif
        for (; k < depth; ++k) {
            y[k] = (int16_t)et_clamp((y[k] * inverse + (1 << (shift - 1))) >> shift, 0, INT16_MAX);
        }
        x += depth;
        y += depth;
    }
}
