/* Instructions of the Arm DSP extension (Cortex-M4, M7, M33) that C cannot say. */
#ifndef ET_DSP_H
#define ET_DSP_H

#include "et_math.h"

#if !defined(__ARM_FEATURE_DSP)
#error "et_dsp.h needs a core with the Arm DSP extension: Cortex-M4, M7 or M33"
#endif

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

/* Bytes 0 and 2 of a, sign-extended, in two lanes. */
ET_INLINE int32_t et_dsp_even_bytes(int32_t a) {
    int32_t result;
    __asm__("sxtb16 %0, %1" : "=r"(result) : "r"(a));
    return result;
}

/* Bytes 1 and 3 of a, sign-extended, in two lanes. */
ET_INLINE int32_t et_dsp_odd_bytes(int32_t a) {
    int32_t result;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(result) : "r"(a));
    return result;
}

/* The lower lanes of a (below) and b (above). */
ET_INLINE int32_t et_dsp_pack_bottoms(int32_t a, int32_t b) {
    int32_t result;
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(result) : "r"(a), "r"(b));
    return result;
}

/* The upper lanes of a (above) and b (below). */
ET_INLINE int32_t et_dsp_pack_tops(int32_t a, int32_t b) {
    int32_t result;
    __asm__("pkhtb %0, %1, %2, asr #16" : "=r"(result) : "r"(a), "r"(b));
    return result;
}

/* Each 16-bit lane doubled. */
ET_INLINE int32_t et_dsp_double_lanes(int32_t a) {
    int32_t result;
    __asm__("sadd16 %0, %1, %1" : "=r"(result) : "r"(a));
    return result;
}

/* The smaller of each pair of 16-bit lanes. */
ET_INLINE int32_t et_dsp_minimum2(int32_t a, int32_t b) {
    int32_t result;
    __asm__("ssub16 %0, %1, %2\n\tsel %0, %2, %1" : "=&r"(result) : "r"(a), "r"(b) : "cc");
    return result;
}

/* The larger of each pair of 16-bit lanes. */
ET_INLINE int32_t et_dsp_maximum2(int32_t a, int32_t b) {
    int32_t result;
    __asm__("ssub16 %0, %1, %2\n\tsel %0, %1, %2" : "=&r"(result) : "r"(a), "r"(b) : "cc");
    return result;
}

/* sum + the products of the two 16-bit lanes of a and b. */
ET_INLINE int32_t et_dsp_dot2(int32_t a, int32_t b, int32_t sum) {
    int32_t result;
    __asm__("smlad %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
    return result;
}

#endif
