/* One row of et_mixed_matmul_s16 in assembly: int16 values x times an int8 matrix, for the DSP extension (et_mixed_dsp.S) and
 * Helium (et_mixed_mve.S). */
#ifndef ET_MIXED_ARM_H
#define ET_MIXED_ARM_H

#include <stdint.h>

/* y has `columns` elements; factor is et_mixed_matmul's. */
typedef struct {
    int32_t depth, columns;
    int32_t stride; /* elements from a row of b to the next */
    int32_t factor;
} et_mixed_arm;

/* y[j] = limit(factor * sum over k of x[k] * row j of b [k] / 2^32).
 * DSP: depth a multiple of 8, columns of 2, stride of 4, x and b 4-byte aligned; needs 2 * depth bytes of stack.
 * Helium: columns a multiple of 4. */
void et_mixed_rows(const et_mixed_arm *product, const int16_t *x, const int8_t *b, int16_t *y);

/* y[j] = limit(factor * sum over k of x[k] * row k of b [j] / 2^32).
 * DSP: depth and columns multiples of 4, stride of 4, x and b 4-byte aligned. Helium: columns a multiple of 16. */
void et_mixed_columns(const et_mixed_arm *product, const int16_t *x, const int8_t *b, int16_t *y);

#endif
