#include "et_softmax.h"

/* value * 2^exponent, saturated. */
static int32_t shift_saturated(int32_t value, int32_t exponent) {
    const int32_t limit = (int32_t)(((uint32_t)1 << (31 - exponent)) - 1u);
    if (value > limit) {
        return INT32_MAX;
    }
    if (value < -limit) {
        return INT32_MIN;
    }
    return value * ((int32_t)1 << exponent);
}

int32_t et_reciprocal_above_one(int32_t x) {
    const int32_t half_denominator = (int32_t)(((int64_t)x + INT32_MAX + 1) >> 1);
    /* The minimax start 48/17 - 32/17 d, with two integer bits, then three Newton-Raphson steps. */
    int32_t estimate = 1515870810 + et_high_multiply(half_denominator, -1010580540);
    for (int32_t step = 0; step < 3; ++step) {
        const int32_t error = (1 << 29) - et_high_multiply(half_denominator, estimate);
        estimate += shift_saturated(et_high_multiply(estimate, error), 2);
    }
    return shift_saturated(estimate, 1);
}
