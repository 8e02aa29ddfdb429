/* The other host kernels, each against its portable twin: random numbers, sizes around the vectors', every shape of operand
 * that they take and some that they leave to the other, and nothing written beyond the result. */
#include <stdio.h>
#include <string.h>

#include "et_batch_matmul.h"
#include "et_convert.h"
#include "et_fully_connected_sum32.h"
#include "et_elementwise.h"

void et_batch_matmul_mixed_s16_portable(const et_batch_matmul_mixed *, const int16_t *, const int8_t *, int16_t *);
void et_fully_connected_sum32_s16_portable(const et_fully_connected_sum32 *, const int16_t *, int16_t *);
void et_add_s16_portable(const et_add *, const int16_t *, const int16_t *, int16_t *);
void et_multiply_s16_portable(const et_multiply *, const int16_t *, const int16_t *, int16_t *);
void et_quantize_s8_portable(const float *, int32_t, float, int32_t, int8_t *);

#define MOST 20000
static int16_t a[MOST], b[MOST], found[MOST], expected[MOST];
static int8_t weights[MOST];
static int32_t bias[200], factors[200];
static uint32_t seed = 54321u;

static int32_t draw(int32_t low, int32_t high) {
    seed = seed * 1664525u + 1013904223u;
    return low + (int32_t)((seed >> 8) % (uint32_t)(high - low + 1));
}

static et_scale scale_of(int32_t low, int32_t high) {
    const et_scale scale = {draw(0, 7) ? (1 << 30) + draw(0, 1 << 23) * 127 : INT32_MAX, draw(low, high)};
    return scale;
}

static void fill(int32_t trial) {
    for (int32_t i = 0; i < MOST; ++i) {
        a[i] = (int16_t)(trial % 9 == 0 ? INT16_MIN : draw(INT16_MIN, INT16_MAX));
        b[i] = (int16_t)draw(INT16_MIN, INT16_MAX);
        weights[i] = (int8_t)(trial % 9 == 0 ? INT8_MIN : draw(INT8_MIN, INT8_MAX));
        found[i] = expected[i] = 12345;
    }
}

static int differs(const char *what, int32_t trial) {
    if (memcmp(found, expected, sizeof found) == 0) {
        return 0;
    }
    printf("%s, trial %d differs\n", what, (int)trial);
    return 1;
}

static int mixed_matmul(int32_t trial) {
    et_batch_matmul_mixed product = {draw(1, 3), draw(1, 140), draw(1, 140), 0, 0, 0, 0, 0, {0, 0}};
    const int32_t shape = trial % 4; /* columns lie side by side (2), rows do, and neither */
    product.a_step = shape == 1 ? product.rows : 1;
    product.a_row = shape == 1 ? 1 : product.depth;
    product.b_step = shape <= 1 ? product.columns : shape == 2 ? 1 : 2;
    product.b_column = shape <= 1 ? 1 : shape == 2 ? product.depth : 2 * product.depth;
    if (shape == 3) {
        product.depth = draw(1, 40);
        product.columns = draw(1, 40);
        product.b_column = 2 * product.depth;
    }
    product.factor = draw(0, 3) ? draw(1, 1 << 23) * 100 : 0;
    product.scale = scale_of(-12, 0);
    et_batch_matmul_mixed_s16(&product, a, weights, found);
    et_batch_matmul_mixed_s16_portable(&product, a, weights, expected);
    return differs("mixed_matmul", trial);
}

static int dense(int32_t trial) {
    const int32_t units = draw(1, 140);
    for (int32_t i = 0; i < 200; ++i) {
        bias[i] = draw(-8000000, 8000000) * 50;
        factors[i] = draw(1, 8388607) * 100;
    }
    const et_fully_connected_sum32 layer = {draw(1, 3), draw(1, 140), units, weights, bias, factors, trial % 2,
        draw(-32768, 0), 32767};
    et_fully_connected_sum32_s16(&layer, a, found);
    et_fully_connected_sum32_s16_portable(&layer, a, expected);
    return differs("dense", trial);
}

static et_axes axes_of(int32_t trial) {
    const int32_t count = draw(1, 70);
    const et_axes row = {{1, 1, count}, {0, 0, trial % 3 != 1}, {0, 0, trial % 3 != 2}};
    const et_axes several = {{2, 3, count}, {3 * count, count, 1}, {0, count, 1}};
    const et_axes apart = {{1, 1, count}, {0, 0, 2}, {0, 0, 1}};
    return trial % 7 == 6 ? several : trial % 7 == 5 ? apart : row;
}

static int elementwise(int32_t trial) {
    const et_axes axes = axes_of(trial);
    const et_add add = {axes,           draw(-9, 9),   draw(-9, 9), draw(-9, 9), scale_of(-8, 0),
                        scale_of(-8, 0), scale_of(-20, 0), draw(0, 14), draw(0, 1) ? 1 : -1, draw(-32768, -30000), 32767};
    et_add_s16(&add, a, b, found);
    et_add_s16_portable(&add, a, b, expected);
    if (differs("add", trial)) {
        return 1;
    }
    const et_multiply multiply = {axes, draw(-1, 1), draw(-1, 1), draw(-9, 9), scale_of(-31, 0), -32768, draw(20000, 32767)};
    et_multiply_s16(&multiply, a, b, found);
    et_multiply_s16_portable(&multiply, a, b, expected);
    return differs("multiply", trial);
}

static int quantize(int32_t trial) {
    static const uint32_t special[] = {0x7F800000u, 0xFF800000u, 0x7FC00000u, 0x80000000u, 0x7F7FFFFFu, 0x00000001u};
    float values[200];
    const int32_t count = draw(1, 180);
    const float scale = trial % 2 ? 0.5f : 0.0271f;
    for (int32_t i = 0; i < 200; ++i) {
        const uint32_t bits = special[draw(0, 5)];
        if (trial % 2) {
            values[i] = 0.25f * (float)draw(-700, 700); /* every half of a step among them */
        } else {
            values[i] = (float)draw(-8000000, 8000000) / 1900000.0f;
        }
        if (draw(0, 9) == 0) {
            memcpy(&values[i], &bits, sizeof bits);
        }
    }
    et_quantize_s8(values, count, scale, trial - 100, (int8_t *)found);
    et_quantize_s8_portable(values, count, scale, trial - 100, (int8_t *)expected);
    return differs("quantize", trial);
}

int main(void) {
    for (int32_t trial = 0; trial < 200; ++trial) {
        fill(trial);
        if (mixed_matmul(trial) || dense(trial) || elementwise(trial) || quantize(trial)) {
            return 1;
        }
    }
    puts("equal");
    return 0;
}
