#include "et_reduce.h"

/* value * 2^exponent, saturated. In 32 bits: GCC 12.2 stops with an internal error at the 64-bit form for RISC-V with Zbb. */
static int32_t shift_saturated(int32_t value, int32_t exponent) {
    const int32_t most = INT32_MAX >> exponent;
    if (value > most) {
        return INT32_MAX;
    }
    return value < -most - 1 ? INT32_MIN : value * (1 << exponent);
}

et_scale et_inverse_root_scale(int32_t x) {
    const et_scale largest = {INT32_MAX, 0};
    if (x <= 1) {
        return largest;
    }
    int32_t shift = 11;
    while (x >= (1 << 29)) {
        x /= 4;
        ++shift;
    }
    while (x < (1 << 27)) {
        x *= 4;
        --shift;
    }
    /* Newton-Raphson from 1 with three integer bits: r = 3/2 r - x/2 r^3. */
    const int32_t half = et_divide_by_power(x >> 1, 1);
    int32_t root = 1 << 28;
    for (int32_t step = 0; step < 5; ++step) {
        const int32_t cube = shift_saturated(et_high_multiply(et_high_multiply(root, root), root), 6);
        const int32_t next = et_high_multiply(root, (1 << 28) + (1 << 27)) - et_high_multiply(half, cube);
        root = shift_saturated(next, 3);
    }
    root = et_high_multiply(root, 1518500250); /* sqrt(1/2) */
    if (shift < 0) {
        root *= 1 << -shift;
        shift = 0;
    }
    const et_scale scale = {root, -shift};
    return scale;
}
