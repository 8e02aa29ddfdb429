/* The activations of et_lstm.h as straight lines, one multiply-add each: segment k of the table steps y has the
 * value (base[k] + slope[k] * y) >> shift, rounding and sign included. Equal to et_sigmoid_q15 and et_tanh_q15 for
 * every int16 (tested over all of them). 5.4 kB of tables against 0.5 kB. */
#ifndef ET_SEGMENTS_H
#define ET_SEGMENTS_H

#include "et_math.h"

#define ET_SIGMOID_FIRST (-192) /* 3 * -32768 >> 9 */
#define ET_TANH_FIRST (-256)

extern const int32_t et_sigmoid_base[384];
extern const int16_t et_sigmoid_slope[384];
extern const int32_t et_tanh_base[512];
extern const int16_t et_tanh_slope[512];

/* value is int16, Q3.12; the result is Q0.15. */
ET_INLINE ET_UNUSED int32_t et_segments_sigmoid(int32_t value) {
    const int32_t steps = 3 * value;
    const int32_t place = (steps >> 9) - ET_SIGMOID_FIRST;
    return (et_sigmoid_base[place] + et_sigmoid_slope[place] * steps) >> 10;
}

/* value is int16; the argument is 3 * value * 2^shift table steps. The result is Q0.15. */
ET_INLINE ET_UNUSED int32_t et_segments_tanh(int32_t value, int32_t shift) {
    const int32_t triple = 3 * value;
    const int32_t steps =
        et_clamp(shift >= 0 ? triple * ((int32_t)1 << (shift & 31))
                            : (triple + ((int32_t)1 << ((-shift - 1) & 31))) >> (-shift & 31),
                 -65536, 65535);
    const int32_t place = (steps >> 8) - ET_TANH_FIRST;
    return (et_tanh_base[place] + et_tanh_slope[place] * steps) >> 8;
}

#endif
