/* et_quantize_s8 for processors with wide vectors: the same bits. A program that links this compiles et_convert.c with
 * -Det_quantize_s8=et_quantize_s8_portable, which does the rest of a row. */
#include "et_convert.h"
#include "et_host.h"

#undef et_quantize_s8
void et_quantize_s8(const float *x, int32_t count, float scale, int32_t zero_point, int8_t *y);
void et_quantize_s8_portable(const float *x, int32_t count, float scale, int32_t zero_point, int8_t *y);

/* To nearest, halves away from zero; steps beyond +-100000 count as that, and NaN as 0. */
#if defined(ET_HOST_NEON)
ET_INLINE et_lanes et_steps(const float *x, float scale) {
    const float32x4_t steps = vdivq_f32(vld1q_f32(x), vdupq_n_f32(scale));
    const et_lanes whole = vcvtaq_s32_f32(steps);
    return et_lanes_clamp(whole, vdupq_n_s32(-100000), vdupq_n_s32(100000));
}
#elif ET_LANES == 16
ET_INLINE et_lanes et_steps(const float *x, float scale) {
    const __m512 quotient = _mm512_div_ps(_mm512_loadu_ps(x), _mm512_set1_ps(scale));
    const __mmask16 number = _mm512_cmp_ps_mask(quotient, quotient, _CMP_ORD_Q);
    const __m512 above = _mm512_maskz_max_ps(number, quotient, _mm512_set1_ps(-100000.0f));
    const __m512 steps = _mm512_min_ps(above, _mm512_set1_ps(100000.0f));
    const __m512i whole = _mm512_cvttps_epi32(steps);
    const __m512 rest = _mm512_sub_ps(steps, _mm512_cvtepi32_ps(whole));
    const __mmask16 up = _mm512_cmp_ps_mask(rest, _mm512_set1_ps(0.5f), _CMP_GE_OQ);
    const __mmask16 down = _mm512_cmp_ps_mask(rest, _mm512_set1_ps(-0.5f), _CMP_LE_OQ);
    const __m512i one = _mm512_set1_epi32(1);
    return _mm512_mask_sub_epi32(_mm512_mask_add_epi32(whole, up, whole, one), down, whole, one);
}
#elif ET_LANES == 8
ET_INLINE et_lanes et_steps(const float *x, float scale) {
    const __m256 quotient = _mm256_div_ps(_mm256_loadu_ps(x), _mm256_set1_ps(scale));
    const __m256 number = _mm256_cmp_ps(quotient, quotient, _CMP_ORD_Q);
    const __m256 above = _mm256_max_ps(_mm256_and_ps(quotient, number), _mm256_set1_ps(-100000.0f));
    const __m256 steps = _mm256_min_ps(above, _mm256_set1_ps(100000.0f));
    const __m256i whole = _mm256_cvttps_epi32(steps);
    const __m256 rest = _mm256_sub_ps(steps, _mm256_cvtepi32_ps(whole));
    const __m256 up = _mm256_cmp_ps(rest, _mm256_set1_ps(0.5f), _CMP_GE_OQ);
    const __m256 down = _mm256_cmp_ps(rest, _mm256_set1_ps(-0.5f), _CMP_LE_OQ);
    /* A true comparison is -1. */
    const __m256i raised = _mm256_sub_epi32(whole, _mm256_castps_si256(up));
    return _mm256_add_epi32(raised, _mm256_castps_si256(down));
}
#endif

void et_quantize_s8(const float *x, int32_t count, float scale, int32_t zero_point, int8_t *y) {
    int32_t done = 0;
#if ET_LANES > 1
    const et_lanes zero = et_lanes_all(zero_point);
    for (; done + ET_LANES <= count; done += ET_LANES) {
        et_lanes_store_s8(&y[done], et_lanes_add(et_steps(&x[done], scale), zero));
    }
#endif
    et_quantize_s8_portable(&x[done], count - done, scale, zero_point, &y[done]);
}
