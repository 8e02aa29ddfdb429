/* et_lstm_step for processors with wide vectors (x86-64, arm64): the same bits as et_lstm.c, several times faster.
 *
 * A program that links this compiles et_lstm.c with -Det_lstm_step=et_lstm_step_portable, which is what runs where
 * the weights do not fit below. The weights are rearranged once, at a layer's first step: ET_GROUP products of one
 * row lie side by side and all rows after each other, so that a vector holds that many rows and nothing is summed
 * across it. First steps must not run in two threads at once; toolkit/runtime runs them while it loads.
 *
 * x86 with AVX512-VNNI multiplies int8 by uint8 (the input plus 128, taken back in the bias), with AVX2 pairs of
 * int16; everywhere else (NEON) plain loops that the compiler turns into multiply-accumulate. ET_HOST_PLAIN chooses the
 * latter. The sums are those of the portable code: additions of integers may be done in any order.
 */
#include "et_lstm.h"

#include <stdlib.h>
#include <string.h>

#include "et_activation.h"

#undef et_lstm_step
void et_lstm_step(const et_lstm_numbers *numbers, const et_lstm_weights *weights, const int8_t *x,
                  const int8_t *hidden_before, int16_t *cell, int8_t *hidden);
void et_lstm_step_portable(const et_lstm_numbers *numbers, const et_lstm_weights *weights, const int8_t *x,
                           const int8_t *hidden_before, int16_t *cell, int8_t *hidden);

#if !defined(ET_HOST_PLAIN) && defined(__AVX512VNNI__) && defined(__AVX512F__)
#include <immintrin.h>
#define ET_GROUP 4
#define ET_OFFSET 128
typedef int8_t et_host_weight;
typedef uint8_t et_host_value;
#elif !defined(ET_HOST_PLAIN) && defined(__AVX2__)
#include <immintrin.h>
#define ET_GROUP 2
#define ET_OFFSET 0
typedef int16_t et_host_weight;
typedef int16_t et_host_value;
#else
#define ET_GROUP 1
#define ET_OFFSET 0
typedef int16_t et_host_weight;
typedef int16_t et_host_value;
#endif

/* Rows in a block of sums, and the most units and columns of a matrix; larger layers run in portable code. */
#define ET_BLOCK 64
#define ET_MOST 512
#define ET_LAYERS 16

/* One matrix: bias[rows], then groups of columns. rows is 4 * stride; stride is the units in whole vectors. */
typedef struct {
    int32_t columns;
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

/* Entry i holds et_sigmoid_table[i] and, above it, entry i + 1; the last stands for all beyond the table. */
static uint32_t et_pairs[256];

static int et_pack(et_host_matrix *matrix, const int8_t *rows, const int32_t *bias, int32_t columns, int32_t units,
                   int32_t stride) {
    const int32_t count = 4 * stride;
    matrix->columns = columns;
    matrix->groups = (columns + ET_GROUP - 1) / ET_GROUP;
    matrix->bias = calloc((size_t)count, sizeof *matrix->bias);
    matrix->values = calloc((size_t)(matrix->groups * ET_GROUP) * (size_t)count, sizeof *matrix->values);
    if (matrix->bias == NULL || matrix->values == NULL) {
        return 0;
    }
    for (int32_t gate = 0; gate < 4; ++gate) {
        for (int32_t unit = 0; unit < units; ++unit) {
            const int8_t *row = &rows[(gate * units + unit) * columns];
            const int32_t to = gate * stride + unit;
            int32_t sum = 0;
            for (int32_t k = 0; k < columns; ++k) {
                matrix->values[(k / ET_GROUP * count + to) * ET_GROUP + k % ET_GROUP] = row[k];
                sum += row[k];
            }
            matrix->bias[to] = bias[gate * units + unit] - ET_OFFSET * sum;
        }
    }
    return 1;
}

static const et_host_layer *et_layer(const et_lstm_weights *weights) {
    for (int32_t i = 0; i < et_layer_count; ++i) {
        if (et_layers[i].weights == weights) {
            return &et_layers[i];
        }
    }
    if (et_layer_count == ET_LAYERS || weights->units > ET_MOST || weights->inputs > ET_MOST) {
        return NULL;
    }
    for (int32_t i = 0; i < 255; ++i) {
        et_pairs[i] = et_sigmoid_table[i] | (uint32_t)et_sigmoid_table[i + 1] << 16;
    }
    et_pairs[255] = 0xFFFFFFFFu;
    et_host_layer *layer = &et_layers[et_layer_count];
    layer->stride = (weights->units + 15) / 16 * 16;
    if (!et_pack(&layer->input, weights->input_weights, weights->input_bias, weights->inputs, weights->units,
                 layer->stride) ||
        !et_pack(&layer->recurrent, weights->recurrent_weights, weights->recurrent_bias, weights->units,
                 weights->units, layer->stride)) {
        return NULL;
    }
    layer->weights = weights;
    ++et_layer_count;
    return layer;
}

/* sums[count] = bias + matrix * x, for the `count` rows (a multiple of 16, at most ET_BLOCK) from row `first` on. */
static void et_sums(const et_host_matrix *matrix, int32_t rows, int32_t first, int32_t count,
                    const et_host_value *restrict x, int32_t *restrict sums) {
    const et_host_weight *values = &matrix->values[first * ET_GROUP];
#if ET_GROUP == 4
    __m512i total[ET_BLOCK / 16];
    const int32_t vectors = count / 16;
    for (int32_t v = 0; v < ET_BLOCK / 16; ++v) {
        total[v] = v < vectors ? _mm512_loadu_si512(&matrix->bias[first + 16 * v]) : _mm512_setzero_si512();
    }
    if (vectors == ET_BLOCK / 16) {
        for (int32_t k = 0; k < matrix->groups; ++k, values += 4 * rows) {
            int32_t four;
            memcpy(&four, &x[4 * k], 4);
            const __m512i value = _mm512_set1_epi32(four);
            for (int32_t v = 0; v < ET_BLOCK / 16; ++v) {
                total[v] = _mm512_dpbusd_epi32(total[v], value, _mm512_loadu_si512(&values[64 * v]));
            }
        }
    } else {
        for (int32_t k = 0; k < matrix->groups; ++k, values += 4 * rows) {
            int32_t four;
            memcpy(&four, &x[4 * k], 4);
            for (int32_t v = 0; v < vectors; ++v) {
                total[v] =
                    _mm512_dpbusd_epi32(total[v], _mm512_set1_epi32(four), _mm512_loadu_si512(&values[64 * v]));
            }
        }
    }
    for (int32_t v = 0; v < vectors; ++v) {
        _mm512_storeu_si512(&sums[16 * v], total[v]);
    }
#elif ET_GROUP == 2
    for (int32_t done = 0; done < count; done += 16, values += 16 * 2) {
        __m256i low = _mm256_loadu_si256((const __m256i *)(const void *)&matrix->bias[first + done]);
        __m256i high = _mm256_loadu_si256((const __m256i *)(const void *)&matrix->bias[first + done + 8]);
        const et_host_weight *from = values;
        for (int32_t k = 0; k < matrix->groups; ++k, from += 2 * rows) {
            int32_t two;
            memcpy(&two, &x[2 * k], 4);
            const __m256i value = _mm256_set1_epi32(two);
            const __m256i *pair = (const __m256i *)(const void *)from;
            low = _mm256_add_epi32(low, _mm256_madd_epi16(value, _mm256_loadu_si256(pair)));
            high = _mm256_add_epi32(high, _mm256_madd_epi16(value, _mm256_loadu_si256(pair + 1)));
        }
        _mm256_storeu_si256((__m256i *)(void *)&sums[done], low);
        _mm256_storeu_si256((__m256i *)(void *)&sums[done + 8], high);
    }
#else
    memcpy(sums, &matrix->bias[first], (size_t)count * sizeof *sums);
    for (int32_t k = 0; k < matrix->groups; ++k, values += rows) {
        const et_host_value value = x[k];
        for (int32_t r = 0; r < count; ++r) {
            sums[r] += (int32_t)values[r] * value;
        }
    }
#endif
}

/* et_requantize of `count` (a multiple of 16) values, in place. By hand on x86, because compilers there make slow 64-bit
 * products of it: even and odd lanes are multiplied apart and the upper words put together again. */
static void et_requantize_all(int32_t *restrict values, et_scale scale, int32_t count) {
#if ET_GROUP == 4
    const __m512i multiplier = _mm512_set1_epi32(scale.multiplier);
    const __m512i half = _mm512_set1_epi64((int64_t)1 << 30);
    const __m512i one = _mm512_set1_epi32(1);
    const __m128i left = _mm_cvtsi32_si128(scale.shift > 0 ? scale.shift : 0);
    const __m128i right = _mm_cvtsi32_si128(scale.shift < 0 ? -scale.shift - 1 : 0);
    for (int32_t u = 0; u < count; u += 16) {
        const __m512i value = _mm512_sll_epi32(_mm512_loadu_si512(&values[u]), left);
        const __m512i even = _mm512_add_epi64(_mm512_mul_epi32(value, multiplier), half);
        const __m512i odd = _mm512_add_epi64(_mm512_mul_epi32(_mm512_srli_epi64(value, 32), multiplier), half);
        __m512i result = _mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64(even, 31), _mm512_slli_epi64(odd, 1));
        if (scale.shift < 0) {
            const __mmask16 negative = _mm512_cmplt_epi32_mask(result, _mm512_setzero_si512()) &
                                       _mm512_cmpgt_epi32_mask(result, _mm512_set1_epi32(INT32_MIN));
            result = _mm512_mask_sub_epi32(result, negative, result, one);
            result = _mm512_srai_epi32(_mm512_add_epi32(_mm512_sra_epi32(result, right), one), 1);
        }
        _mm512_storeu_si512(&values[u], result);
    }
#elif ET_GROUP == 2
    const __m256i multiplier = _mm256_set1_epi32(scale.multiplier);
    const __m256i half = _mm256_set1_epi64x((int64_t)1 << 30);
    const __m256i one = _mm256_set1_epi32(1);
    const __m128i left = _mm_cvtsi32_si128(scale.shift > 0 ? scale.shift : 0);
    const __m128i right = _mm_cvtsi32_si128(scale.shift < 0 ? -scale.shift - 1 : 0);
    for (int32_t u = 0; u < count; u += 8) {
        __m256i *place = (__m256i *)(void *)&values[u];
        const __m256i value = _mm256_sll_epi32(_mm256_loadu_si256(place), left);
        const __m256i even = _mm256_add_epi64(_mm256_mul_epi32(value, multiplier), half);
        const __m256i odd = _mm256_add_epi64(_mm256_mul_epi32(_mm256_srli_epi64(value, 32), multiplier), half);
        __m256i result = _mm256_blend_epi32(_mm256_srli_epi64(even, 31), _mm256_slli_epi64(odd, 1), 0xAA);
        if (scale.shift < 0) {
            const __m256i negative = _mm256_and_si256(_mm256_srai_epi32(result, 31),
                                                      _mm256_cmpgt_epi32(result, _mm256_set1_epi32(INT32_MIN)));
            result = _mm256_add_epi32(result, negative); /* minus one where the mask is set */
            result = _mm256_srai_epi32(_mm256_add_epi32(_mm256_sra_epi32(result, right), one), 1);
        }
        _mm256_storeu_si256(place, result);
    }
#else
    for (int32_t u = 0; u < count; ++u) {
        values[u] = et_requantize(values[u], scale);
    }
#endif
}

/* Q3.12 of one gate's units from the two sums of each: TFLM limits each to int16, adds, and limits again. */
static void et_gate(const et_lstm_numbers *numbers, int32_t g, int32_t *restrict input, int32_t *restrict recurrent,
                    int32_t count, int32_t *restrict gate) {
    et_requantize_all(input, numbers->input[g], count);
    et_requantize_all(recurrent, numbers->recurrent[g], count);
    for (int32_t u = 0; u < count; ++u) {
        const int32_t a = et_clamp(input[u], INT16_MIN, INT16_MAX);
        const int32_t b = et_clamp(recurrent[u], INT16_MIN, INT16_MAX);
        gate[u] = et_clamp(a + b, INT16_MIN, INT16_MAX);
    }
}

/* et_sigmoid_q15, in place. */
static void et_sigmoids(int32_t *restrict values, int32_t count) {
    for (int32_t u = 0; u < count; ++u) {
        const int32_t steps = 3 * values[u];
        const uint32_t distance = (uint32_t)(steps < 0 ? -steps : steps);
        const uint32_t pair = et_pairs[distance >> 9];
        const uint32_t low = pair & 0xFFFFu;
        const uint32_t sum = (low << 9) + (distance & 0x1FFu) * ((pair >> 16) - low);
        const uint32_t rounded = steps >= 0 ? sum + 512u : (1u << 25) - sum + 511u;
        values[u] = (int32_t)(rounded >> 10);
    }
}

/* et_tanh_q15, in place. */
static void et_tanhs(int32_t *restrict values, int32_t shift, int32_t count) {
    const int32_t left = shift > 0 ? shift : 0;
    const int32_t right = shift > 0 ? 0 : -shift;
    const int32_t half = right > 0 ? (int32_t)1 << (right - 1) : 0;
    for (int32_t u = 0; u < count; ++u) {
        const int32_t steps = (3 * values[u] * ((int32_t)1 << left) + half) >> right;
        const uint32_t distance = (uint32_t)(steps < 0 ? -steps : steps);
        const uint32_t place = distance >> 8;
        const uint32_t pair = et_pairs[place < 255u ? place : 255u];
        const uint32_t low = pair & 0xFFFFu;
        const uint32_t sum = (low << 8) + (distance & 0xFFu) * ((pair >> 16) - low);
        const int32_t centred = (int32_t)sum - ((int32_t)1 << 23);
        values[u] = (steps >= 0 ? centred + 128 : 127 - centred) >> 8;
    }
}

/* et_lstm_unit of `count` units, in three loops so that each fits the registers; stored to `cell` and `hidden`. */
static void et_units(const et_lstm_numbers *numbers, int32_t gate[4][ET_BLOCK], int32_t count, int32_t real,
                     int16_t *restrict cell, int8_t *restrict hidden) {
    int32_t state[ET_BLOCK];
    int16_t old[ET_BLOCK] = {0};
    const int32_t clip = numbers->cell_clip > 0 ? numbers->cell_clip : INT16_MAX;
    const int32_t low = numbers->cell_clip > 0 ? -numbers->cell_clip : INT16_MIN;
    int32_t added[ET_BLOCK];
    const int32_t zero_point = numbers->hidden_zero_point;
    memcpy(old, cell, (size_t)real * sizeof *old);
    et_sigmoids(gate[0], count);
    et_sigmoids(gate[1], count);
    et_tanhs(gate[2], 0, count);
    et_sigmoids(gate[3], count);
    for (int32_t u = 0; u < count; ++u) {
        state[u] = gate[1][u] * old[u];
        added[u] = gate[0][u] * gate[2][u];
    }
    et_requantize_all(state, numbers->forget_cell, count);
    et_requantize_all(added, numbers->input_cell, count);
    for (int32_t u = 0; u < count; ++u) {
        const int32_t kept = et_clamp(state[u], INT16_MIN, INT16_MAX);
        const int32_t sum = kept + et_clamp(added[u], INT16_MIN, INT16_MAX);
        state[u] = et_clamp(et_clamp(sum, INT16_MIN, INT16_MAX), low, clip);
        old[u] = (int16_t)state[u];
    }
    memcpy(cell, old, (size_t)real * sizeof *old);
    et_tanhs(state, numbers->cell_shift, count);
    int8_t result[ET_BLOCK];
    for (int32_t u = 0; u < count; ++u) {
        state[u] *= gate[3][u];
    }
    et_requantize_all(state, numbers->hidden, count);
    for (int32_t u = 0; u < count; ++u) {
        result[u] = (int8_t)et_clamp(state[u] + zero_point, INT8_MIN, INT8_MAX);
    }
    memcpy(hidden, result, (size_t)real);
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
    et_host_value input[ET_MOST];
    et_host_value before[ET_MOST];
    et_widen_values(x, weights->inputs, input);
    et_widen_values(hidden_before, weights->units, before);
    for (int32_t unit = 0; unit < layer->stride; unit += ET_BLOCK) {
        const int32_t rest = layer->stride - unit;
        const int32_t count = rest < ET_BLOCK ? rest : ET_BLOCK;
        const int32_t real = weights->units - unit < count ? weights->units - unit : count;
        int32_t gate[4][ET_BLOCK];
        for (int32_t g = 0; g < 4; ++g) {
            int32_t from_input[ET_BLOCK];
            int32_t from_hidden[ET_BLOCK];
            const int32_t first = g * layer->stride + unit;
            et_sums(&layer->input, 4 * layer->stride, first, count, input, from_input);
            et_sums(&layer->recurrent, 4 * layer->stride, first, count, before, from_hidden);
            et_gate(numbers, g, from_input, from_hidden, count, gate[g]);
        }
        et_units(numbers, gate, count, real, &cell[unit], &hidden[unit]);
    }
}
