#include "et_elementwise.h"

#if defined(__ARM_FEATURE_MVE)
#include <arm_mve.h>
#elif defined(__ARM_FEATURE_DSP)
#include <string.h>

#include "et_dsp.h"
#endif

void et_widen(int32_t count, const int8_t *x, int16_t *y) {
#if defined(__ARM_FEATURE_MVE)
    for (; count >= 8; count -= 8) {
        vstrhq_s16(y, vldrbq_s16(x));
        x += 8;
        y += 8;
    }
#elif defined(__ARM_FEATURE_DSP)
    for (; count >= 4; count -= 4) {
        int32_t four;
        memcpy(&four, x, 4);
        const int32_t even = et_dsp_even_bytes(four);
        const int32_t odd = et_dsp_odd_bytes(four);
        const int32_t low = et_dsp_pack_bottoms(even, odd);
        const int32_t high = et_dsp_pack_tops(odd, even);
        memcpy(y, &low, 4);
        memcpy(&y[2], &high, 4);
        x += 4;
        y += 4;
    }
#endif
    for (; count > 0; --count) {
        *y++ = *x++;
    }
}
