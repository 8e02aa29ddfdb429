/* One row of et_batch_matmul_mixed_s16 in assembly: int16 values x times an int8 matrix, for the DSP extension
 * (et_batch_matmul_dsp.S) and Helium (et_batch_matmul_mve.S). */
#ifndef ET_BATCH_MATMUL_ARM_H
#define ET_BATCH_MATMUL_ARM_H

#include <stdint.h>

/* y has `columns` elements; factor is et_batch_matmul_mixed's. */
typedef struct {
    int32_t depth, columns;
    int32_t stride; /* elements from a row of b to the next */
    int32_t factor;
} et_batch_matmul_arm;

/* y[j] = limit(factor * sum over k of x[k] * row j of b [k] / 2^32).
 * DSP: depth a multiple of 8, columns of 2, stride of 4, x and b 4-byte aligned; needs 2 * depth bytes of stack.
 * Helium: columns a multiple of 4. */
void et_batch_matmul_rows(const et_batch_matmul_arm *product, const int16_t *x, const int8_t *b, int16_t *y);

/* y[j] = limit(factor * sum over k of x[k] * row k of b [j] / 2^32).
 * DSP: depth and columns multiples of 4, stride of 4, x and b 4-byte aligned. Helium: columns a multiple of 16. */
void et_batch_matmul_columns(const et_batch_matmul_arm *product, const int16_t *x, const int8_t *b, int16_t *y);

#endif
