/* ADD, SUB, MUL, SQUARED_DIFFERENCE of TFLM on int8 and int16, with broadcasting, and the conversions. */
#ifndef ET_ELEMENTWISE_H
#define ET_ELEMENTWISE_H

#include "et_math.h"

/* Three nested axes of the result; the strides, in elements, of each operand are 0 where it is repeated. */
typedef struct {
    int32_t count[3];
    int32_t a_stride[3];
    int32_t b_stride[3];
} et_axes;

/* y = limit(zero_y + scale_y * (scale_a * ((a - zero_a) << left) +- scale_b * ((b - zero_b) << left))) */
typedef struct {
    et_axes axes;
    int32_t a_zero, b_zero, zero_point;
    et_scale a_scale, b_scale, scale;
    int32_t left_shift;
    int32_t sign;        /* +1 for ADD, -1 for SUB */
    int32_t low, high;
} et_add;

void et_add_s8(const et_add *op, const int8_t *a, const int8_t *b, int8_t *y);
void et_add_s16(const et_add *op, const int16_t *a, const int16_t *b, int16_t *y);

/* The difference at the common scale, squared; sign is not used. */
void et_squared_difference_s8(const et_add *op, const int8_t *a, const int8_t *b, int8_t *y);
void et_squared_difference_s16(const et_add *op, const int16_t *a, const int16_t *b, int16_t *y);

/* y = limit(zero_y + scale * (a - zero_a) * (b - zero_b)) */
typedef struct {
    et_axes axes;
    int32_t a_zero, b_zero, zero_point;
    et_scale scale;
    int32_t low, high;
} et_multiply;

void et_multiply_s8(const et_multiply *op, const int8_t *a, const int8_t *b, int8_t *y);
void et_multiply_s16(const et_multiply *op, const int16_t *a, const int16_t *b, int16_t *y);

/* et_add_s16 for operands of one shape, or a minor operand of one element, where major has the larger scale, so that it
 * counts as major << 14; no limits but int16's. Sums are carried twice, so that the upper word of the product with the
 * multiplier is the specified first rounding and its addend the half of the second; shifts are 1 to 30.
 * minor_factor is 2 for major + minor and -2 for major - minor. Of one scale, minor is multiplied by -2^31, shifted by 1
 * and minor_factor has the other sign. */
typedef struct {
    int32_t count;
    int32_t minor_step; /* 1, or 0 for one element */
    int32_t minor_multiplier, minor_half, minor_shift, minor_factor;
    int32_t multiplier, half, shift;
} et_add_flat;

void et_add_flat_s16(const et_add_flat *op, const int16_t *major, const int16_t *minor, int16_t *y);

/* et_multiply_s16 for operands of one shape, or b of one element; zero points 0, no limits but int16's, shift 1 to 30. */
typedef struct {
    int32_t count;
    int32_t b_step; /* 1, or 0 for one element */
    int32_t multiplier, half, shift;
} et_multiply_flat;

void et_multiply_flat_s16(const et_multiply_flat *op, const int16_t *a, const int16_t *b, int16_t *y);

/* y = the smaller of a and b, which have one quantization. */
void et_minimum_s8(const et_axes *axes, const int8_t *a, const int8_t *b, int8_t *y);
void et_minimum_s16(const et_axes *axes, const int16_t *a, const int16_t *b, int16_t *y);

/* y = the larger of a and b, which have one quantization. */
void et_maximum_s8(const et_axes *axes, const int8_t *a, const int8_t *b, int8_t *y);
void et_maximum_s16(const et_axes *axes, const int16_t *a, const int16_t *b, int16_t *y);

/* int8 to int16 without a change of scale. */
void et_widen(int32_t count, const int8_t *x, int16_t *y);

/* Moves count bytes down to `to`, which begins `distance` bytes before them: a ring's rows one place on. */
void et_move_down(int8_t *to, int32_t distance, int32_t count);

#endif
