#include "et_batch_matmul.h"
#include "et_dot.h"

static int32_t strided_dot(const int16_t *a, int32_t a_step, const int8_t *b, int32_t b_step, int32_t count) {
    int32_t sum = 0;
    for (int32_t k = 0; k < count; ++k) {
        sum += (int32_t)a[k * a_step] * b[k * b_step];
    }
    return sum;
}

static int16_t finish(const et_batch_matmul *product, int32_t sum) {
    return (int16_t)et_clamp(et_requantize_wide(sum, product->scale), INT16_MIN, INT16_MAX);
}

/* Four neighbouring columns of row times b, where the elements of a row of b follow each other. */
static void four_columns(const et_batch_matmul *product, const int16_t *row, const int8_t *b, int16_t *y) {
#if defined(__ARM_FEATURE_MVE)
    int32x4_t sums = vdupq_n_s32(0);
    for (int32_t k = 0; k < product->depth; ++k) {
        sums = vmlaq_n_s32(sums, vldrbq_s32(b), row[k * product->a_step]);
        b += product->b_step;
    }
    for (int32_t j = 0; j < 4; ++j) {
        y[j] = finish(product, sums[j]);
    }
#else
    int32_t sum0 = 0;
    int32_t sum1 = 0;
    int32_t sum2 = 0;
    int32_t sum3 = 0;
    for (int32_t k = 0; k < product->depth; ++k) {
        const int32_t factor = row[k * product->a_step];
        sum0 += factor * b[0];
        sum1 += factor * b[1];
        sum2 += factor * b[2];
        sum3 += factor * b[3];
        b += product->b_step;
    }
    y[0] = finish(product, sum0);
    y[1] = finish(product, sum1);
    y[2] = finish(product, sum2);
    y[3] = finish(product, sum3);
#endif
}

void et_batch_matmul_s16_s8(const et_batch_matmul *product, const int16_t *a, const int8_t *b, int16_t *y) {
    for (int32_t i = 0; i < product->rows; ++i) {
        const int16_t *row = &a[i * product->a_row];
        int32_t j = 0;
        if (product->b_column == 1) {
            for (; j + 4 <= product->columns; j += 4) {
                four_columns(product, row, &b[j], &y[j]);
            }
        }
        for (; j < product->columns; ++j) {
            const int8_t *column = &b[j * product->b_column];
            const int32_t sum = product->a_step == 1 && product->b_step == 1
                                    ? et_dot_s16_s8(row, column, product->depth)
                                    : strided_dot(row, product->a_step, column, product->b_step, product->depth);
            y[j] = finish(product, sum);
        }
        y += product->columns;
    }
}
