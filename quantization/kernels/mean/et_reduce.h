/* MEAN, RSQRT and the conversions between scales. */
#ifndef ET_REDUCE_H
#define ET_REDUCE_H

#include "et_math.h"

/* TFLM's MEAN: y[i][j] = limit(zero_y + scale * (sum_k x[i][k][j] - zero_sum)); the scale contains 1 / count. */
typedef struct {
    int32_t outer, count, inner;
    int32_t zero_sum;   /* zero point of x times count */
    et_scale scale;
    int32_t zero_point;
} et_mean;

void et_mean_s8(const et_mean *op, const int8_t *x, int8_t *y);
void et_mean_s16(const et_mean *op, const int16_t *x, int16_t *y);

/* TFLM's RSQRT: y = limit(zero_y + scale / sqrt(x - zero_x)); the largest y for x = zero_x. */
typedef struct {
    int32_t count;
    int32_t x_zero;
    et_scale scale;     /* 1 / (sqrt(scale_x) scale_y) */
    int32_t zero_point;
} et_inverse_root;

void et_inverse_root_s8(const et_inverse_root *op, const int8_t *x, int8_t *y);
void et_inverse_root_s16(const et_inverse_root *op, const int16_t *x, int16_t *y);

/* QUANTIZE between integer types: y = limit(zero_y + scale * (x - zero_x)). */
typedef struct {
    int32_t count;
    int32_t x_zero;
    et_scale scale;
    int32_t zero_point;
} et_rescale;

void et_rescale_s8_s8(const et_rescale *op, const int8_t *x, int8_t *y);
void et_rescale_s8_s16(const et_rescale *op, const int8_t *x, int16_t *y);
void et_rescale_s16_s8(const et_rescale *op, const int16_t *x, int8_t *y);
void et_rescale_s16_s16(const et_rescale *op, const int16_t *x, int16_t *y);

/* 1 / sqrt(x) as a multiplier and a shift, for x >= 0 (0 and 1 give the largest): TFLM's Newton-Raphson. */
et_scale et_inverse_root_scale(int32_t x);

#endif
