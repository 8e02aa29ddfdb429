/* Arm DSP-extension helpers (Cortex-M4, M7, M33). Every function has its meaning in C beside it, which is also what
 * is compiled when the compiler does not optimise and so cannot see the shifts as constants. */
#ifndef ET_DSP_H
#define ET_DSP_H

#include "et_math.h"

#if !defined(__ARM_FEATURE_DSP)
#error "et_dsp.h needs a core with the Arm DSP extension: Cortex-M4, M7 or M33"
#endif

/* addend + (a * b + 2^31) / 2^32, rounded down */
ET_INLINE int32_t et_dsp_high_multiply_add(int32_t a, int32_t b, int32_t addend) {
    int32_t result;
    __asm__("smmlar %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(addend));
    return result;
}

/* (a * b + 2^31) / 2^32, rounded down; equal to et_high_multiply of half of a. */
ET_INLINE int32_t et_dsp_high_multiply(int32_t a, int32_t b) {
    int32_t result;
    __asm__("smmulr %0, %1, %2" : "=r"(result) : "r"(a), "r"(b));
    return result;
}

/* value limited to 16 bits */
ET_INLINE int32_t et_dsp_saturate16(int32_t value) {
    int32_t result;
    __asm__("ssat %0, #16, %1" : "=r"(result) : "r"(value));
    return result;
}

/* value limited to 8 bits */
ET_INLINE int32_t et_dsp_saturate8(int32_t value) {
    int32_t result;
    __asm__("ssat %0, #8, %1" : "=r"(result) : "r"(value));
    return result;
}

/* Lane sums of a and the sign-extended bytes 0 and 2 of b. */
ET_INLINE int32_t et_dsp_add_even_bytes(int32_t a, int32_t b) {
    int32_t result;
    __asm__("sxtab16 %0, %1, %2" : "=r"(result) : "r"(a), "r"(b));
    return result;
}

/* Lane sums of a and the sign-extended bytes 1 and 3 of b. */
ET_INLINE int32_t et_dsp_add_odd_bytes(int32_t a, int32_t b) {
    int32_t result;
    __asm__("sxtab16 %0, %1, %2, ror #8" : "=r"(result) : "r"(a), "r"(b));
    return result;
}

/* Each 16-bit lane doubled. */
ET_INLINE int32_t et_dsp_double_lanes(int32_t a) {
    int32_t result;
    __asm__("sadd16 %0, %1, %1" : "=r"(result) : "r"(a));
    return result;
}

/* sum + the products of the two 16-bit lanes of a and b. */
ET_INLINE int32_t et_dsp_dot2(int32_t a, int32_t b, int32_t sum) {
    int32_t result;
    __asm__("smlad %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
    return result;
}

#if defined(__OPTIMIZE__)
#define ET_DSP_SATURATE_SHIFT(result, value, bits, shift) \
    __asm__("ssat %0, %2, %1, asr %3" : "=r"(result) : "r"(value), "I"(bits), "I"(shift))
#else
#define ET_DSP_SATURATE_SHIFT(result, value, bits, shift) \
    ((result) = et_clamp((value) >> (shift), -(1 << ((bits)-1)), (1 << ((bits)-1)) - 1))
#endif

/* et_requantize of half of `doubled`, plus zero_point, limited to `bits` bits. The accumulators carry twice their
 * value, so that SMMLAR's rounding of the upper word is the specified one; the second rounding's half and the zero
 * point ride in its addend, and the sign correction is one add. Requires shift < 31. */
#define ET_DSP_REQUANTIZE(result, doubled, scale, zero_point, bits)                                            \
    do {                                                                                                       \
        if ((scale).shift < 0) {                                                                               \
            int32_t et_sum = et_dsp_high_multiply_add((doubled), (scale).multiplier,                           \
                                                      (1 << (-(scale).shift - 1)) +                            \
                                                          (zero_point) * (1 << -(scale).shift));               \
            et_sum += (doubled) >> 31;                                                                         \
            ET_DSP_SATURATE_SHIFT(result, et_sum, bits, -(scale).shift & 31);                                  \
        } else {                                                                                               \
            const int32_t et_value = (int32_t)((uint32_t)(doubled) << ((scale).shift & 31));                   \
            const int32_t et_sum = et_dsp_high_multiply(et_value, (scale).multiplier) + (zero_point);          \
            (result) = et_clamp(et_sum, -(1 << ((bits)-1)), (1 << ((bits)-1)) - 1);                                                                   \
        }                                                                                                      \
    } while (0)

/* et_requantize(a * b, {2^30, shift}) for a >= 0: both roundings of a power of two fold into one addition.
 * With q = (p + 1) >> 1 and e = -shift, the specification is (q + 2^(e-1) - (q < 0)) >> e. */
ET_INLINE int32_t et_dsp_scale_product(int32_t a, int32_t b, int32_t shift) {
    const int32_t sum = a * b + 1 + (1 << -shift) + 2 * (b >> 31);
    return sum >> (1 - shift);
}

#endif
