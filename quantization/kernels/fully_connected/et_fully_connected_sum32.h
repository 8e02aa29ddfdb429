/* FULLY_CONNECTED on int16 activations (zero points 0) where every sum is sure to fit 32 bits: then TFLM's 16-bit
 * multiplier with one rounding is the upper word of one 32-bit product.
 * y[r][j] = limit((factor_j * (bias[j] + sum_k w[j][k] * x[r][k]) + 2^31) / 2^32) */
#ifndef ET_FULLY_CONNECTED_SUM32_H
#define ET_FULLY_CONNECTED_SUM32_H

#include "et_math.h"

typedef struct {
    int32_t rows, depth, units;
    const int8_t *weights;    /* [units][depth] */
    const int32_t *bias;      /* [units] */
    const int32_t *factors;   /* [1], or [units] when per_channel is 1 */
    int32_t per_channel;
    int32_t low, high;
} et_fully_connected_sum32;

void et_fully_connected_sum32_s16(const et_fully_connected_sum32 *layer, const int16_t *x, int16_t *y);

#endif
