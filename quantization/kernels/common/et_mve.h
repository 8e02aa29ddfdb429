/* The arithmetic of et_math.h on four lanes, for Helium. */
#ifndef ET_MVE_H
#define ET_MVE_H

#include <arm_mve.h>

#include "et_math.h"

/* et_requantize on each lane. */
ET_INLINE ET_UNUSED int32x4_t et_requantize_lanes(int32x4_t values, et_scale scale) {
    const int32_t left = scale.shift > 0 ? scale.shift : 0;
    const int32x4_t right = vdupq_n_s32(scale.shift > 0 ? 0 : scale.shift);
    const int32x4_t high = vqrdmulhq_n_s32(vshlq_r_s32(values, left), scale.multiplier);
    /* One less for negative values, so that VRSHL rounds halves away from zero; nothing for a shift of 0. */
    const int32x4_t nudge = vshrq_n_s32(vandq_s32(high, right), 31);
    return vrshlq_s32(vaddq_s32(high, nudge), right);
}

/* et_clamp on each lane. */
ET_INLINE ET_UNUSED int32x4_t et_clamp_lanes(int32x4_t values, int32_t low, int32_t high) {
    return vminq_s32(vmaxq_s32(values, vdupq_n_s32(low)), vdupq_n_s32(high));
}

/* values * 2^shift for shift below 0: to nearest, halves away from zero. */
ET_INLINE ET_UNUSED int32x4_t et_halves_away(int32x4_t values, int32x4_t shift) {
    return vrshlq_s32(vaddq_s32(values, vshrq_n_s32(values, 31)), shift);
}

/* Four int16 at y, each the nearest that int16 has. */
ET_INLINE ET_UNUSED void et_store_saturated(int16_t *y, int32x4_t values) {
    vstrhq_s32(y, vreinterpretq_s32_s16(vqmovnbq_s32(vdupq_n_s16(0), values)));
}

/* The elements of a 32-bit load from int8 or int16 at p, or the first of them in every lane if step is 0. */
#define ET_LANES_S8(p, step, some) ((step) == 0 ? vdupq_n_s32(*(p)) : vldrbq_z_s32((p), (some)))
#define ET_LANES_S16(p, step, some) ((step) == 0 ? vdupq_n_s32(*(p)) : vldrhq_z_s32((p), (some)))

#endif
