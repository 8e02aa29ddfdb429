/* TFLM's SOFTMAX over the last axis. */
#ifndef ET_SOFTMAX_H
#define ET_SOFTMAX_H

#include "et_math.h"

/* int8 in, int8 (bits 8) or int16 (bits 16) out. exponentials[d] is exp of -d input steps in Q0.31, for d < count;
 * a larger distance from the maximum counts as zero. */
typedef struct {
    int32_t rows, depth;
    const int32_t *exponentials;
    int32_t count;
} et_softmax;

void et_softmax_s8(const et_softmax *op, const int8_t *x, int8_t *y);
void et_softmax_s8_s16(const et_softmax *op, const int8_t *x, int16_t *y);

/* int16 in and out: two tables of 513 entries, interpolated. */
typedef struct {
    int32_t rows, depth;
    et_scale scale;               /* of the input to the exponential's table */
    const int16_t *exponential;   /* exp of -10 .. 0, Q0.15 */
    const int16_t *reciprocal;    /* 1 / (1 + x) of 0 .. 1, Q0.15 */
} et_softmax_wide;

/* Q0.31 of 1 / (1 + x) for x in [0, 1) in Q0.31: gemmlowp's Newton-Raphson. */
int32_t et_reciprocal_above_one(int32_t x);

void et_softmax_s16(const et_softmax_wide *op, const int16_t *x, int16_t *y);

#endif
