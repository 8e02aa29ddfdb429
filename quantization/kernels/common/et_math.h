/* Fixed-point arithmetic that every kernel shares. The rounding is TensorFlow Lite Micro's default (double
 * rounding): tensorflow/lite/kernels/internal/common.h, MultiplyByQuantizedMultiplier.
 *
 * Right shifts of negative numbers are arithmetic on every compiler this code is built with; et_math.h says so
 * once with an assertion instead of hiding it.
 */
#ifndef ET_MATH_H
#define ET_MATH_H

#include <stdint.h>

#define ET_ASSERT_NAME2(line) et_static_assert_##line
#define ET_ASSERT_NAME(line) ET_ASSERT_NAME2(line)
/* C99 has no static_assert: an array of negative size stops the compiler. */
#define ET_STATIC_ASSERT(condition) typedef char ET_ASSERT_NAME(__LINE__)[(condition) ? 1 : -1]

typedef char et_right_shift_is_arithmetic[((-3) >> 1) == -2 ? 1 : -1];

#if defined(__GNUC__)
#define ET_INLINE static inline __attribute__((always_inline))
#define ET_UNUSED __attribute__((unused))
#else
#define ET_INLINE static inline
#define ET_UNUSED
#endif

/* A real factor as multiplier / 2^31 * 2^shift: multiplier in [2^30, 2^31) or 0, shift in [-31, 30]. */
typedef struct {
    int32_t multiplier;
    int32_t shift;
} et_scale;

/* value limited to [low, high]. */
ET_INLINE ET_UNUSED int32_t et_clamp(int32_t value, int32_t low, int32_t high) {
    const int32_t floor = value < low ? low : value;
    return floor > high ? high : floor;
}

/* (a * b + 2^30) / 2^31, rounded down: gemmlowp's SaturatingRoundingDoublingHighMul (a and b not both INT32_MIN). */
ET_INLINE ET_UNUSED int32_t et_high_multiply(int32_t a, int32_t b) {
    return (int32_t)(((int64_t)a * b + ((int64_t)1 << 30)) >> 31);
}

/* (a * b + 2^31) / 2^32, rounded down. */
ET_INLINE ET_UNUSED int32_t et_upper_multiply(int32_t a, int32_t b) {
#if defined(__ARM_FEATURE_DSP)
    int32_t result;
    __asm__("smmulr %0, %1, %2" : "=r"(result) : "r"(a), "r"(b));
    return result;
#else
    return (int32_t)(((int64_t)a * b + ((int64_t)1 << 31)) >> 32);
#endif
}

/* c + (a * b + 2^31) / 2^32, rounded down; the sum must fit 32 bits. */
ET_INLINE ET_UNUSED int32_t et_upper_multiply_add(int32_t a, int32_t b, int32_t c) {
#if defined(__ARM_FEATURE_DSP)
    int32_t result;
    __asm__("smmlar %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(c));
    return result;
#else
    return c + et_upper_multiply(a, b);
#endif
}

/* value limited to int16. */
ET_INLINE ET_UNUSED int32_t et_limit_s16(int32_t value) {
#if defined(__ARM_FEATURE_DSP)
    int32_t result;
    __asm__("ssat %0, #16, %1" : "=r"(result) : "r"(value));
    return result;
#else
    return et_clamp(value, INT16_MIN, INT16_MAX);
#endif
}

/* et_high_multiply for b >= 0. On Arm it is one SMMLAR and a mask: 2 b wraps to 2 b - 2^32 from 2^30 on, which takes
 * a off the upper word, so that a is added again. */
ET_INLINE ET_UNUSED int32_t et_scale_multiply(int32_t a, int32_t b) {
#if defined(__ARM_FEATURE_DSP)
    const int32_t twice = (int32_t)((uint32_t)b << 1);
    int32_t result;
    __asm__("smmlar %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(twice), "r"(a & (twice >> 31)));
    return result;
#else
    return et_high_multiply(a, b);
#endif
}

/* value / 2^exponent to nearest, halves away from zero; exponent in [0, 31]. */
ET_INLINE ET_UNUSED int32_t et_divide_by_power(int32_t value, int32_t exponent) {
    if (exponent == 0) {
        return value;
    }
    /* One less if negative, but for the least integer, which that cannot change after the shift. */
#if defined(__ARM_FEATURE_DSP)
    int32_t nudged;
    __asm__("qadd %0, %1, %2" : "=r"(nudged) : "r"(value), "r"(value >> 31));
#else
    const int32_t nudged = value < 0 && value > INT32_MIN ? value - 1 : value;
#endif
    return ((nudged >> (exponent - 1)) + 1) >> 1;
}

/* value * scale; value * 2^shift must stay inside 32 bits for positive shifts, or it wraps as it does in TFLM. */
ET_INLINE ET_UNUSED int32_t et_requantize(int32_t value, et_scale scale) {
    const int32_t left = scale.shift > 0 ? scale.shift : 0;
    const int32_t right = scale.shift > 0 ? 0 : -scale.shift;
    const int32_t shifted = (int32_t)((uint32_t)value << left);
    return et_divide_by_power(et_scale_multiply(shifted, scale.multiplier), right);
}

/* value * scale for the int64 sums of 16-bit activations: a multiplier of 16 bits, one rounding, halves up, cut to
 * 32 bits. value is in [-2^47, 2^47). */
ET_INLINE ET_UNUSED int32_t et_requantize_wide(int64_t value, et_scale scale) {
    const int32_t reduced =
        scale.multiplier < 0x7FFF0000 ? (scale.multiplier + (1 << 15)) >> 16 : 0x7FFF;
    const int32_t total = 15 - scale.shift;
    return (int32_t)(uint32_t)(uint64_t)((value * reduced + ((int64_t)1 << (total - 1))) >> total);
}

#endif
