/* Fastest time of 64 steps of one LSTM layer with drawn weights: lstm_sizes UNITS INPUTS. Prints microseconds and a checksum. */
#define _POSIX_C_SOURCE 199309L
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "et_lstm.h"

#define STEPS 64
#define ROUNDS 100
#define MOST 512

static uint32_t state = 1u;

static int32_t draw(int32_t low, int32_t high) {
    state = state * 1664525u + 1013904223u;
    return low + (int32_t)((state >> 8) % (uint32_t)(high - low + 1));
}

static int8_t *drawn(size_t count) {
    int8_t *values = malloc(count);
    for (size_t i = 0; values != NULL && i < count; ++i) {
        values[i] = (int8_t)draw(-127, 127);
    }
    return values;
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int main(int argc, char **argv) {
    static int8_t x[MOST], hidden[2][MOST];
    static int16_t cell[MOST];
    static int32_t bias[4 * MOST];
    const int32_t units = argc > 2 ? atoi(argv[1]) : 0, inputs = argc > 2 ? atoi(argv[2]) : 0;
    if (units < 1 || units > MOST || inputs < 1 || inputs > MOST) {
        return 2;
    }
    const et_lstm_weights weights = {inputs, units, drawn(4u * (size_t)units * (size_t)inputs),
                                     drawn(4u * (size_t)units * (size_t)units), bias, bias};
    et_lstm_numbers numbers;
    memset(&numbers, 0, sizeof numbers);
    for (int32_t gate = 0; gate < 4; ++gate) {
        numbers.input[gate] = numbers.recurrent[gate] = (et_scale){1 << 30, -6};
    }
    numbers.forget_cell = numbers.input_cell = (et_scale){1 << 30, -14};
    numbers.hidden = (et_scale){1 << 30, -22};
    for (int32_t i = 0; i < inputs; ++i) {
        x[i] = (int8_t)draw(-128, 127);
    }
    double best = 1e9;
    for (int32_t round = 0; round < ROUNDS; ++round) {
        const double start = seconds();
        for (int32_t k = 0; k < STEPS; ++k) {
            et_lstm_step(&numbers, &weights, x, hidden[k & 1], cell, hidden[1 - (k & 1)]);
        }
        const double spent = seconds() - start;
        best = spent < best ? spent : best;
    }
    uint32_t sum = 0;
    for (int32_t i = 0; i < units; ++i) {
        sum = sum * 31u + (uint8_t)hidden[0][i] + (uint16_t)cell[i];
    }
    printf("%.2f %lu\n", 1e6 * best, (unsigned long)sum);
    return 0;
}
