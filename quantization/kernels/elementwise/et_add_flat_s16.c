#include "et_elementwise.h"

#if defined(__ARM_FEATURE_MVE)
#include "et_mve.h"
#endif

/* minor at the common scale, times minor_factor. */
ET_INLINE int32_t scaled(int32_t minor, int32_t multiplier, int32_t half, int32_t shift, int32_t factor) {
    return ((et_upper_multiply_add(minor * 65536, multiplier, half) + (minor >> 31)) >> shift) * factor;
}

ET_INLINE int16_t finished(int32_t total, int32_t multiplier, int32_t half, int32_t shift) {
    return (int16_t)et_limit_s16((et_upper_multiply_add(total, multiplier, half) + (total >> 31)) >> shift);
}

void et_add_flat_s16(const et_add_flat *op, const int16_t *major, const int16_t *minor, int16_t *y) {
    const et_add_flat n = *op; /* a copy, which stores to y cannot change */
    const int16_t *const end = y + n.count;
    int32_t part = scaled(*minor, n.minor_multiplier, n.minor_half, n.minor_shift, n.minor_factor);
#if defined(__ARM_FEATURE_MVE)
    const int16_t *const vectors_end = y + (n.count & ~3);
    const int32x4_t shift = vdupq_n_s32(-n.shift);
    int32x4_t parts = vdupq_n_s32(part >> 1);
    while (y != vectors_end) {
        if (n.minor_step != 0) {
            const int32x4_t high = vqrdmulhq_n_s32(vshlq_n_s32(vldrhq_s32(minor), 15), n.minor_multiplier);
            parts = vmulq_n_s32(et_halves_away(high, vdupq_n_s32(-n.minor_shift)), n.minor_factor >> 1);
            minor += 4;
        }
        const int32x4_t total = vaddq_s32(vshlq_n_s32(vldrhq_s32(major), 14), parts);
        et_store_saturated(y, et_halves_away(vqrdmulhq_n_s32(total, n.multiplier), shift));
        major += 4;
        y += 4;
    }
#endif
    if (n.minor_step == 0) {
        while (y != end) {
            *y++ = finished(*major++ * 32768 + part, n.multiplier, n.half, n.shift);
        }
    }
    while (y != end) {
        part = scaled(*minor++, n.minor_multiplier, n.minor_half, n.minor_shift, n.minor_factor);
        *y++ = finished(*major++ * 32768 + part, n.multiplier, n.half, n.shift);
    }
}
