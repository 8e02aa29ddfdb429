#include "et_dot.h"
#include "et_fully_connected.h"

void et_fully_connected_s16(const et_fully_connected_wide *layer, const int16_t *x, int16_t *y) {
    for (int32_t row = 0; row < layer->rows; ++row) {
        for (int32_t unit = 0; unit < layer->units; ++unit) {
            int64_t sum = layer->bias[unit];
            const int8_t *weights = &layer->weights[unit * layer->depth];
            for (int32_t k = 0; k < layer->depth; ++k) {
                sum += (int32_t)weights[k] * x[k];
            }
            const et_scale scale = layer->scales[layer->per_channel ? unit : 0];
            *y++ = (int16_t)et_clamp(et_requantize_wide(sum, scale), layer->low, layer->high);
        }
        x += layer->depth;
    }
}
