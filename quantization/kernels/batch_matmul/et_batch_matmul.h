/* TFLM's BATCH_MATMUL of two activations:
 * y[i][j] = limit(zero_y + scale * sum_k (a[i][k] - zero_a) * (b[k][j] - zero_b)).
 * Strides are in elements, so that transposed operands need no copy. */
#ifndef ET_BATCH_MATMUL_H
#define ET_BATCH_MATMUL_H

#include "et_math.h"

typedef struct {
    int32_t rows, depth, columns;
    int32_t a_row, a_step;      /* strides of a along i and k */
    int32_t b_step, b_column;   /* strides of b along k and j */
    int32_t a_zero, b_zero;
    et_scale scale;
    int32_t zero_point;
} et_batch_matmul;

void et_batch_matmul_s8(const et_batch_matmul *product, const int8_t *a, const int8_t *b, int8_t *y);
/* int16: zero points are 0, int64 sums, 16-bit multiplier. */
void et_batch_matmul_s16(const et_batch_matmul *product, const int16_t *a, const int16_t *b, int16_t *y);

/* int16 times int8, zero points 0: the wide product where b was only widened from int8, depth <= ET_DOT_WIDE_MOST.
 * y[i][j] = limit((factor * sum + 2^31) / 2^32), which is TFLM's 16-bit multiplier with one rounding; where that has no
 * such factor, factor is 0 and scale is used. */
typedef struct {
    int32_t rows, depth, columns;
    int32_t a_row, a_step;
    int32_t b_step, b_column;
    int32_t factor;
    et_scale scale;
} et_batch_matmul_mixed;

void et_batch_matmul_mixed_s16(const et_batch_matmul_mixed *product, const int16_t *a, const int8_t *b, int16_t *y);

#endif
