#include "et_batch_matmul.h"
#include "et_dot.h"

static inline int16_t finish(const et_batch_matmul_mixed *product, int32_t sum) {
    const int32_t value =
        product->factor != 0 ? et_upper_multiply(sum, product->factor) : et_requantize_wide(sum, product->scale);
    return (int16_t)et_clamp(value, INT16_MIN, INT16_MAX);
}

/* Four results at once. */
static void finish_four(const et_batch_matmul_mixed *product, const int32_t *sums, int16_t *y) {
    for (int32_t k = 0; k < 4; ++k) {
        y[k] = finish(product, sums[k]);
    }
}

/* Four neighbouring columns of row times b, where the elements of a row of b follow each other. */
static void four_columns(const et_batch_matmul_mixed *product, const int16_t *row, const int8_t *b, int16_t *y) {
    int32_t sums[4] = {0, 0, 0, 0};
    for (int32_t k = 0; k < product->depth; ++k) {
        const int32_t factor = row[k * product->a_step];
        for (int32_t j = 0; j < 4; ++j) {
            sums[j] += factor * b[j];
        }
        b += product->b_step;
    }
    finish_four(product, sums, y);
}

static int32_t strided_dot(const int16_t *a, int32_t a_step, const int8_t *b, int32_t b_step, int32_t count) {
    int32_t sum = 0;
    for (int32_t k = 0; k < count; ++k) {
        sum += (int32_t)a[k * a_step] * b[k * b_step];
    }
    return sum;
}

void et_batch_matmul_mixed_s16(const et_batch_matmul_mixed *product, const int16_t *a, const int8_t *b, int16_t *y) {
    for (int32_t i = 0; i < product->rows; ++i) {
        const int16_t *row = &a[i * product->a_row];
        int32_t j = 0;
        if (product->b_column == 1) {
            for (; j + 4 <= product->columns; j += 4) {
                four_columns(product, row, &b[j], &y[j]);
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
