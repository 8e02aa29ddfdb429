#include "et_lstm.h"

#include "et_activation.h"
#include "et_dot.h"

int16_t et_sigmoid_q15(int16_t value) {
    const int32_t steps = 3 * (int32_t)value;
    const uint32_t distance = (uint32_t)(steps < 0 ? -steps : steps);
    const uint32_t place = distance >> 9; /* at most 192: the table's end is never reached */
    const uint32_t low = et_sigmoid_table[place];
    const uint32_t high = et_sigmoid_table[place + 1u];
    const uint32_t sum = (low << 9) + (distance & 0x1FFu) * (high - low);
    const uint32_t rounded = steps >= 0 ? sum + 512u : (1u << 25) - sum + 511u;
    return (int16_t)(rounded >> 10);
}

int16_t et_tanh_q15(int16_t value, int32_t shift) {
    const int32_t triple = 3 * (int32_t)value;
    const int32_t steps = shift >= 0 ? triple * ((int32_t)1 << shift)
                                     : (triple + ((int32_t)1 << (-shift - 1))) >> -shift;
    const uint32_t distance = (uint32_t)(steps < 0 ? -steps : steps);
    const uint32_t place = distance >> 8;
    uint32_t sum = 0xFFFFu << 8;
    if (place < 255u) {
        const uint32_t low = et_sigmoid_table[place];
        const uint32_t high = et_sigmoid_table[place + 1u];
        sum = (low << 8) + (distance & 0xFFu) * (high - low);
    }
    const int32_t centred = (int32_t)sum - ((int32_t)1 << 23);
    return (int16_t)((steps >= 0 ? centred + 128 : 127 - centred) >> 8);
}

int8_t et_lstm_unit(const et_lstm_numbers *numbers, const int16_t gate[4], int16_t *cell) {
    const int32_t input = et_sigmoid_q15(gate[0]);
    const int32_t forget = et_sigmoid_q15(gate[1]);
    const int32_t candidate = et_tanh_q15(gate[2], 0);
    const int32_t output = et_sigmoid_q15(gate[3]);
    const int32_t kept = et_clamp(et_requantize(forget * *cell, numbers->forget_cell), INT16_MIN, INT16_MAX);
    const int32_t added = et_clamp(et_requantize(input * candidate, numbers->input_cell), INT16_MIN, INT16_MAX);
    int32_t state = et_clamp(kept + added, INT16_MIN, INT16_MAX);
    if (numbers->cell_clip > 0) {
        state = et_clamp(state, -numbers->cell_clip, numbers->cell_clip);
    }
    *cell = (int16_t)state;
    const int32_t product = output * et_tanh_q15((int16_t)state, numbers->cell_shift);
    const int32_t hidden = et_requantize(product, numbers->hidden) + numbers->hidden_zero_point;
    return (int8_t)et_clamp(hidden, INT8_MIN, INT8_MAX);
}

void et_lstm_step(const et_lstm_numbers *numbers, const et_lstm_weights *weights, const int8_t *x,
                  const int8_t *hidden_before, int16_t *cell, int8_t *hidden) {
    for (int32_t unit = 0; unit < weights->units; ++unit) {
        int16_t gate[4];
        for (int32_t g = 0; g < 4; ++g) {
            const int32_t row = g * weights->units + unit;
            const int32_t input_sum = et_dot_s8(&weights->input_weights[row * weights->inputs], x, weights->inputs,
                                                weights->input_bias[row]);
            const int32_t hidden_sum = et_dot_s8(&weights->recurrent_weights[row * weights->units], hidden_before,
                                                 weights->units, weights->recurrent_bias[row]);
            const int32_t from_input = et_requantize(input_sum, numbers->input[g]);
            const int32_t from_hidden = et_requantize(hidden_sum, numbers->recurrent[g]);
            /* TFLM limits each product to int16 before it adds them, and limits the sum again. */
            gate[g] = (int16_t)et_clamp(et_clamp(from_input, INT16_MIN, INT16_MAX) +
                                            et_clamp(from_hidden, INT16_MIN, INT16_MAX),
                                        INT16_MIN, INT16_MAX);
        }
        hidden[unit] = et_lstm_unit(numbers, gate, &cell[unit]);
    }
}
