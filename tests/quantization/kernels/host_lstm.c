/* et_lstm_step of the host against the portable one: all scales and shifts at random, extreme values included, sizes around
 * the vectors', and nothing written beyond the arrays. */
#include <stdio.h>
#include <string.h>

#include "et_lstm.h"

void et_lstm_step_portable(const et_lstm_numbers *, const et_lstm_weights *, const int8_t *, const int8_t *, int16_t *,
                           int8_t *);
static uint32_t seed = 12345u;
static int32_t draw(int32_t low, int32_t high) {
    seed = seed * 1664525u + 1013904223u;
    return low + (int32_t)((seed >> 8) % (uint32_t)(high - low + 1));
}

#define LAYERS 9
static const int32_t sizes[LAYERS][2] = {{1, 1},  {3, 15},   {4, 16},   {24, 64}, {9, 64},
                                         {65, 70}, {31, 130}, {512, 17}, {24, 64}};
static et_lstm_weights layers[LAYERS];
static int8_t input[LAYERS][4 * 130 * 512], recurrent[LAYERS][4 * 130 * 130];
static int32_t input_bias[LAYERS][520], recurrent_bias[LAYERS][520];

static et_lstm_numbers numbers_of(void) {
    et_lstm_numbers numbers;
    for (int g = 0; g < 4; ++g) {
        numbers.input[g].multiplier = draw(0, 1) ? INT32_MAX : (1 << 30) + draw(0, 1 << 23);
        numbers.input[g].shift = draw(-10, 2);
        numbers.recurrent[g].multiplier = (1 << 30) + draw(0, 1 << 23);
        numbers.recurrent[g].shift = draw(-10, 2);
    }
    numbers.forget_cell.multiplier = 1 << 30;
    numbers.forget_cell.shift = -14;
    numbers.input_cell.multiplier = 1 << 30;
    numbers.input_cell.shift = draw(-24, -10);
    numbers.hidden.multiplier = (1 << 30) + draw(0, 1 << 23);
    numbers.hidden.shift = draw(-23, -20);
    numbers.cell_shift = draw(-3, 4);
    numbers.cell_clip = draw(0, 1) ? draw(1, 32767) : 0;
    numbers.input_zero_point = 0;
    numbers.hidden_zero_point = draw(-128, 127);
    return numbers;
}

int main(void) {
    for (int l = 0; l < LAYERS; ++l) {
        const int32_t n = sizes[l][0];
        const int32_t h = sizes[l][1];
        /* A weight of -128, which no converter makes, only in the last layer: NEON without SDOT leaves it to the portable. */
        const int32_t least = l == LAYERS - 1 ? -128 : -127;
        const int32_t large = l % 2 ? 1000000 : 30000;
        for (int32_t i = 0; i < 4 * h * n; ++i) input[l][i] = (int8_t)draw(least, 127);
        for (int32_t i = 0; i < 4 * h * h; ++i) recurrent[l][i] = (int8_t)(l == 2 ? -127 : draw(least, 127));
        for (int32_t i = 0; i < 4 * h; ++i) {
            input_bias[l][i] = draw(-large, large);
            recurrent_bias[l][i] = draw(-large, large);
        }
        const et_lstm_weights made = {n, h, input[l], recurrent[l], input_bias[l], recurrent_bias[l]};
        layers[l] = made;
        for (int trial = 0; trial < 40; ++trial) {
            const et_lstm_numbers numbers = numbers_of();
            int8_t x[512], before[130], a[130 + 1], b[130 + 1];
            int16_t ca[130 + 1], cb[130 + 1];
            for (int32_t i = 0; i < n; ++i) x[i] = (int8_t)draw(-128, 127);
            for (int32_t i = 0; i < h; ++i) before[i] = (int8_t)(trial % 8 == 0 ? -128 : draw(-128, 127));
            for (int32_t i = 0; i <= h; ++i) ca[i] = cb[i] = (int16_t)draw(-32768, 32767);
            a[h] = b[h] = 77;
            et_lstm_step(&numbers, &layers[l], x, before, ca, a);
            et_lstm_step_portable(&numbers, &layers[l], x, before, cb, b);
            if (memcmp(a, b, (size_t)h + 1) || memcmp(ca, cb, 2 * ((size_t)h + 1))) {
                printf("layer %d trial %d differs\n", l, trial);
                return 1;
            }
        }
    }
    puts("equal");
    return 0;
}
