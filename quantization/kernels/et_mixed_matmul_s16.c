#include "et_batch_matmul.h"
#include "et_dot.h"

#if defined(__ARM_FEATURE_MVE)
#include "et_mve.h"
#endif

#if defined(__ARM_FEATURE_DSP) && !defined(__ARM_FEATURE_MVE)
#include "et_mixed_dsp.h"

/* Columns (0, 2) and (1, 3) of each block of four in lanes. */
static void expand(const int16_t *x, int32_t count, int32_t *words) {
    for (int32_t k = 0; k < count; k += 4) {
        int32_t pair[2];
        memcpy(pair, &x[k], sizeof pair);
        *words++ = et_dsp_pack_bottoms(pair[0], pair[1]);
        *words++ = et_dsp_pack_tops(pair[1], pair[0]);
    }
}
#endif

static inline int16_t finish(const et_mixed_matmul *product, int32_t sum) {
    const int32_t value =
        product->factor != 0 ? et_upper_multiply(sum, product->factor) : et_requantize_wide(sum, product->scale);
    return (int16_t)et_clamp(value, INT16_MIN, INT16_MAX);
}

/* Four results at once. */
static void finish_four(const et_mixed_matmul *product, const int32_t *sums, int16_t *y) {
#if defined(__ARM_FEATURE_MVE)
    if (product->factor != 0) {
        const int32x4_t value = vrmulhq_s32(vld1q_s32(sums), vdupq_n_s32(product->factor));
        vstrhq_s32(y, et_clamp_lanes(value, INT16_MIN, INT16_MAX));
        return;
    }
#endif
    for (int32_t k = 0; k < 4; ++k) {
        y[k] = finish(product, sums[k]);
    }
}

#if defined(__ARM_FEATURE_MVE)
#define COLUMNS 16
#else
#define COLUMNS 4
#endif

/* COLUMNS neighbouring columns of row times b, where the elements of a row of b follow each other. */
static void several_columns(const et_mixed_matmul *product, const int16_t *row, const int8_t *b, int16_t *y) {
    int32_t sums[COLUMNS];
#if defined(__ARM_FEATURE_MVE)
    int32x4_t sum0 = vdupq_n_s32(0);
    int32x4_t sum1 = sum0;
    int32x4_t sum2 = sum0;
    int32x4_t sum3 = sum0;
    for (int32_t k = 0; k < product->depth; ++k) {
        const int32_t factor = row[k * product->a_step];
        sum0 = vmlaq_n_s32(sum0, vldrbq_s32(b), factor);
        sum1 = vmlaq_n_s32(sum1, vldrbq_s32(b + 4), factor);
        sum2 = vmlaq_n_s32(sum2, vldrbq_s32(b + 8), factor);
        sum3 = vmlaq_n_s32(sum3, vldrbq_s32(b + 12), factor);
        b += product->b_step;
    }
    vst1q_s32(&sums[0], sum0);
    vst1q_s32(&sums[4], sum1);
    vst1q_s32(&sums[8], sum2);
    vst1q_s32(&sums[12], sum3);
#else
    for (int32_t j = 0; j < COLUMNS; ++j) {
        sums[j] = 0;
    }
    for (int32_t k = 0; k < product->depth; ++k) {
        const int32_t factor = row[k * product->a_step];
        for (int32_t j = 0; j < COLUMNS; ++j) {
            sums[j] += factor * b[j];
        }
        b += product->b_step;
    }
#endif
    for (int32_t j = 0; j < COLUMNS; j += 4) {
        finish_four(product, &sums[j], &y[j]);
    }
}

static int32_t strided_dot(const int16_t *a, int32_t a_step, const int8_t *b, int32_t b_step, int32_t count) {
    int32_t sum = 0;
    for (int32_t k = 0; k < count; ++k) {
        sum += (int32_t)a[k * a_step] * b[k * b_step];
    }
    return sum;
}

#if defined(__ARM_FEATURE_DSP) && !defined(__ARM_FEATURE_MVE)
/* The columns of one row of y that the assembly can do; returns how many. */
static int32_t fast_columns(const et_mixed_matmul *product, const int16_t *row, const int8_t *b, int16_t *y) {
    const int32_t whole = product->columns & ~3;
    int32_t sums[4];
    if (product->a_step != 1 || ((uintptr_t)row | (uintptr_t)b) % 4u != 0u) {
        return 0;
    }
    if (product->b_column == 1 && product->b_step % 4 == 0 && product->depth % 4 == 0) {
        for (int32_t j = 0; j < whole; j += 4) {
            et_mixed_columns(&b[j], product->b_step, row, product->depth, sums);
            finish_four(product, sums, &y[j]);
        }
        return whole;
    }
    if (product->b_step == 1 && product->b_column % 4 == 0 && product->depth % 8 == 0 &&
        product->depth <= ET_MIXED_MOST) {
        int32_t words[ET_MIXED_MOST / 2];
        expand(row, product->depth, words);
        for (int32_t j = 0; j < whole; j += 4) {
            et_mixed_rows(words, &b[j * product->b_column], product->b_column, product->depth / 4, sums);
            finish_four(product, sums, &y[j]);
        }
        return whole;
    }
    return 0;
}
#endif

void et_mixed_matmul_s16(const et_mixed_matmul *product, const int16_t *a, const int8_t *b, int16_t *y) {
    for (int32_t i = 0; i < product->rows; ++i) {
        const int16_t *row = &a[i * product->a_row];
        int32_t j = 0;
#if defined(__ARM_FEATURE_DSP) && !defined(__ARM_FEATURE_MVE)
        j = fast_columns(product, row, b, y);
#endif
        if (product->b_column == 1) {
            for (; j + COLUMNS <= product->columns; j += COLUMNS) {
                several_columns(product, row, &b[j], &y[j]);
            }
        } else if (product->a_step == 1 && product->b_step == 1) {
            for (; j + 4 <= product->columns; j += 4) {
                int32_t sums[4];
                et_dot_rows(row, &b[j * product->b_column], product->b_column, 4, product->depth, sums);
                finish_four(product, sums, &y[j]);
            }
        }
        for (; j < product->columns; ++j) {
            const int8_t *column = &b[j * product->b_column];
            y[j] = finish(product, strided_dot(row, product->a_step, column, product->b_step, product->depth));
        }
        y += product->columns;
    }
}
