/* FULLY_CONNECTED on int16 activations (zero points 0) where every sum is sure to fit 32 bits: then TFLM's 16-bit
 * multiplier with one rounding is the upper word of one 32-bit product.
 * y[r][j] = limit((factor_j * (bias[j] + sum_k w[j][k] * x[r][k]) + 2^31) / 2^32) */
#ifndef ET_DENSE_H
#define ET_DENSE_H

#include "et_math.h"

typedef struct {
    int32_t rows, depth, units;
    const int8_t *weights;    /* [units][depth]; for et_dense_s16_paired the words of its stream */
    const int32_t *bias;      /* [units] */
    const int32_t *factors;   /* [1], or [units] when per_channel is 1 */
    int32_t per_channel;
    int32_t low, high;
} et_dense;

void et_dense_s16(const et_dense *layer, const int16_t *x, int16_t *y);

/* The same for the DSP extension: depth a multiple of 8, |weights| <= 127. The stream holds, per four units and four
 * columns, four words: columns (0, 1) and (2, 3) of units 0 and 1 paired in 16-bit lanes as a + 256 b, and the same
 * of units 2 and 3; missing units are zero. */
void et_dense_s16_paired(const et_dense *layer, const int16_t *x, int16_t *y);

/* sums[0..3] = four rows of the stream times `count` int16 of x (4-byte aligned); count is a multiple of 8. Returns the
 * end of the rows. */
const int32_t *et_dense_rows(const int32_t *stream, const int16_t *x, int32_t count, int32_t sums[4]);

#endif
