/* Between float32 and quantized values. No libm: rounding is to nearest, halves away from zero. */
#ifndef ET_CONVERT_H
#define ET_CONVERT_H

#include "et_math.h"

/* limit(round(value / scale) + zero_point): TFLM's QUANTIZE. A NaN becomes zero_point. */
int32_t et_quantize(float value, float scale, int32_t zero_point, int32_t low, int32_t high);

/* scale * (value - zero_point): TFLM's DEQUANTIZE. */
float et_dequantize(int32_t value, float scale, int32_t zero_point);

/* 0: all values are within +-limit. ET_BEYOND: one is not. ET_NOT_FINITE: one is infinite or not a number. */
#define ET_BEYOND 1
#define ET_NOT_FINITE 2
int32_t et_range(const float *x, int32_t count, float limit);

void et_quantize_s8(const float *x, int32_t count, float scale, int32_t zero_point, int8_t *y);
void et_quantize_s16(const float *x, int32_t count, float scale, int32_t zero_point, int16_t *y);
void et_dequantize_s8(const int8_t *x, int32_t count, float scale, int32_t zero_point, float *y);
void et_dequantize_s16(const int16_t *x, int32_t count, float scale, int32_t zero_point, float *y);

#endif
