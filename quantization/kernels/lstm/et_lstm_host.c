/* et_lstm_step for processors with wide vectors (x86-64, arm64): the same bits as et_lstm.c, several times faster.
 *
 * A program that links this compiles et_lstm.c with -Det_lstm_step=et_lstm_step_portable, which is what runs where
 * the weights do not fit below. The weights are rearranged once, at a layer's first step: ET_GROUP products of one
 * row lie side by side and all rows after each other, so that a vector holds that many rows and nothing is summed
 * across it. First steps must not run in two threads at once; runtime runs them while it loads.
 *
 * AVX512-VNNI and AVX-VNNI multiply int8 by uint8 (the input plus 128, taken back in the bias), four columns at once;
 * AVX2 and AVX-512 without it the size of the input by the weight with its sign, four columns too; NEON four columns of int8 by SDOT where the processor has it, else two pairs by SMULL, SMLAL and
 * SADALP. The sums are those of the portable code: additions of integers may be done in any order.
 */
#include "et_lstm.h"

#include <stdlib.h>
#include <string.h>

#include "et_activation.h"
#include "et_host.h"

#undef et_lstm_step
void et_lstm_step(const et_lstm_numbers *numbers, const et_lstm_weights *weights, const int8_t *x,
                  const int8_t *hidden_before, int16_t *cell, int8_t *hidden);
void et_lstm_step_portable(const et_lstm_numbers *numbers, const et_lstm_weights *weights, const int8_t *x,
                           const int8_t *hidden_before, int16_t *cell, int8_t *hidden);

/* ET_GROUP columns of a row lie side by side; ET_OFFSET is added to the inputs; ET_VECTORS sums stay in registers. */
#if ET_LANES == 16 && defined(__AVX512VNNI__)
#define ET_GROUP 4
#define ET_OFFSET 128
#define ET_VECTORS 16
#define ET_ADD_PRODUCTS(sum, x, w) _mm512_dpbusd_epi32((sum), (x), et_lanes_load(w))
#elif ET_LANES == 8 && defined(__AVXVNNI__)
#define ET_GROUP 4
#define ET_OFFSET 128
#define ET_VECTORS 8
#define ET_ADD_PRODUCTS(sum, x, w) _mm256_dpbusd_avx_epi32((sum), (x), et_lanes_load(w))
#elif defined(ET_HOST_AVX2)
/* Size of x times w with the sign of x: exact in VPMADDUBSW's int16 unless w is -128. */
#define ET_GROUP 4
#define ET_OFFSET 0
#define ET_SIGNED 1
#if ET_LANES == 16
#define ET_VECTORS 16
#define ET_SIZE(x) _mm512_abs_epi8(x)
#define ET_WITH_SIGN(w, x) _mm512_mask_sub_epi8((w), _mm512_movepi8_mask(x), _mm512_setzero_si512(), (w))
#define ET_FOUR_PRODUCTS(size, w) _mm512_madd_epi16(_mm512_maddubs_epi16((size), (w)), _mm512_set1_epi16(1))
#else
#define ET_VECTORS 8
#define ET_SIZE(x) _mm256_abs_epi8(x)
#define ET_WITH_SIGN(w, x) _mm256_sign_epi8((w), (x))
#define ET_FOUR_PRODUCTS(size, w) _mm256_madd_epi16(_mm256_maddubs_epi16((size), (w)), _mm256_set1_epi16(1))
#endif
#elif defined(ET_HOST_NEON)
#define ET_GROUP 4
#define ET_OFFSET 0
#define ET_VECTORS 16
#if !defined(__ARM_FEATURE_DOTPROD)
#define ET_PAIRS_APART 1 /* columns 0 and 1 of four rows, then columns 2 and 3 */
#endif
#else
#define ET_GROUP 1
#define ET_OFFSET 0
#endif

#if ET_GROUP == 4 && ET_OFFSET != 0
typedef int8_t et_host_weight;
typedef uint8_t et_host_value;
#elif ET_GROUP == 4
typedef int8_t et_host_weight;
typedef int8_t et_host_value;
#else
typedef int16_t et_host_weight;
typedef int16_t et_host_value;
#endif

/* Units are padded to this; the most units and columns of a matrix (larger layers run in portable code), and layers. */
#define ET_UNITS 16
#define ET_MOST 512
#define ET_LAYERS 16

/* One matrix: bias[rows], then groups of columns. rows is 4 * stride; stride is the units in whole vectors. */
typedef struct {
    int32_t groups;
    int32_t *bias;
    et_host_weight *values;
} et_host_matrix;

typedef struct {
    const et_lstm_weights *weights;
    int32_t stride;
    et_host_matrix input;
    et_host_matrix recurrent;
} et_host_layer;

static et_host_layer et_layers[ET_LAYERS];
static int32_t et_layer_count;

/* Entry i holds et_sigmoid_table[i] - 2^15 and, above it, what entry i + 1 is more; the last stands for all beyond. */
static int32_t et_steps[256];

/* `count` zeroed bytes that begin a cache line; kept as long as the program runs. */
static void *et_lines(size_t count) {
    char *memory = calloc(count + 64, 1);
    return memory == NULL ? NULL : memory + (64 - (uintptr_t)memory % 64);
}

static size_t et_place(int32_t row, int32_t column, int32_t rows) {
    const int32_t group = column / ET_GROUP;
    const int32_t part = column % ET_GROUP;
#if defined(ET_PAIRS_APART)
    return (size_t)(group * rows + row / 4 * 4) * ET_GROUP + (size_t)(part / 2 * 8 + row % 4 * 2 + part % 2);
#else
    return (size_t)(group * rows + row) * ET_GROUP + (size_t)part;
#endif
}

static int et_pack(et_host_matrix *matrix, const int8_t *rows, const int32_t *bias, int32_t columns, int32_t units,
                   int32_t stride) {
    const int32_t count = 4 * stride;
    matrix->groups = (columns + ET_GROUP - 1) / ET_GROUP;
    matrix->bias = et_lines((size_t)count * sizeof *matrix->bias);
    matrix->values = et_lines((size_t)(matrix->groups * ET_GROUP) * (size_t)count * sizeof *matrix->values);
    if (matrix->bias == NULL || matrix->values == NULL) {
        return 0;
    }
    for (int32_t gate = 0; gate < 4; ++gate) {
        for (int32_t unit = 0; unit < units; ++unit) {
            const int8_t *row = &rows[(gate * units + unit) * columns];
            const int32_t to = gate * stride + unit;
            int32_t sum = 0;
            for (int32_t k = 0; k < columns; ++k) {
#if defined(ET_PAIRS_APART) || defined(ET_SIGNED)
                if (row[k] == INT8_MIN) {
                    return 0; /* two such products do not fit the 16 bits of SMLAL or VPMADDUBSW */
                }
#endif
                matrix->values[et_place(to, k, count)] = row[k];
                sum += row[k];
            }
            matrix->bias[to] = bias[gate * units + unit] - ET_OFFSET * sum;
        }
    }
    return 1;
}

static const et_host_layer *et_new_layer(const et_lstm_weights *weights) {
    et_host_layer *layer = &et_layers[et_layer_count];
    for (int32_t i = 0; i < 255; ++i) {
        et_steps[i] = (et_sigmoid_table[i] - 32768) + (et_sigmoid_table[i + 1] - et_sigmoid_table[i]) * 65536;
    }
    et_steps[255] = INT16_MAX;
    ++et_layer_count;
    layer->weights = weights;
    layer->stride = (weights->units + ET_UNITS - 1) / ET_UNITS * ET_UNITS;
    if (!et_pack(&layer->input, weights->input_weights, weights->input_bias, weights->inputs, weights->units,
                 layer->stride) ||
        !et_pack(&layer->recurrent, weights->recurrent_weights, weights->recurrent_bias, weights->units,
                 weights->units, layer->stride)) {
        layer->stride = 0; /* known, and not for these kernels */
    }
    return layer;
}

/* NULL where the portable code must run. */
static const et_host_layer *et_layer(const et_lstm_weights *weights) {
    const et_host_layer *layer = NULL;
    for (int32_t i = 0; i < et_layer_count; ++i) {
        if (et_layers[i].weights == weights) {
            layer = &et_layers[i];
        }
    }
    if (layer == NULL && et_layer_count < ET_LAYERS && weights->units <= ET_MOST && weights->inputs <= ET_MOST) {
        layer = et_new_layer(weights);
    }
    return layer == NULL || layer->stride == 0 ? NULL : layer;
}

#if ET_GROUP > 1
/* `vectors` vectors of sums from row `first` on, in registers; a constant where it is called. */
ET_INLINE void et_some_sums(const et_host_matrix *matrix, int32_t rows, int32_t first, const int32_t vectors,
                            const et_host_value *x, int32_t *sums) {
    const et_host_weight *values = &matrix->values[first * ET_GROUP];
    et_lanes total[16];
    for (int32_t v = 0; v < vectors; ++v) {
        total[v] = et_lanes_load(&matrix->bias[first + v * ET_LANES]);
    }
    for (int32_t group = 0; group < matrix->groups; ++group, values += ET_GROUP * rows) {
        int32_t word;
        memcpy(&word, &x[ET_GROUP * group], sizeof word);
#if defined(ET_SIGNED)
        const et_lanes value = et_lanes_all(word);
        const et_lanes size = ET_SIZE(value);
        for (int32_t v = 0; v < vectors; ++v) {
            const et_lanes four = ET_WITH_SIGN(et_lanes_load(&values[v * ET_LANES * ET_GROUP]), value);
            total[v] = et_lanes_add(total[v], ET_FOUR_PRODUCTS(size, four));
        }
#elif !defined(ET_HOST_NEON)
        const et_lanes value = et_lanes_all(word);
        for (int32_t v = 0; v < vectors; ++v) {
            total[v] = ET_ADD_PRODUCTS(total[v], value, &values[v * ET_LANES * ET_GROUP]);
        }
#elif defined(ET_PAIRS_APART)
        const int8x8_t low = vreinterpret_s8_s16(vdup_n_s16((int16_t)word));
        const int8x16_t high = vreinterpretq_s8_s16(vdupq_n_s16((int16_t)(word >> 16)));
        for (int32_t v = 0; v < vectors; ++v) {
            const int8x16_t four = vld1q_s8(&values[16 * v]);
            const int16x8_t pairs = vmlal_high_s8(vmull_s8(vget_low_s8(four), low), four, high);
            total[v] = vpadalq_s16(total[v], pairs);
        }
#else
        const int8x16_t value = vreinterpretq_s8_s32(vdupq_n_s32(word));
        for (int32_t v = 0; v < vectors; ++v) {
            total[v] = vdotq_s32(total[v], vld1q_s8(&values[16 * v]), value);
        }
#endif
    }
    for (int32_t v = 0; v < vectors; ++v) {
        et_lanes_store(&sums[first + v * ET_LANES], total[v]);
    }
}
#endif

/* sums[rows] = bias + matrix * x; rows is a multiple of 4 * ET_UNITS. */
static void et_sums(const et_host_matrix *matrix, int32_t rows, const et_host_value *x, int32_t *sums) {
#if ET_GROUP > 1
    int32_t first = 0;
    for (; first + ET_VECTORS * ET_LANES <= rows; first += ET_VECTORS * ET_LANES) {
        et_some_sums(matrix, rows, first, ET_VECTORS, x, sums);
    }
    for (; first < rows; first += 64) {
        et_some_sums(matrix, rows, first, 64 / ET_LANES, x, sums);
    }
#else
    const et_host_weight *values = matrix->values;
    memcpy(sums, matrix->bias, (size_t)rows * sizeof *sums);
    for (int32_t k = 0; k < matrix->groups; ++k, values += rows) {
        const et_host_value value = x[k];
        for (int32_t r = 0; r < rows; ++r) {
            sums[r] += (int32_t)values[r] * value;
        }
    }
#endif
}

/* entry's lower half * 2^bits + its upper half * part, for part < 2^15 */
ET_INLINE et_lanes et_interpolate(et_lanes entry, et_lanes part, const int bits) {
#if defined(ET_HOST_AVX2)
    return et_lanes_multiply(entry, et_lanes_or(et_lanes_up(part, 16), et_lanes_all(1 << bits)));
#else
    const et_lanes low = et_lanes_up(et_lanes_and(entry, et_lanes_all(0xFFFF)), bits);
    return et_lanes_add(low, et_lanes_multiply(et_lanes_down(entry, 16), part));
#endif
}

/* et_sigmoid_q15: the table is even about one half, so below 0 the sum is taken from the other side of it. */
ET_INLINE et_lanes et_sigmoid_lanes(et_lanes value) {
    const et_lanes steps = et_lanes_add(et_lanes_up(value, 1), value);
    const et_lanes distance = et_lanes_size(steps);
    const et_lanes entry = et_lanes_look_up(et_steps, et_lanes_down(distance, 9));
    const et_lanes sum = et_interpolate(entry, et_lanes_and(distance, et_lanes_all(0x1FF)), 9);
    const et_lanes signed_sum = et_lanes_xor(sum, et_lanes_down(steps, 31));
    return et_lanes_down(et_lanes_add(signed_sum, et_lanes_all((1 << 24) + 512)), 10);
}

/* et_tanh_q15 of steps = 3 * value * 2^shift. */
ET_INLINE et_lanes et_tanh_lanes(et_lanes steps) {
    const et_lanes distance = et_lanes_size(steps);
    const et_lanes place = et_lanes_least(et_lanes_down(distance, 8), et_lanes_all(255));
    const et_lanes sum =
        et_interpolate(et_lanes_look_up(et_steps, place), et_lanes_and(distance, et_lanes_all(0xFF)), 8);
    const et_lanes signed_sum = et_lanes_xor(sum, et_lanes_down(steps, 31));
    return et_lanes_down(et_lanes_add(signed_sum, et_lanes_all(128)), 8);
}

/* All of et_lstm_numbers that a unit needs, made ready for lanes. */
typedef struct {
    et_lanes_scale input[4], recurrent[4], forget_cell, input_cell, hidden;
    et_lanes cell_low, cell_high, cell_left, cell_right, cell_half, zero_point;
} et_host_numbers;

static void et_prepare(const et_lstm_numbers *numbers, et_host_numbers *ready) {
    for (int32_t g = 0; g < 4; ++g) {
        ready->input[g] = et_lanes_prepare(numbers->input[g]);
        ready->recurrent[g] = et_lanes_prepare(numbers->recurrent[g]);
    }
    ready->forget_cell = et_lanes_prepare(numbers->forget_cell);
    ready->input_cell = et_lanes_prepare(numbers->input_cell);
    ready->hidden = et_lanes_prepare(numbers->hidden);
    const int32_t clip = numbers->cell_clip;
    const int32_t right = numbers->cell_shift < 0 ? -numbers->cell_shift : 0;
    ready->cell_low = et_lanes_all(clip > 0 ? -clip : INT16_MIN);
    ready->cell_high = et_lanes_all(clip > 0 ? clip : INT16_MAX);
    ready->cell_left = et_lanes_all(numbers->cell_shift > 0 ? numbers->cell_shift : 0);
    ready->cell_right = et_lanes_all(right);
    ready->cell_half = et_lanes_all(right > 0 ? 1 << (right - 1) : 0);
    ready->zero_point = et_lanes_all(numbers->hidden_zero_point);
}

ET_INLINE et_lanes et_short_lanes(et_lanes v) {
    return et_lanes_clamp(v, et_lanes_all(INT16_MIN), et_lanes_all(INT16_MAX));
}

/* Q3.12 of one gate from its two sums: TFLM limits each to int16, adds, and limits again. */
ET_INLINE et_lanes et_gate(const et_host_numbers *numbers, int32_t g, const int32_t *input, const int32_t *recurrent) {
    const et_lanes a = et_lanes_requantize(et_lanes_load(input), numbers->input[g]);
    const et_lanes b = et_lanes_requantize(et_lanes_load(recurrent), numbers->recurrent[g]);
    return et_short_lanes(et_lanes_add(et_short_lanes(a), et_short_lanes(b)));
}

/* et_lstm_unit of ET_LANES units; input and recurrent are their sums of the first gate, the others `stride` apart. */
ET_INLINE void et_units(const et_host_numbers *numbers, const int32_t *input, const int32_t *recurrent,
                        int32_t stride, int16_t *cell, int8_t *hidden) {
    const et_lanes in = et_sigmoid_lanes(et_gate(numbers, 0, input, recurrent));
    const et_lanes forget = et_sigmoid_lanes(et_gate(numbers, 1, &input[stride], &recurrent[stride]));
    const et_lanes change = et_gate(numbers, 2, &input[2 * stride], &recurrent[2 * stride]);
    const et_lanes candidate = et_tanh_lanes(et_lanes_add(et_lanes_up(change, 1), change));
    const et_lanes out = et_sigmoid_lanes(et_gate(numbers, 3, &input[3 * stride], &recurrent[3 * stride]));
    const et_lanes old = et_lanes_multiply(forget, et_lanes_load_s16(cell));
    const et_lanes kept = et_short_lanes(et_lanes_requantize(old, numbers->forget_cell));
    const et_lanes fresh = et_lanes_requantize(et_lanes_multiply(in, candidate), numbers->input_cell);
    const et_lanes sum = et_short_lanes(et_lanes_add(kept, et_short_lanes(fresh)));
    const et_lanes state = et_lanes_clamp(sum, numbers->cell_low, numbers->cell_high);
    et_lanes_store_s16(cell, state);
    const et_lanes triple = et_lanes_up_by(et_lanes_add(et_lanes_up(state, 1), state), numbers->cell_left);
    const et_lanes steps = et_lanes_down_by(et_lanes_add(triple, numbers->cell_half), numbers->cell_right);
    const et_lanes product = et_lanes_multiply(out, et_tanh_lanes(steps));
    et_lanes_store_s8(hidden, et_lanes_add(et_lanes_requantize(product, numbers->hidden), numbers->zero_point));
}

static void et_widen_values(const int8_t *restrict from, int32_t count, et_host_value *restrict to) {
    for (int32_t k = 0; k < count; ++k) {
        to[k] = (et_host_value)(from[k] + ET_OFFSET);
    }
    for (int32_t k = count; k % ET_GROUP != 0; ++k) {
        to[k] = 0; /* its weights are 0 too */
    }
}

void et_lstm_step(const et_lstm_numbers *numbers, const et_lstm_weights *weights, const int8_t *x,
                  const int8_t *hidden_before, int16_t *cell, int8_t *hidden) {
    const et_host_layer *layer = et_layer(weights);
    if (layer == NULL) {
        et_lstm_step_portable(numbers, weights, x, hidden_before, cell, hidden);
        return;
    }
    const int32_t stride = layer->stride;
    const int32_t units = weights->units;
    et_host_value values[ET_MOST];
    int32_t input[4 * ET_MOST];
    int32_t recurrent[4 * ET_MOST];
    et_widen_values(x, weights->inputs, values);
    et_sums(&layer->input, 4 * stride, values, input);
    et_widen_values(hidden_before, units, values);
    et_sums(&layer->recurrent, 4 * stride, values, recurrent);
    et_host_numbers ready;
    et_prepare(numbers, &ready);
    int32_t unit = 0;
    for (; unit + ET_LANES <= units; unit += ET_LANES) {
        et_units(&ready, &input[unit], &recurrent[unit], stride, &cell[unit], &hidden[unit]);
    }
    if (unit < units) {
        int16_t some_cell[ET_LANES] = {0};
        int8_t some_hidden[ET_LANES];
        const size_t rest = (size_t)(units - unit);
        memcpy(some_cell, &cell[unit], rest * sizeof *cell);
        et_units(&ready, &input[unit], &recurrent[unit], stride, some_cell, some_hidden);
        memcpy(&cell[unit], some_cell, rest * sizeof *cell);
        memcpy(&hidden[unit], some_hidden, rest);
    }
}
