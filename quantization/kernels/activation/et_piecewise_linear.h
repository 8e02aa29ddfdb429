/* The activations of et_lstm.h as straight lines: the result is the upper halfword of base + slope * y (modulo 2^32),
 * where y is the argument in table steps; rounding and sign are included. Equal to et_sigmoid_q15 and et_tanh_q15 for
 * every int16 (tested over all of them). 7.2 kB of tables against 0.5 kB.
 */
#ifndef ET_PIECEWISE_LINEAR_H
#define ET_PIECEWISE_LINEAR_H

#include "et_math.h"

/* One segment; 8 bytes, so that one load instruction fetches both. */
typedef struct {
    int32_t base;
    int32_t slope;
} et_line;

#define ET_SIGMOID_ZERO 192 /* lines before y = 0: 3 * 32768 / 512 */
#define ET_TANH_ZERO 256

extern const et_line et_sigmoid_lines[2 * ET_SIGMOID_ZERO];
extern const et_line et_tanh_lines[2 * ET_TANH_ZERO];

/* Lines of 512 steps; value is int16, Q3.12; the result is Q0.15. */
ET_INLINE ET_UNUSED int32_t et_piecewise_linear_sigmoid(int32_t value) {
    const int32_t steps = 3 * value;
    const et_line *line = &et_sigmoid_lines[ET_SIGMOID_ZERO + (steps >> 9)];
    return (int32_t)((uint32_t)line->base + (uint32_t)line->slope * (uint32_t)steps) >> 16;
}

/* Lines of 256 steps; steps is limited to [-65536, 65535] by the caller; the result is Q0.15. */
ET_INLINE ET_UNUSED int32_t et_piecewise_linear_tanh(int32_t steps) {
    const et_line *line = &et_tanh_lines[ET_TANH_ZERO + (steps >> 8)];
    return (int32_t)((uint32_t)line->base + (uint32_t)line->slope * (uint32_t)steps) >> 16;
}

/* 3 * value * 2^shift for an int16 value, not limited. */
ET_INLINE ET_UNUSED int32_t et_tanh_steps(int32_t value, int32_t shift) {
    const int32_t triple = 3 * value;
    return shift >= 0 ? triple * ((int32_t)1 << (shift & 31))
                      : (triple + ((int32_t)1 << ((-shift - 1) & 31))) >> (-shift & 31);
}

#endif
