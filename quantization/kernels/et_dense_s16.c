#include "et_dense.h"
#include "et_dot.h"

void et_dense_s16(const et_dense *layer, const int16_t *x, int16_t *y) {
    for (int32_t row = 0; row < layer->rows; ++row) {
        for (int32_t unit = 0; unit < layer->units; unit += 4) {
            const int32_t left = layer->units - unit;
            int32_t sums[4];
            et_dot_rows(x, &layer->weights[unit * layer->depth], layer->depth, left < 4 ? left : 4, layer->depth, sums);
            for (int32_t k = 0; k < 4 && k < left; ++k) {
                const int32_t factor = layer->factors[layer->per_channel ? unit + k : 0];
                const int32_t value = et_upper_multiply(sums[k] + layer->bias[unit + k], factor);
                *y++ = (int16_t)et_clamp(value, layer->low, layer->high);
            }
        }
        x += layer->depth;
    }
}
