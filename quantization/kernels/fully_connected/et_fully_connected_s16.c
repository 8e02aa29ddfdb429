#include "et_dot.h"
#include "et_fully_connected.h"

void et_fully_connected_s16(const et_fully_connected_wide *layer, const int16_t *x, int16_t *y) {
    for (int32_t row = 0; row < layer->rows; ++row) {
        const int8_t *weights = layer->weights;
        for (int32_t unit = 0; unit < layer->units; ++unit) {
            int64_t sum = layer->bias[unit];
            for (int32_t start = 0; start < layer->depth; start += ET_DOT_WIDE_MOST) {
                const int32_t rest = layer->depth - start;
                const int32_t count = rest < ET_DOT_WIDE_MOST ? rest : ET_DOT_WIDE_MOST;
                sum += et_dot_s16_s8(&x[start], weights, count);
                weights += count;
            }
            const et_scale scale = layer->scales[layer->per_channel ? unit : 0];
            *y++ = (int16_t)et_clamp(et_requantize_wide(sum, scale), layer->low, layer->high);
        }
        x += layer->depth;
    }
}
