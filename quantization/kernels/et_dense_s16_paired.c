#include "et_dense.h"

void et_dense_s16_paired(const et_dense *layer, const int16_t *x, int16_t *y) {
    for (int32_t row = 0; row < layer->rows; ++row) {
        const int32_t *stream = (const int32_t *)(const void *)layer->weights;
        for (int32_t unit = 0; unit < layer->units; unit += 4) {
            const int32_t left = layer->units - unit;
            int32_t sums[4];
            stream = et_dense_rows(stream, x, layer->depth, sums);
            for (int32_t k = 0; k < 4 && k < left; ++k) {
                const int32_t factor = layer->factors[layer->per_channel ? unit + k : 0];
                const int32_t value = et_upper_multiply(sums[k] + layer->bias[unit + k], factor);
                *y++ = (int16_t)et_clamp(value, layer->low, layer->high);
            }
        }
        x += layer->depth;
    }
}
