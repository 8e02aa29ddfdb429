#include "et_lstm_dsp.h"

#include <string.h>

#include "et_dsp.h"

int32_t et_lstm_dsp_expand(const int8_t *x, int32_t count, int32_t zero_point, int32_t *words) {
    const int32_t minus = (int32_t)((uint32_t)(-zero_point & 0xFFFF) * 0x10001u);
    int32_t sum = 0;
    for (int32_t left = count; left > 0; left -= 4) {
        int32_t four = (int32_t)((uint32_t)(zero_point & 0xFF) * 0x01010101u);
        if (left >= 4) {
            memcpy(&four, x, 4);
        } else {
            memcpy(&four, x, (uint32_t)left);
        }
        const int32_t even = et_dsp_double_lanes(et_dsp_add_even_bytes(minus, four));
        const int32_t odd = et_dsp_double_lanes(et_dsp_add_odd_bytes(minus, four));
        words[0] = even;
        words[1] = odd;
        sum = et_dsp_dot2(even, odd, sum);
        x += 4;
        words += 2;
    }
    return sum;
}
