#include "et_softmax.h"

#if defined(__ARM_FEATURE_MVE)
#include "et_mve.h"
#elif defined(__ARM_FEATURE_DSP)
#include <string.h>

#include "et_dsp.h"
#endif

/* Table of 513 entries at place / 128, halves up; place is int16's value + 32768. */
static inline int32_t look_up(int32_t place, const int16_t *table) {
    const int16_t *entry = &table[place >> 7];
    return *entry + (((entry[1] - *entry) * (place & 0x7F) + 64) >> 7);
}

static int32_t largest_of(const int16_t *x, int32_t count) {
    int32_t largest = INT16_MIN;
#if defined(__ARM_FEATURE_MVE)
    for (; count >= 8; count -= 8) {
        largest = vmaxvq_s16((int16_t)largest, vldrhq_s16(x));
        x += 8;
    }
#elif defined(__ARM_FEATURE_DSP)
    int32_t both = INT32_MIN + 0x8000; /* -32768 in both lanes */
    for (; count >= 2; count -= 2) {
        int32_t pair;
        memcpy(&pair, x, 4);
        both = et_dsp_maximum2(both, pair);
        x += 2;
    }
    const int32_t low = (int16_t)(uint16_t)((uint32_t)both & 0xFFFFu);
    largest = low > both >> 16 ? low : both >> 16;
#endif
    for (; count > 0; --count) {
        largest = *x > largest ? *x : largest;
        ++x;
    }
    return largest;
}

/* y = exp(scale * (x - largest)) from the table; returns the sum. */
static int32_t exponentials(const et_softmax_wide *op, const int16_t *x, int32_t largest, int16_t *y) {
    const int16_t *const table = op->exponential;
    const et_scale scale = op->scale;
    const int16_t *const end = x + op->depth;
    /* The difference is -65535 to 0: doubled and shifted, it fits, and the result is not above 0. */
    const int plain = scale.shift >= 0 && scale.shift <= 14;
    int32_t sum = 0;
#if defined(__ARM_FEATURE_MVE)
    const int16_t *const vectors_end = x + (op->depth & ~3);
    while (x != vectors_end) {
        const int32x4_t difference = vsubq_n_s32(vldrhq_s32(x), largest);
        const int32x4_t scaled = plain ? vqrdmulhq_n_s32(vshlq_r_s32(difference, scale.shift), scale.multiplier)
                                       : vminq_s32(et_requantize_lanes(difference, scale), vdupq_n_s32(0));
        const int32x4_t place = vmaxq_s32(vaddq_n_s32(scaled, 65535), vdupq_n_s32(0));
        const uint32x4_t entry = vreinterpretq_u32_s32(vshrq_n_s32(place, 7));
        const int32x4_t base = vldrhq_gather_shifted_offset_s32(table, entry);
        const int32x4_t next = vldrhq_gather_shifted_offset_s32(table + 1, entry);
        const int32x4_t part = vandq_s32(place, vdupq_n_s32(0x7F));
        const int32x4_t power = vaddq_s32(base, vrshrq_n_s32(vmulq_s32(vsubq_s32(next, base), part), 7));
        vstrhq_s32(y, power);
        sum = vaddvaq_s32(sum, power);
        x += 4;
        y += 4;
    }
#endif
    if (plain) {
        while (x != end) {
            const int32_t doubled = (*x++ - largest) * ((int32_t)2 << scale.shift);
            const int32_t place = et_upper_multiply(doubled, scale.multiplier) + 65535;
            const int32_t power = look_up(place > 0 ? place : 0, table);
            sum += power;
            *y++ = (int16_t)power;
        }
    }
    while (x != end) {
        const int32_t place = et_clamp(et_requantize(*x++ - largest, scale), -65535, 0) + 65535;
        const int32_t power = look_up(place, table);
        sum += power;
        *y++ = (int16_t)power;
    }
    return sum;
}

void et_softmax_s16(const et_softmax_wide *op, const int16_t *x, int16_t *y) {
    const int32_t depth = op->depth;
    for (int32_t row = 0; row < op->rows; ++row) {
        const int32_t sum = exponentials(op, x, largest_of(x, depth), y);
        int32_t headroom = 0; /* leading zeros of the sum */
        while (((uint32_t)sum << headroom) < 0x80000000u) {
            ++headroom;
        }
        const int32_t shifted = (int32_t)((((uint32_t)sum << (headroom - 1)) + (1u << 13)) >> 14);
        const int32_t place = et_clamp(shifted - (1 << 16), 0, UINT16_MAX);
        const int32_t inverse = look_up(place, op->reciprocal);
        const int32_t shift = 31 - headroom;
        int32_t k = 0;
#if defined(__ARM_FEATURE_MVE)
        for (; k + 4 <= depth; k += 4) {
            et_store_saturated(&y[k], vrshlq_s32(vmulq_n_s32(vldrhq_s32(&y[k]), inverse), vdupq_n_s32(-shift)));
        }
#endif
        const int32_t half = 1 << (shift - 1);
        for (; k < depth; ++k) {
            y[k] = (int16_t)et_limit_s16((y[k] * inverse + half) >> shift);
        }
        x += depth;
        y += depth;
    }
}
