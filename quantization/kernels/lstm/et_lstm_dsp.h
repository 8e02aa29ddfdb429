/* One time step of the LSTM for the Arm DSP extension (Cortex-M4, M7, M33), equal to et_lstm_step bit for bit.
 * The units are computed in assembly, et_lstm_dsp_template.S, which is assembled once per layer; it says how.
 */
#ifndef ET_LSTM_DSP_H
#define ET_LSTM_DSP_H

#include "et_lstm.h"
#include "et_piecewise_linear.h"

/* Numbers that the assembly reads; the generator fills them from et_lstm_numbers (see docs/KERNELS.md). */
typedef struct {
    int32_t input_multiplier[4];
    int32_t input_rounding[4]; /* 2^(-shift - 1), or 0 for shift >= 0 */
    int32_t recurrent_multiplier[4];
    int32_t recurrent_rounding[4];
    int32_t three;             /* 3 */
    const et_line *sigmoid;    /* the line of y = 0 */
    const et_line *tanh;
    int32_t forget_rounding;   /* 1 + 2^-shift of forget_cell */
    int32_t input_cell_rounding;
    int32_t tanh_factor;       /* 3 * 2^cell_shift, or the rounding 2^(-cell_shift - 1) when cell_shift < 0 */
    int32_t hidden_multiplier;
    int32_t hidden_rounding;   /* 2^(-shift - 1) + zero point * 2^-shift */
} et_lstm_dsp_numbers;

/* What a step of the assembly works on. */
typedef struct {
    const int32_t *input_words; /* 2 (x - zero point) in lanes; see et_lstm_dsp_expand */
    int32_t input_term;
    const int32_t *hidden_words;
    int32_t hidden_term;
    const et_lstm_dsp_numbers *numbers;
    const int32_t *stream;     /* weights and biases in reading order */
    const int32_t *stream_end;
    int16_t *cell;
    int8_t *hidden;
} et_lstm_dsp_call;

/* Expands count int8 to words of two lanes, 2 (x - zero_point), in blocks of four columns: lanes (0, 2), then (1, 3);
 * a last incomplete block is padded with zero. words holds 2 * ceil(count / 4). Returns the sum of the products of the
 * two words of each block: Winograd's term in x. */
int32_t et_lstm_dsp_expand(const int8_t *x, int32_t count, int32_t zero_point, int32_t *words);

#endif
