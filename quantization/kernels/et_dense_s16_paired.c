#include "et_dense.h"

void et_dense_s16_paired(const et_dense *layer, const int16_t *x, int16_t *y) {
    const et_dense numbers = *layer; /* a copy, which stores to y cannot change */
    for (int32_t row = 0; row < numbers.rows; ++row) {
        const int32_t *stream = (const int32_t *)(const void *)numbers.weights;
        const int32_t *bias = numbers.bias;
        const int32_t *factor = numbers.factors;
        for (int32_t unit = 0; unit < numbers.units; unit += 4) {
            const int32_t left = numbers.units - unit;
            int32_t sums[4];
            stream = et_dense_rows(stream, x, numbers.depth, sums);
            const int32_t count = left < 4 ? left : 4;
            for (int32_t k = 0; k < count; ++k) {
                const int32_t value = et_upper_multiply(sums[k] + *bias++, *factor);
                factor += numbers.per_channel;
                *y++ = (int16_t)et_clamp(value, numbers.low, numbers.high);
            }
        }
        x += numbers.depth;
    }
}
