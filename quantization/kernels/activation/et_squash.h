/* LOGISTIC and TANH of TFLM as ops of their own, and any function of one int8. */
#ifndef ET_SQUASH_H
#define ET_SQUASH_H

#include <stdint.h>

/* y = table[x + 128]. */
void et_table_s8(int32_t count, const int8_t *table, const int8_t *x, int8_t *y);

/* int16 onto the axis of et_sigmoid_table, (x * multiplier + half) >> shift, and to Q0.15 by interpolation. */
typedef struct {
    int32_t count;
    int32_t multiplier, half, shift;
} et_squash;

void et_logistic_s16(const et_squash *op, const int16_t *x, int16_t *y);
void et_tanh_s16(const et_squash *op, const int16_t *x, int16_t *y);

/* y = table at x, 513 entries, 7 bits of fraction, interpolated with halves up. */
void et_table_s16(int32_t count, const int16_t *table, const int16_t *x, int16_t *y);

#endif
