/* One row of et_fully_connected_sum32_s16 in assembly, for the DSP extension (et_fully_connected_dsp.S) and Helium
 * (et_fully_connected_mve.S), which say in what order the generator lays the stream of weights and biases. */
#ifndef ET_FULLY_CONNECTED_ARM_H
#define ET_FULLY_CONNECTED_ARM_H

#include <stdint.h>

typedef struct {
    int32_t depth, units;
    int32_t low;            /* -32768, or 0 for a ReLU */
    const int32_t *factors; /* of four units */
    int32_t factor_step;    /* bytes to the factors of the next four: 0, or 16 when each unit has its own */
    const int32_t *stream;
} et_fully_connected_arm;

/* depth a multiple of 8, |weights| <= 127; x 4-byte aligned. */
void et_fully_connected_dsp(const et_fully_connected_arm *layer, const int16_t *x, int16_t *y);

void et_fully_connected_mve_s16(const et_fully_connected_arm *layer, const int16_t *x, int16_t *y);
/* The same for values that were only widened from int8. */
void et_fully_connected_mve_s8(const et_fully_connected_arm *layer, const int8_t *x, int16_t *y);

#endif
