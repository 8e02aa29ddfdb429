/* Dense layer: TFLM's FULLY_CONNECTED. y[r][j] = limit(zero_y + scale_j * (bias[j] + sum_k w[j][k] * x[r][k])). */
#ifndef ET_FULLY_CONNECTED_H
#define ET_FULLY_CONNECTED_H

#include "et_math.h"

typedef struct {
    int32_t rows;                /* of x and y */
    int32_t depth;               /* columns of x and of the weights */
    int32_t units;               /* columns of y */
    const int8_t *weights;       /* [units][depth], zero point 0 */
    const int32_t *bias;         /* [units], with -zero_x * row sum folded in */
    const et_scale *scales;      /* [1], or [units] when per_channel is 1 */
    int32_t per_channel;
    int32_t zero_point;          /* of y */
    int32_t low, high;           /* limits of y: its type and the fused activation */
} et_fully_connected;

/* int8 activations: int32 sums, two roundings. */
void et_fully_connected_s8(const et_fully_connected *layer, const int8_t *x, int8_t *y);

/* int16 activations (zero points 0): int64 sums, 16-bit multiplier, one rounding. */
typedef struct {
    int32_t rows, depth, units;
    const int8_t *weights;
    const int64_t *bias;         /* [units] */
    const et_scale *scales;
    int32_t per_channel;
    int32_t low, high;
} et_fully_connected_wide;

void et_fully_connected_s16(const et_fully_connected_wide *layer, const int16_t *x, int16_t *y);

#endif
