#include "et_convert.h"

#include <string.h>

int32_t et_range(const float *x, int32_t count, float limit) {
    uint32_t most = 0;
    uint32_t bound;
    memcpy(&bound, &limit, sizeof bound);
    for (int32_t i = 0; i < count; ++i) { /* magnitudes are in the order of their bits, and what is not finite is last */
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        bits &= 0x7FFFFFFFu;
        most = bits > most ? bits : most;
    }
    return most >= 0x7F800000u ? ET_NOT_FINITE : most > bound ? ET_BEYOND : 0;
}

int32_t et_quantize(float value, float scale, int32_t zero_point, int32_t low, int32_t high) {
    const float steps = value / scale;
    if (steps > 100000.0f) {
        return high;
    }
    if (steps < -100000.0f) {
        return low;
    }
    if (!(steps == steps)) {
        return et_clamp(zero_point, low, high);
    }
    int32_t rounded = (int32_t)steps;
    const float rest = steps - (float)rounded; /* exact */
    if (rest >= 0.5f) {
        ++rounded;
    } else if (rest <= -0.5f) {
        --rounded;
    }
    return et_clamp(rounded + zero_point, low, high);
}

float et_dequantize(int32_t value, float scale, int32_t zero_point) {
    return scale * (float)(value - zero_point);
}

void et_quantize_s8(const float *x, int32_t count, float scale, int32_t zero_point, int8_t *y) {
    for (int32_t i = 0; i < count; ++i) {
        y[i] = (int8_t)et_quantize(x[i], scale, zero_point, INT8_MIN, INT8_MAX);
    }
}

void et_quantize_s16(const float *x, int32_t count, float scale, int32_t zero_point, int16_t *y) {
    for (int32_t i = 0; i < count; ++i) {
        y[i] = (int16_t)et_quantize(x[i], scale, zero_point, INT16_MIN, INT16_MAX);
    }
}

void et_dequantize_s8(const int8_t *x, int32_t count, float scale, int32_t zero_point, float *y) {
    for (int32_t i = 0; i < count; ++i) {
        y[i] = et_dequantize(x[i], scale, zero_point);
    }
}

void et_dequantize_s16(const int16_t *x, int32_t count, float scale, int32_t zero_point, float *y) {
    for (int32_t i = 0; i < count; ++i) {
        y[i] = et_dequantize(x[i], scale, zero_point);
    }
}
