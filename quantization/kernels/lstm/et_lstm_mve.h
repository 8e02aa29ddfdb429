/* One time step of the LSTM for Helium (Cortex-M55), equal to et_lstm_step bit for bit. The units are computed in
 * assembly, four at a time: et_lstm_mve_template.S, assembled once per layer, says how.
 */
#ifndef ET_LSTM_MVE_H
#define ET_LSTM_MVE_H

#include "et_lstm.h"

/* The lines of et_piecewise_linear.h as two arrays for gathering loads; index 192 or 256 is the line of y = 0. The slopes
 * of tanh are divided by 256, so that 16 bits hold them. */
extern const int32_t et_sigmoid_bases[384];
extern const uint16_t et_sigmoid_slopes[384];
extern const int32_t et_tanh_bases[512];
extern const uint16_t et_tanh_slopes[512];

/* Numbers that the assembly reads; the generator fills them from et_lstm_numbers. */
typedef struct {
    const int32_t *sigmoid_base; /* of y = 0, as the three below */
    const uint16_t *sigmoid_slope;
    const int32_t *tanh_base;
    const uint16_t *tanh_slope;
    int32_t input_multiplier[4];
    int32_t recurrent_multiplier[4];
    int32_t hidden_multiplier;
    int32_t hidden_zero_point;
    int32_t tanh_factor;         /* 3 * 2^cell_shift, or 3 when cell_shift < 0 */
} et_lstm_mve_numbers;

/* What a step of the assembly works on. */
typedef struct {
    const int8_t *stream; /* weights and biases in reading order, 4-byte aligned */
    const et_lstm_mve_numbers *numbers;
    int16_t *cell;
    int8_t *hidden;
    const int8_t *x;
    const int8_t *hidden_before;
} et_lstm_mve_call;

#endif
