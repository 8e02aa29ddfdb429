/* et_fully_connected_sum32_s16 for processors with wide vectors: the same bits. A program that links this compiles
 * et_fully_connected_sum32_s16.c with -Det_fully_connected_sum32_s16=et_fully_connected_sum32_s16_portable, which does the
 * units that do not fill a vector. */
#include "et_fully_connected_sum32.h"
#include "et_host_dot.h"

#undef et_fully_connected_sum32_s16
void et_fully_connected_sum32_s16(const et_fully_connected_sum32 *layer, const int16_t *x, int16_t *y);
void et_fully_connected_sum32_s16_portable(const et_fully_connected_sum32 *layer, const int16_t *x, int16_t *y);

/* Units whose sums are made at once; a multiple of 16. */
#define ET_UNITS 64

static void finish(const et_fully_connected_sum32 *layer, const int32_t *sums, int32_t unit, int32_t count, int16_t *y) {
    const et_lanes low = et_lanes_all(layer->low);
    const et_lanes high = et_lanes_all(layer->high);
    const et_lanes common = et_lanes_all(layer->factors[0]);
    for (int32_t j = 0; j < count; j += ET_LANES) {
        const et_lanes factor = layer->per_channel ? et_lanes_load(&layer->factors[unit + j]) : common;
        const et_lanes total = et_lanes_add(et_lanes_load(&sums[j]), et_lanes_load(&layer->bias[unit + j]));
        et_lanes_store_s16(&y[j], et_lanes_clamp(et_lanes_upper_multiply(total, factor), low, high));
    }
}

static void one_row(const et_fully_connected_sum32 *layer, const int16_t *x, int16_t *y) {
    const int32_t whole = layer->units / 16 * 16;
    for (int32_t unit = 0; unit < whole; unit += ET_UNITS) {
        const int32_t count = whole - unit < ET_UNITS ? whole - unit : ET_UNITS;
        int32_t sums[ET_UNITS];
        for (int32_t j = 0; j < count; j += 4) {
            et_host_dots(x, &layer->weights[(unit + j) * layer->depth], layer->depth, layer->depth, &sums[j]);
        }
        finish(layer, sums, unit, count, &y[unit]);
    }
    if (whole < layer->units) {
        et_fully_connected_sum32 rest = *layer;
        rest.rows = 1;
        rest.units = layer->units - whole;
        rest.weights = &layer->weights[whole * layer->depth];
        rest.bias = &layer->bias[whole];
        rest.factors = layer->per_channel ? &layer->factors[whole] : layer->factors;
        et_fully_connected_sum32_s16_portable(&rest, x, &y[whole]);
    }
}

void et_fully_connected_sum32_s16(const et_fully_connected_sum32 *layer, const int16_t *x, int16_t *y) {
    for (int32_t row = 0; row < layer->rows; ++row) {
        one_row(layer, &x[row * layer->depth], &y[row * layer->units]);
    }
}
