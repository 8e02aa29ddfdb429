/* Lanes of int32 on processors with wide vectors, for the kernels that take a portable kernel's place on a host
 * (x86-64, arm64): one algorithm is written once over them and gives the portable kernel's bits.
 *
 * 16 lanes with AVX-512, 8 with AVX2, 4 with NEON, and 1 in plain C, which ET_HOST_PLAIN chooses everywhere. Arithmetic
 * wraps as in the processor; et_lanes_multiply is exact for factors of 16 bits of which one is not negative, and
 * et_lanes_high_multiply takes a b that is the same in all lanes.
 */
#ifndef ET_HOST_H
#define ET_HOST_H

#include <string.h>

#include "et_math.h"

#if !defined(ET_HOST_PLAIN) && defined(__AVX512BW__) && defined(__AVX512VL__)

#include <immintrin.h>
#define ET_LANES 16
#define ET_HOST_AVX2 1
typedef __m512i et_lanes;
#define et_lanes_all(value) _mm512_set1_epi32(value)
#define et_lanes_load(from) _mm512_loadu_si512(from)
#define et_lanes_store(to, v) _mm512_storeu_si512((to), (v))
#define et_lanes_load_s16(from) _mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)(from)))
#define et_lanes_add(a, b) _mm512_add_epi32((a), (b))
#define et_lanes_subtract(a, b) _mm512_sub_epi32((a), (b))
#define et_lanes_xor(a, b) _mm512_xor_si512((a), (b))
#define et_lanes_or(a, b) _mm512_or_si512((a), (b))
#define et_lanes_and(a, b) _mm512_and_si512((a), (b))
#define et_lanes_least(a, b) _mm512_min_epi32((a), (b))
#define et_lanes_most(a, b) _mm512_max_epi32((a), (b))
#define et_lanes_size(a) _mm512_abs_epi32(a)
#define et_lanes_multiply(a, b) _mm512_madd_epi16((a), (b))
#define et_lanes_product(a, b) _mm512_mullo_epi32((a), (b))
#define et_lanes_up(a, bits) _mm512_slli_epi32((a), (bits))
#define et_lanes_down(a, bits) _mm512_srai_epi32((a), (bits))
#define et_lanes_up_by(a, bits) _mm512_sllv_epi32((a), (bits))
#define et_lanes_down_by(a, bits) _mm512_srav_epi32((a), (bits))
#define et_lanes_look_up(words, place) _mm512_i32gather_epi32((place), (words), 4)
#define et_lanes_look_up_pair(shorts, place) _mm512_i32gather_epi32((place), (shorts), 2)
ET_INLINE void et_lanes_store_s16(int16_t *to, et_lanes v) {
    _mm256_storeu_si256((__m256i *)(void *)to, _mm512_cvtsepi32_epi16(v));
}
ET_INLINE void et_lanes_store_s8(int8_t *to, et_lanes v) {
    _mm_storeu_si128((__m128i *)(void *)to, _mm512_cvtsepi32_epi8(v));
}
/* The sums of the products of even lanes and of odd lanes, 64 bits wide, moved down by `bits` and cut to 32. */
#define ET_WIDE_PRODUCT(a, b, b_odd, half, bits)                                                                \
    const __m512i even_ = _mm512_add_epi64(_mm512_mul_epi32((a), (b)), _mm512_set1_epi64(half));                \
    const __m512i odd_ = _mm512_add_epi64(                                                                      \
        _mm512_mul_epi32(_mm512_srli_epi64((a), 32), (b_odd)), _mm512_set1_epi64(half));     \
    return _mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64(even_, (bits)), _mm512_slli_epi64(odd_, 32 - (bits)))
ET_INLINE et_lanes et_lanes_high_multiply(et_lanes a, et_lanes b) {
    ET_WIDE_PRODUCT(a, b, b, (int64_t)1 << 30, 31);
}
ET_INLINE et_lanes et_lanes_upper_multiply(et_lanes a, et_lanes b) {
    ET_WIDE_PRODUCT(a, b, _mm512_srli_epi64(b, 32), (int64_t)1 << 31, 32);
}

#elif !defined(ET_HOST_PLAIN) && defined(__AVX2__)

#include <immintrin.h>
#define ET_LANES 8
#define ET_HOST_AVX2 1
typedef __m256i et_lanes;
#define et_lanes_all(value) _mm256_set1_epi32(value)
#define et_lanes_load(from) _mm256_loadu_si256((const __m256i *)(const void *)(from))
#define et_lanes_store(to, v) _mm256_storeu_si256((__m256i *)(void *)(to), (v))
#define et_lanes_load_s16(from) _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)(const void *)(from)))
#define et_lanes_add(a, b) _mm256_add_epi32((a), (b))
#define et_lanes_subtract(a, b) _mm256_sub_epi32((a), (b))
#define et_lanes_xor(a, b) _mm256_xor_si256((a), (b))
#define et_lanes_or(a, b) _mm256_or_si256((a), (b))
#define et_lanes_and(a, b) _mm256_and_si256((a), (b))
#define et_lanes_least(a, b) _mm256_min_epi32((a), (b))
#define et_lanes_most(a, b) _mm256_max_epi32((a), (b))
#define et_lanes_size(a) _mm256_abs_epi32(a)
#define et_lanes_multiply(a, b) _mm256_madd_epi16((a), (b))
#define et_lanes_product(a, b) _mm256_mullo_epi32((a), (b))
#define et_lanes_up(a, bits) _mm256_slli_epi32((a), (bits))
#define et_lanes_down(a, bits) _mm256_srai_epi32((a), (bits))
#define et_lanes_up_by(a, bits) _mm256_sllv_epi32((a), (bits))
#define et_lanes_down_by(a, bits) _mm256_srav_epi32((a), (bits))
#define et_lanes_look_up(words, place) _mm256_i32gather_epi32((const int *)(const void *)(words), (place), 4)
#define et_lanes_look_up_pair(shorts, place) _mm256_i32gather_epi32((const int *)(const void *)(shorts), (place), 2)
ET_INLINE void et_lanes_store_s16(int16_t *to, et_lanes v) {
    const __m128i both = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    _mm_storeu_si128((__m128i *)(void *)to, both);
}
ET_INLINE void et_lanes_store_s8(int8_t *to, et_lanes v) {
    const __m128i both = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    _mm_storel_epi64((__m128i *)(void *)to, _mm_packs_epi16(both, both));
}
#define ET_WIDE_PRODUCT(a, b, b_odd, half, bits)                                                                \
    const __m256i even_ = _mm256_add_epi64(_mm256_mul_epi32((a), (b)), _mm256_set1_epi64x(half));               \
    const __m256i odd_ = _mm256_add_epi64(                                                                      \
        _mm256_mul_epi32(_mm256_srli_epi64((a), 32), (b_odd)), _mm256_set1_epi64x(half));    \
    return _mm256_blend_epi32(_mm256_srli_epi64(even_, (bits)), _mm256_slli_epi64(odd_, 32 - (bits)), 0xAA)
ET_INLINE et_lanes et_lanes_high_multiply(et_lanes a, et_lanes b) {
    ET_WIDE_PRODUCT(a, b, b, (int64_t)1 << 30, 31);
}
ET_INLINE et_lanes et_lanes_upper_multiply(et_lanes a, et_lanes b) {
    ET_WIDE_PRODUCT(a, b, _mm256_srli_epi64(b, 32), (int64_t)1 << 31, 32);
}

#elif !defined(ET_HOST_PLAIN) && defined(__aarch64__)

#include <arm_neon.h>
#define ET_LANES 4
#define ET_HOST_NEON 1
typedef int32x4_t et_lanes;
#define et_lanes_all(value) vdupq_n_s32(value)
#define et_lanes_load(from) vld1q_s32(from)
#define et_lanes_store(to, v) vst1q_s32((to), (v))
#define et_lanes_load_s16(from) vmovl_s16(vld1_s16(from))
#define et_lanes_add(a, b) vaddq_s32((a), (b))
#define et_lanes_subtract(a, b) vsubq_s32((a), (b))
#define et_lanes_xor(a, b) veorq_s32((a), (b))
#define et_lanes_or(a, b) vorrq_s32((a), (b))
#define et_lanes_and(a, b) vandq_s32((a), (b))
#define et_lanes_least(a, b) vminq_s32((a), (b))
#define et_lanes_most(a, b) vmaxq_s32((a), (b))
#define et_lanes_size(a) vabsq_s32(a)
#define et_lanes_multiply(a, b) vmulq_s32((a), (b))
#define et_lanes_product(a, b) vmulq_s32((a), (b))
#define et_lanes_up(a, bits) vshlq_n_s32((a), (bits))
#define et_lanes_down(a, bits) vshrq_n_s32((a), (bits))
#define et_lanes_up_by(a, bits) vshlq_s32((a), (bits))
#define et_lanes_down_by(a, bits) vshlq_s32((a), vnegq_s32(bits))
ET_INLINE et_lanes et_lanes_look_up(const int32_t *words, et_lanes place) {
    et_lanes found = vdupq_n_s32(words[vgetq_lane_s32(place, 0)]);
    found = vld1q_lane_s32(&words[vgetq_lane_s32(place, 1)], found, 1);
    found = vld1q_lane_s32(&words[vgetq_lane_s32(place, 2)], found, 2);
    return vld1q_lane_s32(&words[vgetq_lane_s32(place, 3)], found, 3);
}
ET_INLINE void et_lanes_store_s16(int16_t *to, et_lanes v) {
    vst1_s16(to, vqmovn_s32(v));
}
ET_INLINE void et_lanes_store_s8(int8_t *to, et_lanes v) {
    const int16x4_t half = vqmovn_s32(v);
    const int8x8_t bytes = vqmovn_s16(vcombine_s16(half, half));
    const int32_t four = vget_lane_s32(vreinterpret_s32_s8(bytes), 0);
    memcpy(to, &four, sizeof four);
}
/* SQRDMULH is (2 a b + 2^31) >> 32. */
#define et_lanes_high_multiply(a, b) vqrdmulhq_s32((a), (b))
ET_INLINE et_lanes et_lanes_upper_multiply(et_lanes a, et_lanes b) {
    const int64x2_t low = vmull_s32(vget_low_s32(a), vget_low_s32(b));
    return vrshrn_high_n_s64(vrshrn_n_s64(low, 32), vmull_high_s32(a, b), 32);
}

#else

#define ET_LANES 1
typedef int32_t et_lanes;
#define et_lanes_all(value) (value)
#define et_lanes_load(from) (*(from))
#define et_lanes_store(to, v) ((void)(*(to) = (v)))
#define et_lanes_load_s16(from) ((int32_t)*(from))
#define et_lanes_add(a, b) ((int32_t)((uint32_t)(a) + (uint32_t)(b)))
#define et_lanes_subtract(a, b) ((int32_t)((uint32_t)(a) - (uint32_t)(b)))
#define et_lanes_xor(a, b) ((a) ^ (b))
#define et_lanes_or(a, b) ((a) | (b))
#define et_lanes_and(a, b) ((a) & (b))
#define et_lanes_least(a, b) ((a) < (b) ? (a) : (b))
#define et_lanes_most(a, b) ((a) > (b) ? (a) : (b))
#define et_lanes_size(a) ((a) < 0 ? -(a) : (a))
#define et_lanes_multiply(a, b) ((a) * (b))
#define et_lanes_product(a, b) ((int32_t)((uint32_t)(a) * (uint32_t)(b)))
#define et_lanes_up(a, bits) ((int32_t)((uint32_t)(a) << (bits)))
#define et_lanes_down(a, bits) ((a) >> (bits))
#define et_lanes_up_by(a, bits) ((int32_t)((uint32_t)(a) << (bits)))
#define et_lanes_down_by(a, bits) ((a) >> (bits))
#define et_lanes_look_up(words, place) ((words)[place])
#define et_lanes_store_s16(to, v) ((void)(*(to) = (int16_t)et_clamp((v), INT16_MIN, INT16_MAX)))
#define et_lanes_store_s8(to, v) ((void)(*(to) = (int8_t)et_clamp((v), INT8_MIN, INT8_MAX)))
#define et_lanes_high_multiply(a, b) et_high_multiply((a), (b))
#define et_lanes_upper_multiply(a, b) et_upper_multiply((a), (b))

#endif

#if ET_LANES <= 4
/* Entry `place` of int16 in the lower half and the next one in the upper half. */
ET_INLINE ET_UNUSED et_lanes et_lanes_look_up_pair(const int16_t *shorts, et_lanes place) {
    int32_t places[ET_LANES];
    int32_t found[ET_LANES];
    et_lanes_store(places, place);
    for (int32_t k = 0; k < ET_LANES; ++k) {
        memcpy(&found[k], &shorts[places[k]], sizeof found[k]);
    }
    return et_lanes_load(found);
}
#endif

ET_INLINE ET_UNUSED et_lanes et_lanes_clamp(et_lanes v, et_lanes low, et_lanes high) {
    return et_lanes_least(et_lanes_most(v, low), high);
}

/* An et_scale made ready for lanes. */
typedef struct {
    et_lanes multiplier, left, right, half;
} et_lanes_scale;

ET_INLINE ET_UNUSED et_lanes_scale et_lanes_prepare(et_scale scale) {
    const int32_t right = scale.shift < 0 ? -scale.shift : 0;
    const et_lanes_scale ready = {
        et_lanes_all(scale.multiplier),
        et_lanes_all(scale.shift > 0 ? scale.shift : 0),
        et_lanes_all(right > 0 ? right - 1 : 0),
        et_lanes_all(right > 0 ? 1 : 0),
    };
    return ready;
}

/* et_requantize. The product's upper word is never the least integer, because the multiplier is below 2^31; so one less
 * where it is negative cannot wrap. Without a shift to the right nothing is taken off, added or halved. */
ET_INLINE ET_UNUSED et_lanes et_lanes_requantize(et_lanes v, et_lanes_scale scale) {
    const et_lanes product = et_lanes_high_multiply(et_lanes_up_by(v, scale.left), scale.multiplier);
#if defined(ET_HOST_NEON)
    const et_lanes total = et_lanes_add(scale.right, scale.half);
    const et_lanes sign = et_lanes_and(et_lanes_down(product, 31), et_lanes_subtract(et_lanes_all(0), scale.half));
    return vrshlq_s32(et_lanes_add(product, sign), vnegq_s32(total));
#else
    const et_lanes sign = et_lanes_and(et_lanes_down(product, 31), et_lanes_subtract(et_lanes_all(0), scale.half));
    const et_lanes moved = et_lanes_down_by(et_lanes_add(product, sign), scale.right);
    return et_lanes_down_by(et_lanes_add(moved, scale.half), scale.half);
#endif
}

#endif
