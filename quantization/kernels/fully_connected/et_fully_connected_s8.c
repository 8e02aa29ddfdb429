#include "et_fully_connected.h"

#include "et_dot.h"

void et_fully_connected_s8(const et_fully_connected *layer, const int8_t *x, int8_t *y) {
    for (int32_t row = 0; row < layer->rows; ++row) {
        for (int32_t unit = 0; unit < layer->units; ++unit) {
            const int32_t sum = et_dot_s8(&layer->weights[unit * layer->depth], x, layer->depth, layer->bias[unit]);
            const et_scale scale = layer->scales[layer->per_channel ? unit : 0];
            *y++ = (int8_t)et_clamp(et_requantize(sum, scale) + layer->zero_point, layer->low, layer->high);
        }
        x += layer->depth;
    }
}
