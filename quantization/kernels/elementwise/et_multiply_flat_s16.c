#include "et_elementwise.h"

#if defined(__ARM_FEATURE_MVE)
#include "et_mve.h"
#endif

/* 2 * product; only -32768 * -32768 is limited, which the generator has seen to change nothing. */
ET_INLINE int32_t doubled_product(int32_t product) {
#if defined(__ARM_FEATURE_DSP)
    int32_t result;
    __asm__("qadd %0, %1, %1" : "=r"(result) : "r"(product));
    return result;
#else
    return product > INT32_MAX / 2 ? INT32_MAX : 2 * product;
#endif
}

ET_INLINE int16_t finished(int32_t product, int32_t multiplier, int32_t half, int32_t shift) {
    const int32_t doubled = doubled_product(product);
    return (int16_t)et_limit_s16((et_upper_multiply_add(doubled, multiplier, half) + (doubled >> 31)) >> shift);
}

void et_multiply_flat_s16(const et_multiply_flat *op, const int16_t *a, const int16_t *b, int16_t *y) {
    const et_multiply_flat n = *op; /* a copy, which stores to y cannot change */
    const int16_t *const end = y + n.count;
    const int32_t factor = *b;
#if defined(__ARM_FEATURE_MVE)
    const int16_t *const vectors_end = y + (n.count & ~3);
    const int32x4_t shift = vdupq_n_s32(-n.shift);
    int32x4_t right = vdupq_n_s32(factor);
    while (y != vectors_end) {
        if (n.b_step != 0) {
            right = vldrhq_s32(b);
            b += 4;
        }
        const int32x4_t high = vqrdmulhq_n_s32(vmulq_s32(vldrhq_s32(a), right), n.multiplier);
        et_store_saturated(y, et_halves_away(high, shift));
        a += 4;
        y += 4;
    }
#endif
    if (n.b_step == 0) {
        while (y != end) {
            *y++ = finished(*a++ * factor, n.multiplier, n.half, n.shift);
        }
    }
    while (y != end) {
        const int32_t product = *a++ * *b++;
        *y++ = finished(product, n.multiplier, n.half, n.shift);
    }
}
