/* One time step of the LSTM for the Arm DSP extension, as a template: define the macros below, include this file,
 * and a function of that name exists. It equals et_lstm_step bit for bit.
 *
 *   ET_LSTM_NAME          name of the function
 *   ET_LSTM_NUMBERS       name of a static const et_lstm_numbers
 *   ET_LSTM_INPUTS        inputs; ET_LSTM_INPUT_BLOCKS is that in blocks of four, rounded up
 *   ET_LSTM_UNITS         units; ET_LSTM_UNIT_BLOCKS is that in blocks of four, rounded up
 *
 * Two rows of weights share each 16-bit lane as h = a + 256 b, so that SMLAD on the packed words gives
 * T = A + 256 B, two rows at once. A alone is needed too and costs three instructions for four products by
 * Winograd's identity (x2 + w0)(x0 + w2) = x0 x2 + w0 x0 + w2 x2 + w0 w2 with SXTAB16, which reads the a's out of the
 * packed words; then B = (T - A) / 256. The terms in w are part of the bias, those in x are summed once a step.
 * Inputs are expanded to 2 (x - zero point), so accumulators carry twice their value (see et_dsp.h).
 *
 * The weights come as one stream of words per unit, in the order they are read:
 *   bias of T and A for gates (input, forget), then for (cell, output); the input blocks, each of four words (columns
 *   0 and 2, columns 1 and 3 of the first pair, then of the second pair); the same again for the recurrent weights.
 * The generator asserts |weight| <= 127 and |2 B| < 2^23.
 */
#include <string.h>

#include "et_dsp.h"
#include "et_lstm.h"
#include "et_segments.h"

#ifndef ET_LSTM_DSP_ONCE
#define ET_LSTM_DSP_ONCE

#define ET_TEXT2(x) #x
#define ET_TEXT(x) ET_TEXT2(x)

/* Products of `blocks` blocks of four columns with two pairs of rows: 12 instructions for 16 products. */
#define ET_LSTM_PRODUCTS(blocks)                                                  \
    __asm__ volatile(".rept " ET_TEXT(blocks) "\n\t"                              \
                     "ldmia %[w]!, {r2, r3, r4, r5}\n\t"                          \
                     "ldrd r8, r9, [%[x]], #8\n\t"                                \
                     "smlad %[t1], r2, r8, %[t1]\n\t"                             \
                     "smlad %[t2], r4, r8, %[t2]\n\t"                             \
                     "smlad %[t1], r3, r9, %[t1]\n\t"                             \
                     "smlad %[t2], r5, r9, %[t2]\n\t"                             \
                     "sxtab16 r2, r9, r2\n\t"                                     \
                     "sxtab16 r3, r8, r3\n\t"                                     \
                     "sxtab16 r4, r9, r4\n\t"                                     \
                     "sxtab16 r5, r8, r5\n\t"                                     \
                     "smlad %[a1], r2, r3, %[a1]\n\t"                             \
                     "smlad %[a2], r4, r5, %[a2]\n\t"                             \
                     ".endr"                                                      \
                     : [t1] "+r"(t1), [a1] "+r"(a1), [t2] "+r"(t2), [a2] "+r"(a2), \
                       [w] "+r"(stream), [x] "+r"(columns)                        \
                     :                                                            \
                     : "r2", "r3", "r4", "r5", "r8", "r9", "memory")

/* Expands `blocks` blocks of four int8 to words of two lanes, 2 (x - zero point), columns (0, 2) and (1, 3), and
 * returns the sum of the products of the two words: Winograd's term in x. */
static inline int32_t et_lstm_dsp_expand(const int8_t *x, int32_t blocks, int32_t zero_point, int32_t *words) {
    const int32_t minus = (int32_t)((uint32_t)(-zero_point & 0xFFFF) * 0x10001u);
    int32_t sum = 0;
    for (int32_t block = 0; block < blocks; ++block) {
        int32_t four;
        memcpy(&four, &x[4 * block], sizeof four);
        const int32_t even = et_dsp_double_lanes(et_dsp_add_even_bytes(minus, four));
        const int32_t odd = et_dsp_double_lanes(et_dsp_add_odd_bytes(minus, four));
        words[2 * block] = even;
        words[2 * block + 1] = odd;
        sum = et_dsp_dot2(even, odd, sum);
    }
    return sum;
}
#endif

static void ET_LSTM_NAME(const int32_t *stream, const int8_t *x, const int8_t *hidden_before, int16_t *cell,
                         int8_t *hidden) {
    int32_t input_words[2 * ET_LSTM_INPUT_BLOCKS];
    int32_t hidden_words[2 * ET_LSTM_UNIT_BLOCKS];
    int32_t input_term = et_lstm_dsp_expand(x, ET_LSTM_INPUTS / 4, ET_LSTM_NUMBERS.input_zero_point, input_words);
    int32_t hidden_term =
        et_lstm_dsp_expand(hidden_before, ET_LSTM_UNITS / 4, ET_LSTM_NUMBERS.hidden_zero_point, hidden_words);
#if ET_LSTM_INPUTS % 4 != 0
    {
        int8_t rest[4];
        memset(rest, ET_LSTM_NUMBERS.input_zero_point, sizeof rest);
        memcpy(rest, &x[ET_LSTM_INPUTS / 4 * 4], ET_LSTM_INPUTS % 4);
        input_term += et_lstm_dsp_expand(rest, 1, ET_LSTM_NUMBERS.input_zero_point, &input_words[ET_LSTM_INPUTS / 4 * 2]);
    }
#endif
#if ET_LSTM_UNITS % 4 != 0
    {
        int8_t rest[4];
        memset(rest, ET_LSTM_NUMBERS.hidden_zero_point, sizeof rest);
        memcpy(rest, &hidden_before[ET_LSTM_UNITS / 4 * 4], ET_LSTM_UNITS % 4);
        hidden_term +=
            et_lstm_dsp_expand(rest, 1, ET_LSTM_NUMBERS.hidden_zero_point, &hidden_words[ET_LSTM_UNITS / 4 * 2]);
    }
#endif
    for (int32_t unit = 0; unit < ET_LSTM_UNITS; ++unit) {
        int32_t from_input[4];
        int32_t gate[4];
        int32_t t1 = stream[0];
        int32_t a1 = stream[1] - input_term;
        int32_t t2 = stream[2];
        int32_t a2 = stream[3] - input_term;
        stream += 4;
        const int32_t *columns = input_words;
        ET_LSTM_PRODUCTS(ET_LSTM_INPUT_BLOCKS);
        t1 = (int32_t)((uint32_t)t1 - (uint32_t)a1) >> 8;
        t2 = (int32_t)((uint32_t)t2 - (uint32_t)a2) >> 8;
        ET_DSP_REQUANTIZE(from_input[0], a1, ET_LSTM_NUMBERS.input[0], 0, 16);
        ET_DSP_REQUANTIZE(from_input[1], t1, ET_LSTM_NUMBERS.input[1], 0, 16);
        ET_DSP_REQUANTIZE(from_input[2], a2, ET_LSTM_NUMBERS.input[2], 0, 16);
        ET_DSP_REQUANTIZE(from_input[3], t2, ET_LSTM_NUMBERS.input[3], 0, 16);
        t1 = stream[0];
        a1 = stream[1] - hidden_term;
        t2 = stream[2];
        a2 = stream[3] - hidden_term;
        stream += 4;
        columns = hidden_words;
        ET_LSTM_PRODUCTS(ET_LSTM_UNIT_BLOCKS);
        t1 = (int32_t)((uint32_t)t1 - (uint32_t)a1) >> 8;
        t2 = (int32_t)((uint32_t)t2 - (uint32_t)a2) >> 8;
        ET_DSP_REQUANTIZE(gate[0], a1, ET_LSTM_NUMBERS.recurrent[0], 0, 16);
        ET_DSP_REQUANTIZE(gate[1], t1, ET_LSTM_NUMBERS.recurrent[1], 0, 16);
        ET_DSP_REQUANTIZE(gate[2], a2, ET_LSTM_NUMBERS.recurrent[2], 0, 16);
        ET_DSP_REQUANTIZE(gate[3], t2, ET_LSTM_NUMBERS.recurrent[3], 0, 16);
        const int32_t input = et_segments_sigmoid(et_dsp_saturate16(gate[0] + from_input[0]));
        const int32_t forget = et_segments_sigmoid(et_dsp_saturate16(gate[1] + from_input[1]));
        const int32_t candidate = et_segments_tanh(et_dsp_saturate16(gate[2] + from_input[2]), 0);
        const int32_t output = et_segments_sigmoid(et_dsp_saturate16(gate[3] + from_input[3]));
        int32_t added = et_dsp_scale_product(input, candidate, ET_LSTM_NUMBERS.input_cell.shift);
        if (ET_LSTM_NUMBERS.input_cell.shift > -14) {
            added = et_dsp_saturate16(added);
        }
        int32_t state = added + et_dsp_scale_product(forget, cell[unit], ET_LSTM_NUMBERS.forget_cell.shift);
        state = et_dsp_saturate16(state);
        if (ET_LSTM_NUMBERS.cell_clip > 0) {
            state = et_clamp(state, -ET_LSTM_NUMBERS.cell_clip, ET_LSTM_NUMBERS.cell_clip);
        }
        cell[unit] = (int16_t)state;
        const int32_t product = 2 * output * et_segments_tanh(state, ET_LSTM_NUMBERS.cell_shift);
        int32_t value;
        ET_DSP_REQUANTIZE(value, product, ET_LSTM_NUMBERS.hidden, ET_LSTM_NUMBERS.hidden_zero_point, 8);
        hidden[unit] = (int8_t)value;
    }
}

#undef ET_LSTM_NAME
#undef ET_LSTM_NUMBERS
#undef ET_LSTM_INPUTS
#undef ET_LSTM_INPUT_BLOCKS
#undef ET_LSTM_UNITS
#undef ET_LSTM_UNIT_BLOCKS
