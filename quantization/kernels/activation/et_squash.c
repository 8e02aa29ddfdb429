#include "et_squash.h"

#include "et_activation.h"

/* The table at magnitude / 2^bits in 0.(16 + bits) format; beyond its last entry, `end`. */
static uint32_t interpolated(uint32_t magnitude, int32_t bits, uint32_t end) {
    const uint32_t index = magnitude >> bits;
    if (index >= 255u) {
        return end;
    }
    const uint32_t low = et_sigmoid_table[index];
    const uint32_t high = et_sigmoid_table[index + 1u];
    return (low << bits) + (magnitude & ((1u << bits) - 1u)) * (high - low);
}

static int32_t placed(const et_squash *op, int16_t x) {
    return (x * op->multiplier + op->half) >> op->shift;
}

void et_logistic_s16(const et_squash *op, const int16_t *x, int16_t *y) {
    for (int32_t i = 0; i < op->count; ++i) {
        const int32_t at = placed(op, x[i]);
        const int32_t value = (int32_t)interpolated((uint32_t)(at < 0 ? -at : at), 9, 0x7FFFu << 10);
        const int32_t rounded = at < 0 ? (1 << 25) - value + (1 << 9) - 1 : value + (1 << 9);
        y[i] = (int16_t)(rounded >> 10);
    }
}

void et_tanh_s16(const et_squash *op, const int16_t *x, int16_t *y) {
    for (int32_t i = 0; i < op->count; ++i) {
        const int32_t at = placed(op, x[i]);
        const int32_t value = (int32_t)interpolated((uint32_t)(at < 0 ? -at : at), 8, 0xFFFFu << 8);
        const int32_t rounded = at < 0 ? -value + (1 << 23) + (1 << 7) - 1 : value - (1 << 23) + (1 << 7);
        y[i] = (int16_t)(rounded >> 8);
    }
}
